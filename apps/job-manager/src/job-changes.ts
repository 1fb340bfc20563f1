/**
 * What users change about a job that runs. The wish is recorded first, then told to the JobMaster: so restarts and the next leader go on
 * with it.
 */
import type { LeaderStores } from '@weir/checkpoint'
import type { RateLimits } from '@weir/dataflow'
import { checkRescale, limitsWith, subtasksOf, type FleetSlots, type JobView, type RateView } from '@weir/job'
import { WeirError, type JobId } from '@weir/model'
import { limitsIn, specOf } from './recorded-job.ts'
import type { TermJobs } from './term-jobs.ts'

export interface JobChangesDeps {
  readonly jobs: TermJobs
  readonly stores: LeaderStores
  readonly slots: FleetSlots
}

export class JobChanges {
  readonly #deps: JobChangesDeps

  constructor(deps: JobChangesDeps) {
    this.#deps = deps
  }

  /** Throws `JOB_UNKNOWN` (invalid). One that has ended stays as it is. */
  async cancel(jobId: JobId): Promise<JobView> {
    const { jobs, stores } = this.#deps
    const before = jobs.get(jobId)
    const master = jobs.master(jobId)
    if (master === null) return before
    await stores.jobs.update(jobId, (record) => ({ ...record, desired: 'cancelled' }))
    master.dispatch({ type: 'cancel' })
    return jobs.get(jobId)
  }

  /** Throws `JOB_UNKNOWN` (invalid), and as `checkRescale`. */
  async rescale(jobId: JobId, parallelism: unknown): Promise<JobView> {
    const { jobs, stores, slots } = this.#deps
    const { state } = jobs.get(jobId)
    const master = jobs.master(jobId)
    const spec = master?.spec ?? specOf(jobs.ended(jobId)!)
    const ending = master === null || ['CANCELLING', 'FAILING', 'STOPPING'].includes(state)
    checkRescale({ spec, ending, room: slots.roomFor(jobId) }, parallelism)
    const { highestParallelism } = await stores.jobs.update(jobId, (record) => ({
      ...record,
      parallelism,
      highestParallelism: Math.max(subtasksOf(specOf(record)), parallelism),
    }))
    master!.dispatch({ type: 'rescale', parallelism, highestParallelism: highestParallelism! })
    return jobs.get(jobId)
  }

  /**
   * Throws `JOB_UNKNOWN`, `JOB_NOT_RUNNING` (invalid), and as `limitsWith`.
   * @param source null: every source of the job
   */
  async adjustRate(
    jobId: JobId,
    source: string | null,
    wish: Parameters<typeof limitsWith>[2],
  ): Promise<readonly RateView[]> {
    const { jobs, stores } = this.#deps
    jobs.get(jobId)
    const master = jobs.running(jobId)
    const { plan } = master.spec
    limitsWith({ plan, jobId, limits: {} }, source, wish)
    const { rates } = await stores.jobs.update(jobId, (record) => ({
      ...record,
      rates: limitsWith({ plan, jobId, limits: limitsIn(record) }, source, wish),
    }))
    master.adjustRates(rates as RateLimits)
    return jobs.get(jobId).rates
  }

  /**
   * Turns the degrade switch: user code sees it from the next barrier on. Throws `JOB_UNKNOWN`, `JOB_NOT_RUNNING`, `DEGRADE_INVALID`, `JOB_NOT_DEGRADABLE` (invalid).
   */
  async degrade(jobId: JobId, degraded: unknown): Promise<JobView> {
    const { jobs, stores } = this.#deps
    const { degradeSwitch } = jobs.get(jobId)
    const master = jobs.running(jobId)
    if (typeof degraded !== 'boolean')
      throw new WeirError({ code: 'DEGRADE_INVALID', kind: 'invalid', jobId }, 'say how: {"degraded":true}, or false')
    if (degradeSwitch === null)
      throw new WeirError(
        { code: 'JOB_NOT_DEGRADABLE', kind: 'invalid', jobId },
        `job ${jobId} has no degrade switch: nothing in it asks for one. Build it with the setting degradable: true, and ask context.degraded`,
      )
    await stores.jobs.update(jobId, (record) => ({ ...record, degraded }))
    master.degrade(degraded)
    return jobs.get(jobId)
  }

  /** Throws as `JobMaster.restartSlices`, and `JOB_UNKNOWN`, `JOB_NOT_RUNNING` (invalid). */
  restartSlices(jobId: JobId, subtask: number | null, reason: string): void {
    this.#deps.jobs.running(jobId).restartSlices(subtask, reason)
  }
}
