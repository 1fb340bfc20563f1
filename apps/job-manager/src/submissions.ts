/** How a job comes in: submitted, from something that is stored, or once more with the bundle it had. */
import type { JobRecord, LeaderStores } from '@weir/checkpoint'
import type { PlanSummary } from '@weir/dataflow'
import { WeirError, asWeirError, type Clock, type JobId } from '@weir/model'
import type { Logger } from '@weir/telemetry'
import type { FleetJanitor } from './fleet-janitor.ts'
import type { Ledger } from './ledger.ts'
import type { Preflight } from './preflight.ts'
import { askedFor, askedForNotes } from './recorded-job.ts'
import type { JobStart, Starts, StartWish } from './starts.ts'
import type { Sweeper } from './sweeper.ts'
import type { TermJobs } from './term-jobs.ts'

const ADOPT_RETRY_MS = 500

export interface SubmissionsOptions {
  /** Jobs that run at once. */
  readonly jobsMax: number
}

export interface SubmissionsDeps {
  readonly jobs: TermJobs
  readonly stores: LeaderStores
  readonly starts: Starts
  readonly ledger: Ledger
  readonly sweeper: Sweeper
  readonly janitor: FleetJanitor
  /** Null: nobody asks whether the servers are fit for a job. */
  readonly preflight: Preflight | null
  readonly clock: Clock
  readonly log: Pick<Logger, 'warn'>
  /** Of the lease: aborted with the term. */
  readonly signal: AbortSignal
  /** It is recorded, and runs from now on. */
  readonly start: (record: JobRecord) => void
}

export class Submissions {
  readonly #options: SubmissionsOptions
  readonly #deps: SubmissionsDeps
  /** Those that are being decided: each will be a job that runs, or is refused. */
  #submitting = 0
  /** Jobs of which a record may have been written that was not confirmed. */
  readonly #adopting = new Set<JobId>()

  constructor(options: SubmissionsOptions, deps: SubmissionsDeps) {
    this.#options = options
    this.#deps = deps
  }

  /**
   * Throws `JOB_EXISTS`, `JOB_UNSAFE` (invalid), `JOBS_MAX_REACHED`; with `wish` as `Starts.judged`.
   * @returns what should be known about the start: what is empty, dropped, written again, or unsafe and accepted.
   */
  async submit(wanted: JobRecord, wish: StartWish | null = null): Promise<readonly string[]> {
    const { jobsMax } = this.#options
    if (this.#deps.jobs.runningCount + this.#submitting >= jobsMax) {
      throw new WeirError({ code: 'JOBS_MAX_REACHED', kind: 'retry' }, `${jobsMax} jobs run already; cancel one`)
    }
    this.#submitting++
    try {
      return await this.#submitted(wanted, wish)
    } finally {
      this.#submitting--
    }
  }

  async #submitted(wanted: JobRecord, wish: StartWish | null): Promise<readonly string[]> {
    const { preflight, janitor, start } = this.#deps
    const safety = preflight === null ? [] : await preflight.check(wanted.plan as PlanSummary, janitor)
    if (wish !== null) return [...safety, ...(await this.#submitFrom(wanted, wish))]
    await this.#create(wanted)
    start(wanted)
    return safety
  }

  /** An ended job with the bundle it had. Throws as `submit`, `JOB_UNKNOWN`, `JOB_EXISTS` (it has not ended; invalid). */
  async restart(
    jobId: JobId,
    wish: Omit<StartWish, 'from'> & { readonly from: string | null },
  ): Promise<readonly string[]> {
    const { jobs, clock } = this.#deps
    jobs.get(jobId)
    const ended = jobs.ended(jobId)
    if (ended === null) throw jobExists(jobId)
    const [newest] = ended.ended!.kept ?? []
    const { stop: _stop, from: _from, ...rest } = ended
    const record: JobRecord = { ...rest, submittedAt: clock.now(), desired: 'running', ended: null }
    const from = wish.from ?? String(newest?.epoch ?? 0)
    return this.submit(record, { ...wish, from })
  }

  async #submitFrom(wanted: JobRecord, wish: StartWish): Promise<readonly string[]> {
    const { jobId } = wanted
    const { jobs, starts, start } = this.#deps
    if (jobs.master(jobId) !== null) throw jobExists(jobId)
    const before = jobs.ended(jobId)
    const record = await starts.judged(wanted, wish)
    const { notes } = record.from as JobStart
    if (before === null) {
      await this.#create(record)
      start(record)
      return notes
    }
    const asked = askedFor(before, record.plan as PlanSummary)
    start(await this.#replace(before, { ...record, ...asked }))
    return [...notes, ...askedForNotes(asked)]
  }

  async #replace(before: JobRecord, record: JobRecord): Promise<JobRecord> {
    const { jobId } = record
    const { jobs, stores, ledger, sweeper } = this.#deps
    const highestParallelism = Math.max(record.highestParallelism ?? 0, before.highestParallelism ?? 0)
    const again = { ...record, highestParallelism }
    await ledger.remove(jobId)
    sweeper.remove(jobId)
    try {
      await this.#written(jobId, () =>
        stores.jobs.update(jobId, (there) => {
          if (there.ended !== null && there.submittedAt === before.submittedAt) return again
          throw jobExists(jobId)
        }),
      )
    } catch (error) {
      if (jobs.ended(jobId) !== null) {
        ledger.add(before)
        sweeper.ended(before)
      }
      if (asWeirError(error, 'WRITE_FAILED').code === 'JOB_EXISTS') this.#adopt(jobId)
      throw error
    }
    jobs.forget(jobId)
    return again
  }

  async #create(record: JobRecord): Promise<void> {
    if (await this.#written(record.jobId, () => this.#deps.stores.jobs.create(record))) return
    this.#adopt(record.jobId)
    throw new WeirError(
      { code: 'JOB_EXISTS', kind: 'invalid', jobId: record.jobId },
      `a job "${record.jobId}" exists already, and an id is never used again (its transactions and snapshots carry ` +
        'it): submit with --id NEW-ID, or go on with what it has kept: --from EPOCH or SAVEPOINT',
    )
  }

  /** Also what was not answered may have been written. */
  async #written<T>(jobId: JobId, write: () => Promise<T>): Promise<T> {
    try {
      return await write()
    } catch (error) {
      if (asWeirError(error, 'WRITE_FAILED', 'retry').kind === 'retry') this.#adopt(jobId)
      throw error
    }
  }

  /**
   * Starts what this term has written without hearing so: nobody else writes a job's record while it leads, so one that has not ended
   * and is not run here is such a one. Otherwise it would begin under the next leader, whenever that is.
   */
  #adopt(jobId: JobId): void {
    const { jobs, stores, ledger, sweeper, clock, log, signal, start } = this.#deps
    if (this.#adopting.has(jobId)) return
    this.#adopting.add(jobId)
    const known = jobs.ended(jobId)
    const asKnown = (): boolean => jobs.master(jobId) === null && jobs.ended(jobId) === known
    const adopted = async (): Promise<void> => {
      for (;;) {
        try {
          const record = await stores.jobs.get(jobId)
          if (record === null || record.ended !== null || !asKnown()) return
          await ledger.remove(jobId)
          if (!asKnown()) return
          sweeper.remove(jobId)
          jobs.forget(jobId)
          log.warn({ jobId }, 'recorded by a request whose answer was lost: it starts now')
          return start(record)
        } catch {
          await clock.sleep(ADOPT_RETRY_MS, signal) // ends with the lease
        }
      }
    }
    void adopted()
      .catch(() => undefined)
      .finally(() => this.#adopting.delete(jobId))
  }
}

const jobExists = (jobId: JobId): WeirError =>
  new WeirError(
    { code: 'JOB_EXISTS', kind: 'invalid', jobId },
    `job "${jobId}" has not ended, so nothing is started under its id: \`weir stop ${jobId} NAME\` first, or give another --id`,
  )
