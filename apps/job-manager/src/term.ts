/**
 * One term of leadership: every job of the cluster under one generation. It is made when the election is won and thrown
 * away when the lease ends; nothing in it is needed to go on, the next leader reads all from the stores.
 */
import type { JobRecord, LeaderStores, Leadership } from '@weir/checkpoint'
import type { JobSettings } from '@weir/dataflow'
import {
  FleetSlots,
  JobMaster,
  type CanaryView,
  type CheckpointView,
  type GraphView,
  type JobTracer,
  type JobView,
  type LedgerEntry,
  type TaskCheckpointView,
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
import { canaryOf } from './canary.ts'
import { LEASE_SECONDS_MAX } from './config.ts'
import { DeadLetters } from './dead-letters.ts'
import { FleetJanitor } from './fleet-janitor.ts'
import { JobChanges } from './job-changes.ts'
import { Ledger } from './ledger.ts'
import { Notices } from './live/notices.ts'
import { planIn, profileIn, type Examination, type Preflight } from './preflight.ts'
import { limitsIn, specOf } from './recorded-job.ts'
import { SavepointWishes } from './savepoint-wishes.ts'
import { Starts, type StartCheck, type StartWish } from './starts.ts'
import { StoredStates } from './stored-states.ts'
import { Submissions } from './submissions.ts'
import { Sweeper } from './sweeper.ts'
import { TermJobs } from './term-jobs.ts'

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

/** Resolution of timeouts of every job. */
const TICK_MS = 50
export const JOBS_MAX = 1_000
const LOAD_RETRY_MS = 500

export class Term {
  readonly #deps: TermDeps
  readonly #jobs = new TermJobs()
  readonly #slots = new FleetSlots()
  readonly #ledger: Ledger
  readonly #janitor: FleetJanitor
  readonly #starts: Starts
  readonly #submissions: Submissions
  readonly #sweeper: Sweeper
  readonly changes: JobChanges
  readonly deadLetters: DeadLetters
  readonly notices: Notices
  readonly savepoints: SavepointWishes
  readonly state: StoredStates
  /** By jobs that have ended in this term: numbers that no later run under the id may use. */
  readonly #used = new Map<JobId, UsedNumbers>()
  #stepDown: (reason: string) => void = () => {}
  #hasRead = false

  constructor(deps: TermDeps) {
    this.#deps = deps
    const { leadership, stores, fleet, clock, random, preflight = null, jobsMax = JOBS_MAX } = deps
    const [jobs, slots, janitor] = [this.#jobs, this.#slots, new FleetJanitor(fleet)]
    const publish = (channel: string, message: Record<string, unknown>): void => this.#publish(channel, message)
    this.#janitor = janitor
    this.notices = new Notices(clock)
    this.changes = new JobChanges({ jobs, stores, slots })
    this.savepoints = new SavepointWishes({ jobs, stores, clock })
    this.deadLetters = new DeadLetters({ janitor, random, planOf: (jobId) => jobs.planOf(jobId) })
    this.state = new StoredStates({
      stores,
      running: (jobId) => {
        const view = jobs.get(jobId)
        return jobs.master(jobId) === null ? null : view
      },
      ended: (jobId) => jobs.ended(jobId)!,
      planOf: (jobId) => jobs.planOf(jobId),
    })
    this.#starts = new Starts({
      ...{ stores, clock, signal: leadership.signal },
      running: (jobId) => jobs.master(jobId),
      ended: (jobId) => jobs.ended(jobId),
      finalEpoch: (jobId, at) => this.state.finalEpoch(jobId, at),
    })
    this.#sweeper = new Sweeper(
      { leaseTtlMs: LEASE_SECONDS_MAX * 1_000 },
      { leadership, stores, clock, publish, recorded: (record) => this.#ledger.changed(record) },
    )
    this.#ledger = new Ledger({
      ...{ leadership, stores, janitor, clock, publish },
      running: (jobId) => jobs.master(jobId),
      allRunning: () => jobs.masters(),
      recorded: (record) => {
        jobs.changed(record)
        this.#sweeper.ended(record)
      },
      stepDown: (reason) => this.#stepDown(reason),
    })
    this.#submissions = new Submissions(
      { jobsMax },
      {
        ...{
          jobs,
          stores,
          clock,
          janitor,
          preflight,
          log: deps.log,
          signal: leadership.signal,
          starts: this.#starts,
          ledger: this.#ledger,
          sweeper: this.#sweeper,
        },
        start: (record) => this.#start(record),
      },
    )
  }

  get generation(): number {
    return this.#deps.leadership.generation
  }

  /** Every job is known: until then one that is not there may be one that was not read yet. */
  get hasRead(): boolean {
    return this.#hasRead
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
    for (const master of this.#jobs.masters()) master.close()
    log.warn({ generation: leadership.generation, reason }, 'leadership ended')
    await leadership.resign()
    return reason
  }

  // ---- what users ask for -------------------------------------------------------------------------------------------

  /**
   * Throws `JOB_EXISTS`, `JOB_UNSAFE` (invalid), `JOBS_MAX_REACHED`; with `wish` as `Starts.judged`.
   * @returns what should be known about the start: what is empty, dropped, written again, or unsafe and accepted.
   */
  submit(wanted: JobRecord, wish: StartWish | null = null): Promise<readonly string[]> {
    return this.#submissions.submit(wanted, wish)
  }

  /** Can a build go on from what is stored? Throws as `Starts.checked`. */
  check(...wish: Parameters<Starts['checked']>): Promise<StartCheck> {
    return this.#starts.checked(...wish)
  }

  /** An ended job with the bundle it had. Throws as `submit`, `JOB_UNKNOWN`, `JOB_EXISTS` (it has not ended; invalid). */
  restart(...wish: Parameters<Submissions['restart']>): Promise<readonly string[]> {
    return this.#submissions.restart(...wish)
  }

  /** Throws `JOB_UNKNOWN` (invalid). */
  get(jobId: JobId): JobView {
    return this.#jobs.get(jobId)
  }

  list(): readonly JobView[] {
    return this.#jobs.list()
  }

  /** Throws `JOB_UNKNOWN` (invalid). */
  graph(jobId: JobId): GraphView {
    return this.#jobs.graph(jobId)
  }

  /** @param savepoint the name of one of the job's; null: none is asked for. Throws `JOB_UNKNOWN` (invalid). */
  canary(jobId: JobId, savepoint: string | null): Promise<CanaryView> {
    return canaryOf(this.#jobs, this.#deps.stores, jobId, savepoint)
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
    const plan = of.jobId === '' ? planIn(of.plan) : this.#jobs.planOf(jobIdOf(of.jobId))
    return preflight.examine(plan, this.#janitor, profileIn(of.profile))
  }

  /** Throws `JOB_UNKNOWN` (invalid). */
  checkpoints(jobId: JobId): readonly CheckpointView[] {
    this.get(jobId)
    return this.#jobs.master(jobId)?.checkpoints() ?? []
  }

  /** By subtask. Throws `JOB_UNKNOWN`, `CHECKPOINT_UNKNOWN` (invalid). */
  checkpointTasks(jobId: JobId, epoch: number): readonly TaskCheckpointView[] {
    return this.#jobs.checkpointTasks(jobId, epoch)
  }

  /** Slots of the fleet that no job has. */
  freeSlots(): number {
    return this.#slots.free()
  }

  /** As submitted. Throws `JOB_UNKNOWN` (invalid). */
  settingsOf(jobId: JobId): JobSettings {
    return this.#jobs.planOf(jobId).settings
  }

  /** Null: of every job. Throws `JOB_UNKNOWN` (invalid); kind `retry` when no task-manager can ask the servers. */
  transactions(jobId: JobId | null): Promise<readonly LedgerEntry[]> {
    return jobId === null ? this.#ledger.all() : this.#ledger.of(jobId)
  }

  /** Throws `TRANSACTION_…` with what to do instead: see libs/job/src/ledger.ts. */
  endTransaction(transactionalId: string, decision: 'commit' | 'abort'): Promise<LedgerEntry> {
    return this.#ledger[decision](transactionalId)
  }

  // ---- what the fleet says ------------------------------------------------------------------------------------------

  joined(info: TaskManagerInfo): void {
    this.#slots.join(info.id, info.slots, info.pod)
  }

  lost(taskManagerId: TaskManagerId, reason: string): void {
    this.#slots.withdraw(taskManagerId)
    for (const master of this.#jobs.masters()) master.dispatch({ type: 'task-manager-lost', taskManagerId, reason })
  }

  draining(taskManagerId: TaskManagerId): void {
    this.#slots.withdraw(taskManagerId)
    for (const master of this.#jobs.masters()) master.dispatch({ type: 'task-manager-draining', taskManagerId })
  }

  report(_from: TaskManagerId, report: SliceReportMessage): void {
    this.#jobs.master(report.slice.jobId)?.dispatch(reportEvent(report))
  }

  /** A slice of an attempt that is over, or of a job that is not there, is told to go. */
  alive(id: TaskManagerId, slices: readonly SliceId[]): void {
    for (const slice of slices) {
      if (slice.attempt.generation > this.generation) continue // a later leader's: not ours to judge
      if (!this.#jobs.master(slice.jobId)?.isCurrent(slice))
        this.#deps.fleet.send(id, { type: 'stop', slice, mode: 'leave' })
    }
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  async #load(): Promise<void> {
    const { stores, leadership, clock, log } = this.#deps
    for (;;) {
      try {
        for (const record of await stores.jobs.list()) {
          if (this.#jobs.master(record.jobId) !== null) continue
          if (record.ended === null) this.#start(record)
          else if (this.#jobs.ended(record.jobId) === null) this.#over(record, null)
        }
        this.#hasRead = true
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
    if (this.#jobs.master(jobId) !== null || signal.aborted) return
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
    this.#jobs.begun(jobId, master)
    master.start()
    if (record.desired === 'cancelled') master.dispatch({ type: 'cancel' })
    if (record.desired === 'stopped' && record.stop) master.dispatch({ type: 'stop', ...record.stop })
    void master.ended.then((ended) => {
      master.close()
      this.#used.set(jobId, master.used())
      if (ended === null) return // another leader records it
      this.#over(ended, master.view())
    })
  }

  #over(record: JobRecord, view: JobView | null): void {
    this.#jobs.over(record, view)
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
