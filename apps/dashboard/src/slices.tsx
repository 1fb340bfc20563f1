import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef, type ReactNode } from 'react'
import { Panel } from './parts.tsx'
import { count, workOf, type Job } from './view.ts'

const ROW = 28
const HEADS = ['Subtask', 'Status', 'Task-manager', 'Attempt', 'Records in', 'Records out', 'Busy', 'Back-pressured']

/** Only the rows in sight are made: a job may have thousands. */
export function Slices({ job }: { job: Job }): ReactNode {
  const frame = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: job.slices.length,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW,
    overscan: 8,
  })
  return (
    <Panel title="Subtasks" note={String(job.slices.length)}>
      {job.slices.length === 0 && <p className="empty">None runs.</p>}
      <div
        ref={frame}
        className="slices"
        role="table"
        aria-label="Subtasks"
        aria-rowcount={job.slices.length + 1}
        tabIndex={0}
      >
        <div role="rowgroup" className="heads">
          <div role="row">
            {HEADS.map((head) => (
              <span key={head} role="columnheader">
                {head}
              </span>
            ))}
          </div>
        </div>
        <div role="rowgroup" className="rows" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const slice = job.slices[index]!
            const { subtask, status, taskManagerId, attempt, recordsIn, recordsOut } = slice
            const { busy, held } = workOf(slice)
            return (
              <div key={subtask} role="row" aria-rowindex={index + 2} style={{ transform: `translateY(${start}px)` }}>
                <span role="cell">{subtask}</span>
                <span role="cell" className={status === 'running' ? 'good' : 'busy'}>
                  {status}
                </span>
                <span role="cell">{taskManagerId}</span>
                <span role="cell">{attempt}</span>
                <span role="cell">{count(recordsIn)}</span>
                <span role="cell">{count(recordsOut)}</span>
                <span role="cell">{busy}</span>
                <span role="cell">{held}</span>
              </div>
            )
          })}
        </div>
      </div>
    </Panel>
  )
}
