/** What can be done to a job. */
import type { ReactNode } from 'react'
import { patch, post, tagged } from './api.ts'
import { Ask } from './ask.tsx'
import { canCancel, type Job } from './view.ts'

const NAME = { pattern: '[a-z][a-z0-9._\\-]{0,62}', hint: 'A small letter first, then also digits . _ -' }

export function Actions({ job }: { job: Job }): ReactNode {
  const path = `jobs/${encodeURIComponent(job.jobId)}`
  const running = job.state === 'RUNNING'
  const day = new Date().toISOString().slice(0, 10)
  return (
    <p className="actions">
      <Ask
        wish={{
          label: 'Savepoint',
          question: `Take a savepoint of ${job.jobId}?`,
          tells: 'It is kept until somebody deletes it, and a job can be started from it.',
          confirm: 'Take it',
          disabled: !running,
          field: { label: 'Name', initial: `on-${day}`, ...NAME },
          run: (name, key) => post(`${path}/savepoints`, key, { name }),
        }}
      />
      <Ask
        wish={{
          label: 'Rescale',
          question: `Rescale ${job.jobId}?`,
          tells: 'It stops behind a last checkpoint and goes on at the new parallelism. Nothing is lost.',
          confirm: 'Rescale it',
          disabled: !running,
          basis: async () => (await tagged<Job>(path)).etag,
          field: {
            label: 'Parallelism',
            initial: String(job.parallelism),
            pattern: '[1-9][0-9]{0,4}',
            hint: 'Subtasks',
          },
          run: (parallelism, _, version) => patch(path, { parallelism: Number(parallelism) }, version),
        }}
      />
      <Ask
        wish={{
          label: 'Stop with savepoint',
          question: `Stop ${job.jobId}?`,
          tells: 'Its sources stop at the barrier of the savepoint. It can go on from there, also as another version.',
          confirm: 'Stop it',
          disabled: !running,
          field: { label: 'Name', initial: `stop-${day}`, ...NAME },
          run: (name, key) => post(`${path}/savepoints`, key, { name, stop: true }),
        }}
      />
      <Ask
        wish={{
          label: 'Cancel job',
          question: `Cancel ${job.jobId}?`,
          tells: 'What is published is committed, nothing is left open.',
          confirm: 'Cancel the job',
          refuse: 'Keep it running',
          danger: true,
          disabled: !canCancel(job.state),
          run: (_, key) => post(`${path}/cancel`, key),
        }}
      />
    </p>
  )
}
