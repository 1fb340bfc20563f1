/**
 * One term of leadership: every job of the cluster under one generation. It is made when the election is won and thrown
 * away when the lease ends; nothing in it is needed to go on, the next leader reads all from the stores.
 */
import { savepointName, type JobRecord, type LeaderStores, type Leadership } from '@weir/checkpoint'
import { strategyOf, type JobSettings, type PlanSummary, type RateLimits } from '@weir/dataflow'
import {
  FleetSlots,
  JobMaster,
  checkRescale,
  graphView,
  limitsWith,
  rateViews,
  readUpTo,
  savepointExists,
  savepointView,
  switchView,
  subtasksOf,
  TASK_EPOCHS_MAX,
  type CheckpointView,
  type TaskCheckpointView,
  type GraphView,
  type JobSpec,
  type JobTracer,
  type JobView,
  type LedgerEntry,
  type RateView,
  type CanarySide,
  type CanaryView,
  type SavepointView,
  type SinkOutcome,
  type UsedNumbers,
} from '@weir/job'
import {
  WeirError,
  asWeirError,
  jobId as jobIdOf,
  type Clock,
  type JobId,
  type Random,
  type TaskManagerId,
} from '@weir/model'
import type { Logger, Metrics } from '@weir/telemetry'
import { reportEvent, type FleetServer, type SliceId, type SliceReportMessage, type TaskManagerInfo } from '@weir/wire'
import { LEASE_SECONDS_MAX } from './config.ts'
import { DeadLetters } from './dead-letters.ts'
import { FleetJanitor } from './fleet-janitor.ts'
import { Ledger } from './ledger.ts'
import { planIn, profileIn, type Examination, type Preflight } from './preflight.ts'
import { Notices } from './live/notices.ts'
import { Sweeper } from './sweeper.ts'
import { Starts, type JobStart, type StartCheck, type StartWish } from './starts.ts'
import { StoredStates } from './stored-states.ts'

export interface TermDeps {
  readonly leadership: Leadership
  readonly stores: LeaderStores
  readonly fleet: FleetServer
  readonly clock: Clock
  readonly random: Random
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn'>
  readonly metrics: Pick<Metrics, 'observe'>
  /** Whether the servers are fit for the job; absent: nobody asks. */
  readonly preflight?: Preflight
  /** Absent: nothing is traced. */
  readonly tracer?: JobTracer | null
  /** Jobs that run at once. Absent: `JOBS_MAX`. */
  readonly jobsMax?: number
  /** As in JobMasterOptions. */
  readonly retainedMin?: number
}

/** Resolution of triggers and timeouts of every job. */
const TICK_MS = 50
export const JOBS_MAX = 1_000
const LOAD_RETRY_MS = 500

export class Term {
  readonly #deps: TermDeps
  readonly #slots = new FleetSlots()
  readonly #ledger: Ledger
  readonly #janitor: FleetJanitor
  readonly deadLetters: DeadLetters
  readonly notices: Notices
  readonly #starts: Starts
  readonly #sweeper: Sweeper
  /** By jobs that have ended in this term: numbers that no later run under the id may use. */
  readonly #used = new Map<JobId, UsedNumbers>()
  readonly state: StoredStates
  readonly #masters = new Map<JobId, JobMaster>()
  /** Jobs of which a record may have been written that was not confirmed. */
  readonly #adopting = new Set<JobId>()
  /** Submits that are being decided: each will be one of those, or is refused. */
  #submitting = 0
  /** Jobs that have ended, with their last view where this term saw it. */
  readonly #records = new Map<JobId, { record: JobRecord; view: JobView | null }>()
  #stepDown: (reason: string) => void = () => {}

  constructor(deps: TermDeps) {
    this.#deps = deps
    const { leadership, stores, fleet, clock, random } = deps
    const janitor = (this.#janitor = new FleetJanitor(fleet))
    this.notices = new Notices(clock)
    this.deadLetters = new DeadLetters({ janitor, random, planOf: (jobId) => this.#planOf(jobId) })
    this.state = new StoredStates({
      stores,
      running: (jobId) => {
        const view = this.get(jobId)
        return this.#masters.has(jobId) ? view : null
      },
      ended: (jobId) => this.#records.get(jobId)!.record,
      planOf: (jobId) => this.#planOf(jobId),
    })
    this.#starts = new Starts({
      stores,
      clock,
      signal: leadership.signal,
      running: (jobId) => this.#masters.get(jobId) ?? null,
      ended: (jobId) => this.#records.get(jobId)?.record ?? null,
      finalEpoch: (jobId, at) => this.state.finalEpoch(jobId, at),
    })
    this.#sweeper = new Sweeper(
      { leaseTtlMs: LEASE_SECONDS_MAX * 1_000 },
      {
        leadership,
        stores,
        clock,
        recorded: (record) => this.#ledger.changed(record),
        publish: (channel, message) => this.#publish(channel, message),
      },
    )
    this.#ledger = new Ledger({
      leadership,
      stores,
      janitor,
      clock,
      running: (jobId) => this.#masters.get(jobId) ?? null,
      allRunning: () => this.#masters.values(),
      recorded: (record) => {
        this.#records.set(record.jobId, { record, view: this.#records.get(record.jobId)?.view ?? null })
        this.#sweeper.ended(record)
      },
      stepDown: (reason) => this.#stepDown(reason),
      publish: (channel, message) => this.#publish(channel, message),
    })
  }

  get generation(): number {
    return this.#deps.leadership.generation
  }

  /** Reads every job and starts those that have not ended. Resolves when the term is over. */
  async run(): Promise<string> {
    const { leadership, log } = this.#deps
    const over = new Promise<string>((resolve) => {
      this.#stepDown = resolve
      const { signal } = leadership
      const aborted = (): void => resolve(asWeirError(signal.reason, 'LEADERSHIP_LOST').message)
      if (signal.aborted) aborted()
      else signal.addEventListener('abort', aborted, { once: true })
    })
    void this.#load().catch((error: unknown) => this.#stepDown(`jobs cannot be read: ${String(error)}`))
    const reason = await over
    for (const master of this.#masters.values()) master.close()
    log.warn({ generation: leadership.generation, reason }, 'leadership ended')
    await leadership.resign()
    return reason
  }

  // ---- what users ask for -------------------------------------------------------------------------------------------

  /**
   * Throws `JOB_EXISTS`, `JOB_UNSAFE` (invalid), `JOBS_MAX_REACHED`; with `wish` as `Starts.judged`.
   * @returns what should be known about the start: what is empty, dropped, written again, or unsafe and accepted.
   */
  async submit(wanted: JobRecord, wish: StartWish | null = null): Promise<readonly string[]> {
    const { jobsMax = JOBS_MAX } = this.#deps
    if (this.#masters.size + this.#submitting >= jobsMax) {
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
    const { preflight } = this.#deps
    const safety = preflight === undefined ? [] : await preflight.check(wanted.plan as PlanSummary, this.#janitor)
    if (wish !== null) return [...safety, ...(await this.#submitFrom(wanted, wish))]
    await this.#create(wanted)
    this.#start(wanted)
    return safety
  }

  /** Can a build go on from what is stored? Throws as `Starts.checked`. */
  check(...wish: Parameters<Starts['checked']>): Promise<StartCheck> {
    return this.#starts.checked(...wish)
  }

  /** An ended job with the bundle it had. Throws as `submit`, `JOB_UNKNOWN`, `JOB_EXISTS` (it has not ended; invalid). */
  async restart(
    jobId: JobId,
    wish: Omit<StartWish, 'from'> & { readonly from: string | null },
  ): Promise<readonly string[]> {
    this.get(jobId)
    const ended = this.#records.get(jobId)?.record
    if (ended === undefined) throw jobExists(jobId)
    const [newest] = ended.ended!.kept ?? []
    const { stop: _stop, from: _from, ...rest } = ended
    const record: JobRecord = { ...rest, submittedAt: this.#deps.clock.now(), desired: 'running', ended: null }
    const from = wish.from ?? String(newest?.epoch ?? 0)
    return this.submit(record, { ...wish, from })
  }

  async #submitFrom(wanted: JobRecord, wish: StartWish): Promise<readonly string[]> {
    const { jobId } = wanted
    if (this.#masters.has(jobId)) throw jobExists(jobId)
    const before = this.#records.get(jobId)?.record
    const record = await this.#starts.judged(wanted, wish)
    const { notes } = record.from as JobStart
    if (before === undefined) {
      await this.#create(record)
      this.#start(record)
    } else this.#start(await this.#replace(before, record))
    return notes
  }

  async #replace(before: JobRecord, record: JobRecord): Promise<JobRecord> {
    const { jobId } = record
    const highestParallelism = Math.max(record.highestParallelism ?? 0, before.highestParallelism ?? 0)
    const again = { ...record, highestParallelism }
    await this.#ledger.remove(jobId)
    this.#sweeper.remove(jobId)
    try {
      await this.#written(jobId, () =>
        this.#deps.stores.jobs.update(jobId, (there) => {
          if (there.ended !== null && there.submittedAt === before.submittedAt) return again
          throw jobExists(jobId)
        }),
      )
    } catch (error) {
      if (this.#records.has(jobId)) {
        this.#ledger.add(before)
        this.#sweeper.ended(before)
      }
      if (asWeirError(error, 'WRITE_FAILED').code === 'JOB_EXISTS') this.#adopt(jobId)
      throw error
    }
    this.#records.delete(jobId)
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
    const { stores, leadership, clock, log } = this.#deps
    if (this.#adopting.has(jobId)) return
    this.#adopting.add(jobId)
    const known = this.#records.get(jobId)
    const asKnown = (): boolean => !this.#masters.has(jobId) && this.#records.get(jobId) === known
    const adopted = async (): Promise<void> => {
      for (;;) {
        try {
          const record = await stores.jobs.get(jobId)
          if (record === null || record.ended !== null || !asKnown()) return
          await this.#ledger.remove(jobId)
          if (!asKnown()) return
          this.#sweeper.remove(jobId)
          this.#records.delete(jobId)
          log.warn({ jobId }, 'recorded by a request whose answer was lost: it starts now')
          return this.#start(record)
        } catch {
          await clock.sleep(LOAD_RETRY_MS, leadership.signal) // ends with the lease
        }
      }
    }
    void adopted()
      .catch(() => undefined)
      .finally(() => this.#adopting.delete(jobId))
  }

  /** Throws `JOB_UNKNOWN` (invalid). */
  get(jobId: JobId): JobView {
    const master = this.#masters.get(jobId)
    if (master) return master.view()
    const ended = this.#records.get(jobId)
    if (ended) return { ...(ended.view ?? viewOf(ended.record)), ...outcomesOf(ended.record) }
    throw new WeirError(
      { code: 'JOB_UNKNOWN', kind: 'invalid', jobId },
      `there is no job "${jobId}"; \`weir jobs\` lists those there are`,
    )
  }

  list(): readonly JobView[] {
    return [...this.#masters.keys(), ...this.#records.keys()].map((id) => this.get(id))
  }

  /** Throws `JOB_UNKNOWN` (invalid). */
  graph(jobId: JobId): GraphView {
    const plan = this.#planOf(jobId)
    const { bundleDigest } = this.#masters.get(jobId)?.spec ?? this.#records.get(jobId)!.record
    return { ...graphView(plan), bundleDigest }
  }

  /** @param savepoint the name of one of the job's; null: none is asked for. Throws `JOB_UNKNOWN` (invalid). */
  async canary(jobId: JobId, savepoint: string | null): Promise<CanaryView> {
    const live = this.#canarySide(this.get(jobId))
    const canaries = this.list().filter((view) => this.#planOf(view.jobId).settings.canary?.of === jobId)
    const newest = canaries.toSorted((a, b) => b.submittedAt - a.submittedAt)[0]
    const stored = savepoint === null ? [] : await this.#deps.stores.savepoints(jobId).list()
    const found = stored.findLast((one) => one.savepoint.name === savepoint)?.savepoint
    const { settings } = newest === undefined ? {} : this.#planOf(newest.jobId)
    return {
      live,
      canary: newest === undefined ? null : { ...this.#canarySide(newest), settings: settings!.canary! },
      savepoint: found === undefined ? null : { name: found.name, epoch: found.epoch, output: found.output ?? null },
    }
  }

  #canarySide({ jobId, state, finalEpoch, error }: JobView): CanarySide {
    return { jobId, state, finalEpoch, error, read: readUpTo(this.#masters.get(jobId)?.published() ?? null) }
  }

  /** Throws `JOB_UNKNOWN`, `PROFILE_UNKNOWN`, `PLAN_INVALID` (invalid), `EXAMINE_UNAVAILABLE` (invalid). */
  examine(of: { readonly jobId: string; readonly plan: Uint8Array; readonly profile: string }): Promise<Examination> {
    const { preflight } = this.#deps
    if (preflight === undefined) {
      throw new WeirError(
        { code: 'EXAMINE_UNAVAILABLE', kind: 'invalid' },
        'this job-manager examines no servers: it was started without a preflight',
      )
    }
    const plan = of.jobId === '' ? planIn(of.plan) : this.#planOf(jobIdOf(of.jobId))
    return preflight.examine(plan, this.#janitor, profileIn(of.profile))
  }

  checkpoints(jobId: JobId): readonly CheckpointView[] {
    this.get(jobId)
    return this.#masters.get(jobId)?.checkpoints() ?? []
  }

  /** By subtask. Throws `JOB_UNKNOWN`, `CHECKPOINT_UNKNOWN` (invalid). */
  checkpointTasks(jobId: JobId, epoch: number): readonly TaskCheckpointView[] {
    this.get(jobId)
    const tasks = this.#masters.get(jobId)?.checkpointTasks(epoch)
    if (tasks) return tasks
    throw new WeirError(
      { code: 'CHECKPOINT_UNKNOWN', kind: 'invalid', jobId, epoch },
      `of epoch ${epoch} of job ${jobId} nothing is known by subtask: the last ${TASK_EPOCHS_MAX} of this term are kept, see the list of checkpoints`,
    )
  }

  /** The wish is recorded first: also the next leader cancels it. */
  async cancel(jobId: JobId): Promise<JobView> {
    const before = this.get(jobId)
    const master = this.#masters.get(jobId)
    if (master === undefined) return before
    await this.#deps.stores.jobs.update(jobId, (record) => ({ ...record, desired: 'cancelled' }))
    master.dispatch({ type: 'cancel' })
    return this.get(jobId)
  }

  /** Throws as `JobMaster.savepoint`, and `JOB_UNKNOWN`, `JOB_NOT_RUNNING` (invalid). */
  async savepoint(jobId: JobId, name: string): Promise<SavepointView> {
    await this.#unusedName(jobId, name)
    return this.#running(jobId).savepoint(name)
  }

  /**
   * The job ends with a last epoch and a savepoint of it. The wish is recorded first, as that of a cancel; asked for once more, because
   * the answer was lost, it is the same one. Throws as `savepoint`.
   */
  async stop(jobId: JobId, name: string): Promise<SavepointView> {
    const stop = { savepoint: savepointName(name) }
    this.get(jobId)
    const recorded = await this.#deps.stores.jobs.get(jobId)
    if (recorded?.desired === 'stopped' && recorded.stop?.savepoint === name) {
      const asked = this.#masters.get(jobId)
      asked?.dispatch({ type: 'stop', ...stop })
      const taken = (await this.savepoints(jobId)).find((view) => view.name === name)
      if (asked || taken) return taken ?? stoppingView(jobId, name, this.#deps.clock.now())
    }
    await this.#unusedName(jobId, name)
    const master = this.#running(jobId)
    await this.#deps.stores.jobs.update(jobId, (record) => {
      if (record.desired === 'running') return { ...record, desired: 'stopped', stop }
      throw new WeirError(
        { code: 'JOB_ENDING', kind: 'invalid', jobId },
        `job ${jobId} is to be ${record.desired} already; \`weir get ${jobId}\` tells when it is`,
      )
    })
    master.dispatch({ type: 'stop', ...stop })
    return stoppingView(jobId, name, this.#deps.clock.now())
  }

  /** Of one job, running or not: complete ones, then those being taken and those that failed in this term. */
  async savepoints(jobId: JobId): Promise<readonly SavepointView[]> {
    this.get(jobId)
    const complete = (await this.#deps.stores.savepoints(jobId).list()).map(savepointView)
    const known = new Set(complete.map(({ name }) => name))
    return [...complete, ...(this.#masters.get(jobId)?.savepoints() ?? []).filter(({ name }) => !known.has(name))]
  }

  /** Throws `SAVEPOINT_UNKNOWN`, `SAVEPOINT_IN_PROGRESS` (invalid). Jobs that were started from it have their own copy. */
  async deleteSavepoint(jobId: JobId, name: string): Promise<void> {
    this.get(jobId)
    const busy = this.#masters.get(jobId)?.savepoints() ?? []
    if (busy.some((view) => view.name === name && view.state === 'IN_PROGRESS')) {
      throw new WeirError(
        { code: 'SAVEPOINT_IN_PROGRESS', kind: 'invalid', jobId, name },
        `savepoint "${name}" of ${jobId} is being taken; delete it when it is complete`,
      )
    }
    if (await this.#deps.stores.savepoints(jobId).delete(savepointName(name))) return
    throw new WeirError(
      { code: 'SAVEPOINT_UNKNOWN', kind: 'invalid', jobId, name },
      `job ${jobId} has no savepoint "${name}"; \`weir savepoints ${jobId}\` lists those it has`,
    )
  }

  async #unusedName(jobId: JobId, name: string): Promise<void> {
    savepointName(name)
    const views = await this.savepoints(jobId)
    if (views.some((view) => view.name === name && view.state !== 'FAILED')) throw savepointExists(jobId, name)
  }

  #running(jobId: JobId): JobMaster {
    const master = this.#masters.get(jobId)
    if (master !== undefined) return master
    const { state, publishedEpoch } = this.get(jobId)
    const instead =
      publishedEpoch > 0
        ? 'it goes on from its last epoch with `weir start`, or with another build with `weir submit --from`'
        : 'it has no epoch to go on from: submit it under another id'
    throw new WeirError(
      { code: 'JOB_NOT_RUNNING', kind: 'invalid', jobId, state },
      `job ${jobId} is ${state}: ${instead}`,
    )
  }

  /** The wish is recorded first: also the next leader goes on at it. Throws `JOB_UNKNOWN`, and as `checkRescale`. */
  async rescale(jobId: JobId, parallelism: unknown): Promise<JobView> {
    const { state } = this.get(jobId)
    const master = this.#masters.get(jobId)
    const spec = master?.spec ?? specOf(this.#records.get(jobId)!.record)
    const ending = master === undefined || ['CANCELLING', 'FAILING', 'STOPPING'].includes(state)
    checkRescale({ spec, ending, room: this.#slots.roomFor(jobId) }, parallelism)
    const { highestParallelism } = await this.#deps.stores.jobs.update(jobId, (record) => ({
      ...record,
      parallelism,
      highestParallelism: Math.max(subtasksOf(specOf(record)), parallelism),
    }))
    master!.dispatch({ type: 'rescale', parallelism, highestParallelism: highestParallelism! })
    return this.get(jobId)
  }

  /**
   * The wish is recorded first: also restarts and the next leader go on with it. Throws `JOB_UNKNOWN`, `JOB_NOT_RUNNING`, and as
   * `limitsWith`.
   * @param source null: every source of the job
   */
  async adjustRate(
    jobId: JobId,
    source: string | null,
    wish: Parameters<typeof limitsWith>[2],
  ): Promise<readonly RateView[]> {
    this.get(jobId)
    const master = this.#running(jobId)
    const { plan } = master.spec
    limitsWith({ plan, jobId, limits: {} }, source, wish)
    const { rates } = await this.#deps.stores.jobs.update(jobId, (record) => ({
      ...record,
      rates: limitsWith({ plan, jobId, limits: limitsIn(record) }, source, wish),
    }))
    master.adjustRates(rates as RateLimits)
    return this.get(jobId).rates
  }

  /**
   * Turns the degrade switch. The wish is recorded first: also restarts and the next leader go on with it; user code sees it from the next
   * barrier on. Throws `JOB_UNKNOWN`, `JOB_NOT_RUNNING`, `DEGRADE_INVALID`, `JOB_NOT_DEGRADABLE` (invalid).
   */
  async degrade(jobId: JobId, degraded: unknown): Promise<JobView> {
    const { degradeSwitch } = this.get(jobId)
    const master = this.#running(jobId)
    if (typeof degraded !== 'boolean')
      throw new WeirError({ code: 'DEGRADE_INVALID', kind: 'invalid', jobId }, 'say how: {"degraded":true}, or false')
    if (degradeSwitch === null)
      throw new WeirError(
        { code: 'JOB_NOT_DEGRADABLE', kind: 'invalid', jobId },
        `job ${jobId} has no degrade switch: nothing in it asks for one. Build it with the setting degradable: true, and ask context.degraded`,
      )
    await this.#deps.stores.jobs.update(jobId, (record) => ({ ...record, degraded }))
    master.degrade(degraded)
    return this.get(jobId)
  }

  /** Throws as `JobMaster.restartSlices`, and `JOB_UNKNOWN`, `JOB_NOT_RUNNING` (invalid). */
  restartSlices(jobId: JobId, subtask: number | null, reason: string): void {
    this.#running(jobId).restartSlices(subtask, reason)
  }

  /** Slots of the fleet that no job has. */
  freeSlots(): number {
    return this.#slots.free()
  }

  /** As submitted. Throws `JOB_UNKNOWN` (invalid). */
  settingsOf(jobId: JobId): JobSettings {
    return this.#planOf(jobId).settings
  }

  /** Null: of every job. Throws `JOB_UNKNOWN` (invalid); kind `retry` when no task-manager can ask the servers. */
  transactions(jobId: JobId | null): Promise<readonly LedgerEntry[]> {
    return jobId === null ? this.#ledger.all() : this.#ledger.of(jobId)
  }

  /** Throws `TRANSACTION_…` with what to do instead: see libs/job/src/ledger.ts. */
  endTransaction(transactionalId: string, decision: 'commit' | 'abort'): Promise<LedgerEntry> {
    return this.#ledger[decision](transactionalId)
  }

  #planOf(jobId: JobId): PlanSummary {
    this.get(jobId)
    return this.#masters.get(jobId)?.spec.plan ?? (this.#records.get(jobId)!.record.plan as PlanSummary)
  }

  // ---- what the fleet says ------------------------------------------------------------------------------------------

  joined(info: TaskManagerInfo): void {
    this.#slots.join(info.id, info.slots, info.pod)
  }

  lost(taskManagerId: TaskManagerId, reason: string): void {
    this.#slots.withdraw(taskManagerId)
    for (const master of this.#masters.values()) master.dispatch({ type: 'task-manager-lost', taskManagerId, reason })
  }

  draining(taskManagerId: TaskManagerId): void {
    this.#slots.withdraw(taskManagerId)
    for (const master of this.#masters.values()) master.dispatch({ type: 'task-manager-draining', taskManagerId })
  }

  report(_from: TaskManagerId, report: SliceReportMessage): void {
    this.#masters.get(report.slice.jobId)?.dispatch(reportEvent(report))
  }

  /** A slice of an attempt that is over, or of a job that is not there, is told to go. */
  alive(id: TaskManagerId, slices: readonly SliceId[]): void {
    for (const slice of slices) {
      if (slice.attempt.generation > this.generation) continue // a later leader's: not ours to judge
      if (!this.#masters.get(slice.jobId)?.isCurrent(slice))
        this.#deps.fleet.send(id, { type: 'stop', slice, mode: 'leave' })
    }
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  async #load(): Promise<void> {
    const { stores, leadership, clock, log } = this.#deps
    for (;;) {
      try {
        for (const record of await stores.jobs.list()) {
          if (this.#masters.has(record.jobId)) continue
          if (record.ended === null) this.#start(record)
          else if (!this.#records.has(record.jobId)) this.#over(record, null)
        }
        return
      } catch (error) {
        log.warn({ error: String(error) }, 'reading the jobs failed; trying again')
        await clock.sleep(LOAD_RETRY_MS, leadership.signal) // ends with the lease
      }
    }
  }

  #start(record: JobRecord): void {
    const { leadership, stores, fleet, clock, random, tracer = null, retainedMin = 1 } = this.#deps
    const { jobId } = record
    const { generation, signal } = leadership
    // Read and submitted at once, it is one job: two masters under one generation would not even fence each other.
    if (this.#masters.has(jobId) || signal.aborted) return
    const spec = specOf(record)
    const used = this.#used.get(jobId)
    const master = new JobMaster(
      {
        ...{
          spec,
          generation,
          submittedAt: record.submittedAt,
          tickMs: TICK_MS,
          leaseTtlMs: LEASE_SECONDS_MAX * 1_000,
          retainedMin,
        },
        ...(used && { used }),
        rates: limitsIn(record),
        degraded: record.degraded ?? false,
      },
      {
        checkpoints: stores.checkpoints(jobId, spec.plan.settings.arbiter),
        epochs: stores.epochs(jobId),
        savepoints: stores.savepoints(jobId),
        beginning: this.#starts.beginningOf(record),
        jobs: stores.jobs,
        control: fleet,
        slots: this.#slots,
        clock,
        random,
        signal,
        stepDown: (reason) => this.#stepDown(reason),
        publish: (channel, message) => this.#publish(channel, message),
        tracer,
      },
    )
    this.#masters.set(jobId, master)
    master.start()
    if (record.desired === 'cancelled') master.dispatch({ type: 'cancel' })
    if (record.desired === 'stopped' && record.stop) master.dispatch({ type: 'stop', ...record.stop })
    void master.ended.then((ended) => {
      master.close()
      this.#used.set(jobId, master.used())
      if (ended === null) return // another leader records it
      this.#masters.delete(jobId)
      this.#over(ended, master.view())
    })
  }

  #over(record: JobRecord, view: JobView | null): void {
    this.#records.set(record.jobId, { record, view })
    this.#ledger.add(record)
    this.#sweeper.ended(record)
  }

  #publish(channel: string, message: Record<string, unknown>): void {
    const { metrics, log } = this.#deps
    metrics.observe(channel, message)
    this.notices.add(channel, message)
    log[levelOf(channel)](message, channel)
  }
}

function levelOf(channel: string): 'debug' | 'info' | 'warn' {
  // Nothing is missing any more, and somebody should know that the fleet was down for too long.
  if (['weir:sink:healed', 'weir:job:alert', 'weir:source:gap'].includes(channel)) return 'warn'
  if (channel === 'weir:ledger:ended' || channel === 'weir:ledger:failed') return 'warn'
  if (channel === 'weir:savepoint:failed' || channel === 'weir:sweep:failed') return 'warn'
  if (channel === 'weir:checkpoint:late') return 'warn'
  return channel.startsWith('weir:checkpoint') ? 'debug' : 'info'
}

const jobExists = (jobId: JobId): WeirError =>
  new WeirError(
    { code: 'JOB_EXISTS', kind: 'invalid', jobId },
    `job "${jobId}" has not ended, so nothing is started under its id: \`weir stop ${jobId} NAME\` first, or give another --id`,
  )

function specOf({ jobId, name, bundleDigest, graphHash, highestParallelism, ...record }: JobRecord): JobSpec {
  const submitted = record.plan as PlanSummary
  const { parallelism = submitted.settings.parallelism } = record
  const plan = { ...submitted, settings: { ...submitted.settings, parallelism } }
  return { jobId, name, bundleDigest, graphHash, plan, highestParallelism }
}

const limitsIn = ({ rates }: JobRecord): RateLimits => (rates ?? {}) as RateLimits

const outcomesOf = (record: JobRecord): { readonly sinks: readonly SinkOutcome[] } => ({
  sinks: (record.ended?.outcomes ?? []) as readonly SinkOutcome[],
})

/** Its epoch is not known yet. */
const stoppingView = (jobId: JobId, name: string, takenAt: number): SavepointView => ({
  ...{ jobId, name, state: 'IN_PROGRESS', epoch: null, takenAt, parallelism: null, bytes: null },
  ...{ stopped: true, folder: null, error: null },
})

/** A job that had ended before this term. */
function viewOf(record: JobRecord): JobView {
  const { plan } = specOf(record)
  const newest = record.ended?.kept?.[0]
  const epoch = newest?.epoch ?? 0
  return {
    jobId: record.jobId,
    name: record.name,
    state: record.ended?.state ?? 'CREATED',
    generation: newest?.generation ?? 0,
    attempt: newest?.attempt ?? 0,
    parallelism: plan.settings.parallelism,
    rescalingTo: null,
    publishedEpoch: epoch,
    finalEpoch: record.ended?.ledger === 'unsettled' ? 0 : epoch,
    restarts: 0,
    regionRestarts: 0,
    recovering: [],
    restart: { strategy: strategyOf(plan.settings.restart), failures: 0, nextAt: null },
    degraded: false,
    circuit: { state: 'closed', failures: 0, until: null },
    lastRecoveryMs: null,
    healedTransactions: 0,
    sinks: [],
    alerts: [],
    sourceGaps: [],
    rates: rateViews(plan, limitsIn(record), []),
    degradeSwitch: switchView(plan.settings, record.degraded ?? false),
    recordsIn: 0,
    latency: null,
    submittedAt: record.submittedAt,
    error: (record.ended?.error as JobView['error'] | undefined) ?? null,
    slices: [],
  }
}
