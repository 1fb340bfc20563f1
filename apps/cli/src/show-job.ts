/** Jobs for people. */
import type { Failure, SinkOutcome } from '@weir/job'
import type { jobs } from '@weir/proto'

export const showJobs = (all: readonly jobs.JobView[]): string =>
  all.map((j) => `${j.jobId}\t${j.state}\tepoch ${j.finalEpoch}\t${j.recordsIn} records`).join('\n') || 'no jobs'

export function showJob(job: jobs.JobView): string {
  const error = job.error === '' ? '' : `\n${line(JSON.parse(job.error) as Coded)}`
  const restarts = job.restarts + job.regionRestarts
  const again = restarts === 0 ? '' : `, restarted ${restarts}×`
  const sinks = (JSON.parse(job.sinks) as readonly SinkOutcome[]).filter(({ state }) => state !== 'CLEAN')
  // Of a job-manager of an earlier version there are none.
  const alerts = JSON.parse(job.alerts || '[]') as readonly Coded[]
  const degraded = job.degradeSwitch === 'on' ? ', degraded' : ''
  return [
    `${job.jobId} is ${job.state}${degraded}, epoch ${job.finalEpoch}, ${job.recordsIn} records${again}${error}`,
    ...sinks.map(outcome),
    ...alerts.map(line),
  ].join('\n')
}

type Coded = Pick<Failure, 'code' | 'message'>

const line = ({ code, message }: Coded): string => `${code}: ${message}`
const outcome = ({ sink, subtask, state, facts }: SinkOutcome): string =>
  `sink ${sink}, subtask ${subtask}: ${state}${typeof facts['message'] === 'string' ? `: ${facts['message']}` : ''}`
