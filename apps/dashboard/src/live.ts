/** Streams of events (docs/REST.md): how they are read, and what becomes of a page's data by them. Pure. */
import type { Checkpoint, Job, JobSummary, TaskManager } from './view.ts'

export interface LiveEvent {
  readonly event: string
  readonly id: string
  readonly data: unknown
}

/** Whole frames of a stream, and the rest of its text, which belongs to the next one. Comments are left out. */
export function framesIn(text: string): { readonly events: readonly LiveEvent[]; readonly rest: string } {
  const frames = text.split('\n\n')
  const rest = frames.pop() ?? ''
  const events = frames.flatMap((frame) => {
    const fields = new Map(
      frame.split('\n').map((line) => [line.split(': ', 1)[0]!, line.slice(line.indexOf(': ') + 2)]),
    )
    const data = fields.get('data')
    return data === undefined
      ? []
      : [{ event: fields.get('event') ?? '', id: fields.get('id') ?? '', data: JSON.parse(data) as unknown }]
  })
  return { events, rest }
}

export interface Notice {
  /** ms since 1970 */
  readonly at: number
  readonly channel: string
  readonly jobId: string | null
  readonly message: Readonly<Record<string, unknown>>
}

export interface OneJob {
  readonly job: Job
  /** Newest first. */
  readonly checkpoints: readonly Checkpoint[]
  /** Since this page was opened, newest first. */
  readonly notices: readonly Notice[]
}
export interface AllJobs {
  /** By id. */
  readonly jobs: readonly JobSummary[]
  readonly taskManagers: readonly TaskManager[]
}

const CHECKPOINTS_MAX = 100
const NOTICES_MAX = 50

/** Before the first snapshot there is nothing. */
export function oneJob(before: OneJob | undefined, { event, data }: LiveEvent): OneJob | undefined {
  if (event === 'snapshot') {
    const { job, checkpoints } = data as { job: Job; checkpoints: readonly Checkpoint[] }
    return { job, checkpoints: checkpoints.toReversed(), notices: before?.notices ?? [] }
  }
  if (before === undefined) return before
  if (event === 'job') return { ...before, job: data as Job }
  if (event === 'checkpoint') {
    const one = data as Checkpoint
    const others = before.checkpoints.filter(({ epoch }) => epoch !== one.epoch)
    const checkpoints = [...others, one].toSorted((a, b) => b.epoch - a.epoch).slice(0, CHECKPOINTS_MAX)
    return { ...before, checkpoints }
  }
  if (event === 'notice') return { ...before, notices: [data as Notice, ...before.notices].slice(0, NOTICES_MAX) }
  return before
}

export function allJobs(before: AllJobs | undefined, { event, data }: LiveEvent): AllJobs | undefined {
  if (event === 'snapshot') {
    const { jobs, taskManagers } = data as AllJobs
    return { jobs, taskManagers }
  }
  if (before === undefined) return before
  if (event === 'task-managers') return { ...before, taskManagers: data as readonly TaskManager[] }
  if (event === 'job') {
    const one = data as JobSummary
    const others = before.jobs.filter(({ jobId }) => jobId !== one.jobId)
    return { ...before, jobs: [...others, one].toSorted((a, b) => (a.jobId < b.jobId ? -1 : 1)) }
  }
  return before
}

/** What a notice says, on one line. */
export const said = ({ channel, message }: Notice): string =>
  [
    channel.replace(/^weir:/, '').replaceAll(':', ' '),
    ...Object.entries(message).map(
      ([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ),
  ].join(', ')
