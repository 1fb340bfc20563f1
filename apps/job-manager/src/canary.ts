/** A job beside the one that runs a candidate build of it (`weir canary`). */
import type { LeaderStores } from '@weir/checkpoint'
import { readUpTo, type CanarySide, type CanaryView, type JobView } from '@weir/job'
import type { JobId } from '@weir/model'
import type { TermJobs } from './term-jobs.ts'

/** @param savepoint the name of one of the job's; null: none is asked for. Throws `JOB_UNKNOWN` (invalid). */
export async function canaryOf(
  jobs: TermJobs,
  stores: LeaderStores,
  jobId: JobId,
  savepoint: string | null,
): Promise<CanaryView> {
  const live = sideOf(jobs, jobs.get(jobId))
  const canaries = jobs.list().filter((view) => jobs.planOf(view.jobId).settings.canary?.of === jobId)
  const newest = canaries.toSorted((a, b) => b.submittedAt - a.submittedAt)[0]
  const stored = savepoint === null ? [] : await stores.savepoints(jobId).list()
  const found = stored.findLast((one) => one.savepoint.name === savepoint)?.savepoint
  const { settings } = newest === undefined ? {} : jobs.planOf(newest.jobId)
  return {
    live,
    canary: newest === undefined ? null : { ...sideOf(jobs, newest), settings: settings!.canary! },
    savepoint: found === undefined ? null : { name: found.name, epoch: found.epoch, output: found.output ?? null },
  }
}

const sideOf = (jobs: TermJobs, { jobId, state, finalEpoch, error }: JobView): CanarySide => ({
  jobId,
  state,
  finalEpoch,
  error,
  read: readUpTo(jobs.master(jobId)?.published() ?? null),
})
