/** What users ask about the savepoints of a job, running or not. */
import { savepointName, type LeaderStores } from '@weir/checkpoint'
import { savepointExists, savepointView, type SavepointView } from '@weir/job'
import { WeirError, type Clock, type JobId } from '@weir/model'
import type { TermJobs } from './term-jobs.ts'

export interface SavepointWishesDeps {
  readonly jobs: TermJobs
  readonly stores: LeaderStores
  readonly clock: Clock
}

export class SavepointWishes {
  readonly #deps: SavepointWishesDeps

  constructor(deps: SavepointWishesDeps) {
    this.#deps = deps
  }

  /** Throws as `JobMaster.savepoint`, and `JOB_UNKNOWN`, `JOB_NOT_RUNNING` (invalid). */
  async take(jobId: JobId, name: string): Promise<SavepointView> {
    await this.#unusedName(jobId, name)
    return this.#deps.jobs.running(jobId).savepoint(name)
  }

  /**
   * The job ends with a last epoch and a savepoint of it. The wish is recorded first, as that of a cancel; asked for once more, because
   * the answer was lost, it is the same one. Throws as `take`.
   */
  async stop(jobId: JobId, name: string): Promise<SavepointView> {
    const { jobs, stores, clock } = this.#deps
    const stop = { savepoint: savepointName(name) }
    jobs.get(jobId)
    const recorded = await stores.jobs.get(jobId)
    if (recorded?.desired === 'stopped' && recorded.stop?.savepoint === name) {
      const asked = jobs.master(jobId)
      asked?.dispatch({ type: 'stop', ...stop })
      const taken = (await this.list(jobId)).find((view) => view.name === name)
      if (asked || taken) return taken ?? stoppingView(jobId, name, clock.now())
    }
    await this.#unusedName(jobId, name)
    const master = jobs.running(jobId)
    await stores.jobs.update(jobId, (record) => {
      if (record.desired === 'running') return { ...record, desired: 'stopped', stop }
      throw new WeirError(
        { code: 'JOB_ENDING', kind: 'invalid', jobId },
        `job ${jobId} is to be ${record.desired} already; \`weir get ${jobId}\` tells when it is`,
      )
    })
    master.dispatch({ type: 'stop', ...stop })
    return stoppingView(jobId, name, clock.now())
  }

  /** Of one job, running or not: complete ones, then those being taken and those that failed in this term. */
  async list(jobId: JobId): Promise<readonly SavepointView[]> {
    const { jobs, stores } = this.#deps
    jobs.get(jobId)
    const complete = (await stores.savepoints(jobId).list()).map(savepointView)
    const known = new Set(complete.map(({ name }) => name))
    return [...complete, ...(jobs.master(jobId)?.savepoints() ?? []).filter(({ name }) => !known.has(name))]
  }

  /** Throws `SAVEPOINT_UNKNOWN`, `SAVEPOINT_IN_PROGRESS` (invalid). Jobs that were started from it have their own copy. */
  async delete(jobId: JobId, name: string): Promise<void> {
    const { jobs, stores } = this.#deps
    jobs.get(jobId)
    const busy = jobs.master(jobId)?.savepoints() ?? []
    if (busy.some((view) => view.name === name && view.state === 'IN_PROGRESS')) {
      throw new WeirError(
        { code: 'SAVEPOINT_IN_PROGRESS', kind: 'invalid', jobId, name },
        `savepoint "${name}" of ${jobId} is being taken; delete it when it is complete`,
      )
    }
    if (await stores.savepoints(jobId).delete(savepointName(name))) return
    throw new WeirError(
      { code: 'SAVEPOINT_UNKNOWN', kind: 'invalid', jobId, name },
      `job ${jobId} has no savepoint "${name}"; \`weir savepoints ${jobId}\` lists those it has`,
    )
  }

  async #unusedName(jobId: JobId, name: string): Promise<void> {
    savepointName(name)
    const views = await this.list(jobId)
    if (views.some((view) => view.name === name && view.state !== 'FAILED')) throw savepointExists(jobId, name)
  }
}

/** Its epoch is not known yet. */
const stoppingView = (jobId: JobId, name: string, takenAt: number): SavepointView => ({
  ...{ jobId, name, state: 'IN_PROGRESS', epoch: null, takenAt, parallelism: null, bytes: null },
  ...{ stopped: true, folder: null, error: null },
})
