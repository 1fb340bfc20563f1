/**
 * What a stream of events shows, as named texts: an event is sent when the text under its name is another one than before, so
 * nothing is ever sent twice and nothing that lasts is missed, however it came about.
 */
import type { CheckpointView, JobSummary, JobView } from '@weir/job'
import type { JobId } from '@weir/model'
import type { TaskManagerInfo } from '@weir/wire'

export interface LiveEvent {
  readonly event: 'job' | 'checkpoint' | 'task-managers'
  /** JSON */
  readonly data: string
}
export type Picture = ReadonlyMap<string, LiveEvent>

/** What is asked of the leader. */
export interface LiveSource {
  list(): readonly JobView[]
  /** Throws `JOB_UNKNOWN`. */
  get(jobId: JobId): JobView
  checkpoints(jobId: JobId): readonly CheckpointView[]
}

export function summaryOf({ slices, sinks: _, ...view }: JobView): JobSummary {
  const recordsOut = slices.reduce((sum, slice) => sum + slice.recordsOut, 0)
  const watermark = Math.min(...slices.map((slice) => slice.watermark))
  return { ...view, recordsOut, watermark: Number.isFinite(watermark) && watermark > 0 ? watermark : null }
}

/** `jobId` null: all jobs in short, and the fleet. Otherwise one job as a whole, and its checkpoints. Throws `JOB_UNKNOWN`. */
export function pictureOf(source: LiveSource, fleet: () => readonly TaskManagerInfo[], jobId: JobId | null): Picture {
  const picture = new Map<string, LiveEvent>()
  const add = (name: string, event: LiveEvent['event'], value: unknown): void => {
    picture.set(name, { event, data: JSON.stringify(value) })
  }
  if (jobId === null) {
    for (const view of source.list()) add(view.jobId, 'job', summaryOf(view))
    add('', 'task-managers', fleet())
    return picture
  }
  add('', 'job', source.get(jobId))
  for (const epoch of [...source.checkpoints(jobId)].reverse()) {
    add(String(epoch.epoch), 'checkpoint', { jobId, ...epoch })
  }
  return picture
}

/** What has to be sent to somebody who knows `before`, oldest checkpoint first. */
export function changes(before: Picture, now: Picture): readonly LiveEvent[] {
  return [...now].filter(([name, { data }]) => before.get(name)?.data !== data).map(([, event]) => event)
}

/** Everything, as the one event that comes first. */
export function snapshotOf(picture: Picture, jobId: JobId | null): string {
  const events = [...picture.values()]
  const list = (event: LiveEvent['event']): string =>
    `[${events.flatMap((e) => (e.event === event ? [e.data] : [])).join(',')}]`
  if (jobId === null) return `"jobs":${list('job')},"taskManagers":${picture.get('')?.data ?? '[]'}`
  return `"job":${picture.get('')!.data},"checkpoints":${list('checkpoint')}`
}
