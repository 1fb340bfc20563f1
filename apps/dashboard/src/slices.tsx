import type { ReactNode } from 'react'
import { Panel } from './parts.tsx'
import { count, workOf, type Job } from './view.ts'
import { VirtualTable } from './virtual-table.tsx'

const HEADS = ['Subtask', 'Status', 'Task-manager', 'Attempt', 'Records in', 'Records out', 'Busy', 'Back-pressured']

export function Slices({ job }: { job: Job }): ReactNode {
  return (
    <Panel title="Subtasks" note={String(job.slices.length)}>
      {job.slices.length === 0 && <p className="empty">None runs.</p>}
      <VirtualTable
        label="Subtasks"
        className="slices"
        heads={HEADS}
        count={job.slices.length}
        row={(index) => {
          const slice = job.slices[index]!
          const { subtask, status, taskManagerId, attempt, recordsIn, recordsOut } = slice
          const { busy, held } = workOf(slice)
          const state = <span className={status === 'running' ? 'good' : 'busy'}>{status}</span>
          const counts = [count(recordsIn), count(recordsOut)]
          return { key: String(subtask), cells: [subtask, state, taskManagerId, attempt, ...counts, busy, held] }
        }}
      />
    </Panel>
  )
}
