import type { ReactNode } from 'react'
import { Panel, Table } from './parts.tsx'
import { splitsOf, type Job } from './view.ts'

/** Those that are furthest behind first. */
const ROWS_MAX = 40

export function Splits({ job, now }: { job: Job; now: number }): ReactNode {
  const splits = splitsOf(job, now)
  const more = splits.length > ROWS_MAX ? `the ${ROWS_MAX} furthest behind of ${splits.length}` : undefined
  return (
    <Panel title="Event time by partition" {...(more === undefined ? {} : { note: more })}>
      <Table
        label="Event time by partition"
        empty="No source tells event times."
        columns={[
          { head: 'Source' },
          { head: 'Partition', number: true },
          { head: 'Subtask', number: true },
          { head: 'State' },
          { head: 'Event time' },
          { head: 'Behind the fastest', number: true },
        ]}
        rows={splits.slice(0, ROWS_MAX).map(({ source, split, subtask, state, at, behind }) => ({
          key: `${source}/${split}`,
          cells: [
            source,
            split,
            subtask,
            <span className={state === 'active' ? 'plain' : 'quiet'}>{state}</span>,
            at,
            behind,
          ],
        }))}
      />
    </Panel>
  )
}
