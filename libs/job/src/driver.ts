/**
 * Performs the job machine's effects. One JobMaster per job and term of leadership; it is thrown away at lease end and
 * remembers nothing that decides what is true.
 */
import {
  DELETE_KEYS_MAX,
  LATE_SLICES_MAX,
  RETAINED_EPOCHS,
  givenUpText,
  keptBehind,
  lateText,
  listed,
  orphans,
  planDeletions,
  retentionOf,
  segmentsOf,
  type BreakerState,
  type CheckpointStore,
  type CommitPermit,
  type EpochObjects,
  type JobRecord,
  type JobStore,
  type KeptEpoch,
  type LateSlice,
  type Manifest,
  type ManifestRef,
  type RetentionObserved,
  type SavepointStore,
} from '@weir/checkpoint'
import { gapText, strategyOf, type OffsetGap, type Poison, type RestartStrategy } from '@weir/dataflow'
import {
  asWeirError,
  type Attempt,
  type CheckpointId,
  type Clock,
  type Random,
  type Epoch,
  type Generation,
  type JobId,
  type Subtask,
  type TaskManagerId,
  WeirError,
} from '@weir/model'
import type { SubtaskSnapshot } from '@weir/checkpoint'
import { isDamage, withOffer } from './damage.ts'
import { isFailingOver } from './failover.ts'
import { SourceGaps, type SourceGap } from './gaps.ts'
import { poolsOf, type LedgerFacts, type SinkOutcome, type Standing } from './ledger.ts'
import { jobFor, stepJob } from './machine.ts'
import { isCurrent, sliceOf } from './moves.ts'
import { subtasksOf } from './rescale.ts'
import { Savepoints, type SavepointView } from './savepoints.ts'
import {
  jobStateName,
  type Failure,
  type JobEffect,
  type JobEvent,
  type JobSpec,
  type JobState,
  type Peer,
  type SliceId,
  type Times,
  type UsedNumbers,
} from './state.ts'

/** Commands to one slice; the wire room turns them into the messages of control.proto. */
export type SliceCommand = { readonly slice: SliceId } & (
  | { readonly type: 'deploy'; readonly bundleDigest: string; readonly graphHash: string; readonly parallelism: number }
  | { readonly type: 'recover'; readonly snapshot: SubtaskSnapshot | null; readonly poison: Poison }
  | { readonly type: 'run'; readonly peers: readonly Peer[] }
  | { readonly type: 'trigger'; readonly checkpoint: CheckpointId; readonly last: boolean }
  /** `timedOut`: answered by `gave-up` from whoever had not acked. */
  | { readonly type: 'give-up'; readonly checkpoint: CheckpointId; readonly timedOut: boolean }
  /** Only made from a CommitPermit (PROTOCOL C6). */
  | {
      readonly type: 'commit'
      readonly epoch: Epoch
      readonly manifestDigest: string
      readonly upTo: Readonly<Record<string, number>>
    }
  | { readonly type: 'stop'; readonly mode: 'leave' | 'abort' }
)

/** The stream to a task-manager. */
export interface ControlLink {
  /** False when the task-manager is not connected (any more). Never throws. */
  send(to: TaskManagerId, command: SliceCommand): boolean
}

/** Slots of the fleet, shared by all jobs of the leader. */
export interface SlotBroker {
  /** Answers, perhaps much later, through `granted`; a new request of the same job replaces the old one. */
  request(jobId: JobId, count: number, granted: (assignment: ReadonlyMap<Subtask, TaskManagerId>) => void): void
  /** New ones for these subtasks, whose old ones are given back; the others keep theirs. Answers as `request`. */
  replace(
    jobId: JobId,
    subtasks: readonly Subtask[],
    granted: (assignment: ReadonlyMap<Subtask, TaskManagerId>) => void,
  ): void
  /** Gives back what the job holds or waits for. */
  release(jobId: JobId): void
  /** For the message of a job that waits. */
  free(): number
}

export interface JobMasterOptions {
  readonly spec: JobSpec
  readonly generation: Generation
  readonly submittedAt: number
  /** Resolution of every timeout and trigger, ms. */
  readonly tickMs: number
  /** As `jobFor`. */
  readonly used?: UsedNumbers
  /** The longest lease a leader of this cluster may have: nothing is deleted before twice that (PROTOCOL A22). */
  readonly leaseTtlMs: number
}

/** The first epoch of a job that is started from somewhere: once it is published, the job goes on as any other. */
export interface Beginning {
  /** What was published under the id when it was submitted: whatever is published behind it is the job's own. */
  readonly after: Epoch
  /**
   * Copies what the epoch needs under keys of `checkpoint`. Harmless to repeat. `published`: what stands under the id.
   * Throws what cannot be mended (invalid), or kind `retry`.
   */
  make(checkpoint: CheckpointId, published: KeptEpoch | null): Promise<Manifest>
}

export interface JobMasterDeps {
  readonly checkpoints: CheckpointStore
  readonly epochs: EpochObjects
  readonly savepoints: SavepointStore
  /** Null: it begins with nothing. */
  readonly beginning?: Beginning | null
  readonly jobs: JobStore
  readonly control: ControlLink
  readonly slots: SlotBroker
  readonly clock: Clock
  /** For the jitter of restarts. */
  readonly random: Random
  /** Ends with the leadership: every wait in here ends with it. */
  readonly signal: AbortSignal
  /** Another leader owns the job: give the leadership up. */
  readonly stepDown: (reason: string) => void
  /** Telemetry: a diagnostics channel and its message. */
  readonly publish: (channel: string, message: Record<string, unknown>) => void
}

/** What happened to one epoch: for REST and people. */
export interface CheckpointView {
  readonly epoch: number
  readonly generation: number
  readonly attempt: number
  status: 'in-progress' | 'published' | 'final' | 'given-up'
  readonly triggeredAt: number
  /** To published; of a given-up one, to that. */
  durationMs: number | null
  reason: string | null
  /** Of one that timed out: what the first `LATE_SLICES_MAX` slices said they had waited for. */
  late: readonly LateSlice[]
}

export interface JobAlert {
  /**
   * `ARBITER_DEGRADED`: etcd is silent, head.json alone decides. `PUBLISH_UNANSWERED`: nothing about the job can be decided
   * until an arbiter answers. `CLAIM_WAITING`: a restart waits for the arbiters. `CHECKPOINTS_GIVEN_UP`: in a row.
   * `CHECKPOINTS_FAILING`: so many that the circuit is not closed.
   * `SOURCE_GAP`: a source went on behind a gap in its log; `sourceGaps` has all of them.
   * `RESCALE_REVERTED`: there was no room for the wished parallelism.
   */
  readonly code:
    | 'ARBITER_DEGRADED'
    | 'PUBLISH_UNANSWERED'
    | 'CLAIM_WAITING'
    | 'CHECKPOINTS_GIVEN_UP'
    | 'CHECKPOINTS_FAILING'
    | 'SOURCE_GAP'
    | 'RESCALE_REVERTED'
  /** ms since 1970. */
  readonly since: number
  readonly message: string
}

export interface RestartView {
  readonly strategy: RestartStrategy
  /** Counted by the strategy at present. */
  readonly failures: number
  /** When the job restarts, ms since 1970; null: nothing waits for it. */
  readonly nextAt: number | null
}

/** Whether checkpoints are taken as the settings say: `BreakerState` in the checkpoint room has the states. */
export interface CircuitView {
  readonly state: BreakerState['phase']
  /** Epochs given up since one was published. */
  readonly failures: number
  /** Before then no epoch is triggered unless somebody asks for one, ms since 1970; null: nothing waits. */
  readonly until: number | null
}

export interface JobView {
  readonly jobId: JobId
  readonly name: string
  readonly state: string
  readonly generation: number
  readonly attempt: number
  readonly parallelism: number
  /** On its way to this parallelism; null: it is not. */
  readonly rescalingTo: number | null
  readonly publishedEpoch: number
  readonly finalEpoch: number
  /** Of all slices. */
  readonly restarts: number
  /** Of some slices, while the others went on. */
  readonly regionRestarts: number
  /** Slices that are away while the others run; empty: all are there. */
  readonly recovering: readonly number[]
  readonly restart: RestartView
  /** It works, and what protects it does not: the circuit is not closed, or an arbiter is silent. */
  readonly degraded: boolean
  readonly circuit: CircuitView
  readonly lastRecoveryMs: number | null
  /** Transactions that the broker had aborted after their epoch was published, and that were written again: this term. */
  readonly healedTransactions: number
  /** How each sink subtask came out of the last recovery. */
  readonly sinks: readonly SinkOutcome[]
  /** What somebody should look at. */
  readonly alerts: readonly JobAlert[]
  /** What sources went over, as their policy `outOfRange` said. */
  readonly sourceGaps: readonly SourceGap[]
  readonly recordsIn: number
  readonly submittedAt: number
  readonly error: Failure | null
  readonly slices: readonly {
    subtask: number
    /** In which it was deployed. */
    attempt: number
    taskManagerId: string
    status: string
    recordsIn: number
    recordsOut: number
    watermark: number
  }[]
}

/** Epochs kept for people; older ones are forgotten. */
const HISTORY_MAX = 100
const PUBLISH_BACKOFF_MAX_MS = 2_000
const CLAIM_RETRY_MS = 300
const MANIFEST_RETRY_MS = 300
/** How often a degraded job asks whether etcd is back, and whether head.json is still its own. */
const RECONCILE_MS = 1_000
const END_RETRY_MS = 500

export class JobMaster {
  readonly #options: JobMasterOptions
  readonly #deps: JobMasterDeps
  #state: JobState
  #history: CheckpointView[] = []
  #cancelTick: () => void = () => {}
  #closed = false
  /** The store takes one call at a time. */
  #storeTurn: Promise<unknown> = Promise.resolve()
  readonly #alerts = new Map<JobAlert['code'], JobAlert>()
  readonly #gaps = new SourceGaps()
  #cancelReconcile: (() => void) | null = null
  #ended: Promise<JobRecord | null>
  #resolveEnded: (record: JobRecord | null) => void = () => {}
  /** Of the published epoch and of the one in flight: for the ledger, which asks no store. */
  #published: Manifest | null = null
  #stored: Manifest | null = null
  /** Newest acks of the attempt. */
  #acks = new Map<Subtask, SubtaskSnapshot>()
  /** Newest first; with the one that the next manifest drops. */
  #kept: readonly KeptEpoch[] = []
  /** Since when this leader knows epochs to be published, monotonic ms. */
  #publishedMs: RetentionObserved['publishedMs'] = []
  /** Not on a manifest's list yet. */
  #orphans: readonly string[] = []
  /** The listing was done for this attempt's first published epoch. */
  #orphansOf = 0
  /** Deleted, and on the list of the published manifest still. */
  #deleted = new Set<string>()
  #collecting = false
  readonly #savepoints: Savepoints
  /** The end stands in the record, and with it the savepoint it was to leave. */
  #recorded = false
  #endError: Failure | null = null

  constructor(options: JobMasterOptions, deps: JobMasterDeps) {
    this.#options = options
    this.#deps = deps
    this.#state = jobFor(options.spec, options.generation, options.used)
    const { jobId, bundleDigest, plan } = options.spec
    this.#savepoints = new Savepoints(
      jobId,
      { bundleDigest, plan },
      {
        store: deps.savepoints,
        clock: deps.clock,
        publish: (channel, message) => this.#publish(channel, message),
      },
    )
    this.#ended = new Promise((resolve) => (this.#resolveEnded = resolve))
  }

  get jobId(): JobId {
    return this.#options.spec.jobId
  }

  get spec(): JobSpec {
    return this.#state.spec
  }

  /** A slice that is alive and not current is to stop. */
  isCurrent(slice: SliceId): boolean {
    return isCurrent(this.#state, slice)
  }

  /** Resolves with its record when the job has ended for good; null: another leader records it. */
  get ended(): Promise<JobRecord | null> {
    return this.#ended
  }

  start(): void {
    this.#deps.signal.addEventListener('abort', () => this.close(), { once: true })
    const tick = (): void => {
      if (this.#closed) return
      this.dispatch({ type: 'tick' })
      this.#cancelTick = this.#deps.clock.after(this.#options.tickMs, tick)
    }
    this.dispatch({ type: 'begin' })
    tick()
  }

  /** Stops acting; aborts nothing, tells nobody (PROTOCOL A3: stepping down aborts nothing). */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#cancelTick()
    this.#cancelReconcile?.()
    this.#deps.slots.release(this.jobId)
  }

  dispatch(event: DistributiveOmit<JobEvent, keyof Times>): void {
    if (this.#closed) return
    const { clock, random } = this.#deps
    const before = jobStateName(this.#state)
    const observed = { now: clock.monotonic(), wallClock: clock.now(), random: random.next() }
    const step = stepJob(this.#state, { ...event, ...observed } as JobEvent)
    this.#state = step.state
    if (event.type === 'finalized' && isCurrent(this.#state, event.slice)) {
      const { slice, committed, ahead } = event
      this.#publish('weir:job:slice-finalized', { subtask: slice.subtask, committed, ahead })
    }
    if (event.type === 'source-gap' && isCurrent(this.#state, event.slice)) this.#gap(event.source, event.gap)
    if (event.type === 'gave-up' && isCurrent(this.#state, event.slice)) {
      this.#late(event.checkpoint, { subtask: event.slice.subtask, ...event.late })
    }
    if (event.type === 'ack') this.#acks.set(event.slice.subtask, event.snapshot)
    if (event.type === 'claimed') {
      this.#published = event.manifest
      const away = isFailingOver(this.#state) ? this.#state.failover.subtasks : [...this.#acks.keys()]
      for (const subtask of away) this.#acks.delete(subtask)
    }
    const after = jobStateName(this.#state)
    if (after !== before) this.#publish('weir:job:state', { state: after, previous: before })
    for (const effect of step.effects) this.#perform(effect)
    if (after !== before && after === 'RUNNING' && this.#savepoints.waiting) this.dispatch({ type: 'ask' })
  }

  view(): JobView {
    const s = this.#state
    const failover = isFailingOver(s) ? s.failover : null
    const regionsWait = failover?.step.at === 'placing' ? failover.subtasks.length : 0
    const needed = s.phase === 'placing' ? s.spec.plan.settings.parallelism : regionsWait
    const waiting: Failure | null =
      needed > 0
        ? {
            code: 'WAITING_FOR_SLOTS',
            kind: 'retry',
            message: `needs ${needed} slots, ${this.#deps.slots.free()} are free; start more task-managers or cancel a job`,
            facts: { needed, free: this.#deps.slots.free() },
          }
        : null
    return {
      jobId: s.spec.jobId,
      name: s.spec.name,
      state: s.ending?.state === 'STOPPED' && !this.#recorded ? 'STOPPING' : jobStateName(s),
      generation: s.generation,
      attempt: s.attempt,
      parallelism: s.spec.plan.settings.parallelism,
      rescalingTo: s.wished?.parallelism ?? (s.rescaling && s.spec.plan.settings.parallelism),
      publishedEpoch: s.coordinator.published?.epoch ?? 0,
      finalEpoch: s.coordinator.final,
      restarts: s.restarts,
      regionRestarts: s.regionRestarts,
      recovering: failover?.subtasks ?? [],
      restart: this.#restartView(),
      degraded: this.#alerts.has('CHECKPOINTS_FAILING') || this.#alerts.has('ARBITER_DEGRADED'),
      circuit: this.#circuitView(),
      lastRecoveryMs: s.lastRecoveryMs,
      healedTransactions: s.healed,
      sinks: s.outcomes,
      alerts: [...this.#alerts.values()],
      sourceGaps: this.#gaps.list(),
      recordsIn: s.recordsIn,
      submittedAt: this.#options.submittedAt,
      error: this.#endError ?? s.ending?.error ?? waiting ?? s.lastError,
      slices: [...s.slices.values()].map(
        ({ subtask, attempt, taskManagerId, status, recordsIn, recordsOut, watermark }) => ({
          subtask,
          attempt,
          taskManagerId,
          status,
          recordsIn,
          recordsOut,
          watermark,
        }),
      ),
    }
  }

  #restartView(): RestartView {
    const { clock } = this.#deps
    const { restart, ...s } = this.#state
    const step = s.phase === 'running' ? s.failover?.step : null
    const untilMs = s.phase === 'backing-off' ? s.untilMs : step?.at === 'backing-off' ? step.untilMs : null
    const nextAt = untilMs === null ? null : clock.now() + Math.max(0, untilMs - clock.monotonic())
    return { strategy: strategyOf(restart.settings), failures: restart.failures, nextAt }
  }

  #circuitView(): CircuitView {
    const { clock } = this.#deps
    const { breaker } = this.#state.coordinator
    const untilMs = breaker.phase === 'open' ? breaker.untilMs : null
    const until = untilMs === null ? null : clock.now() + Math.max(0, untilMs - clock.monotonic())
    return { state: breaker.phase, failures: breaker.failures, until }
  }

  /** What is known of its transactions without asking a server. */
  ledger(): { readonly standing: Standing; readonly facts: LedgerFacts } {
    const s = this.#state
    const { plan } = s.spec
    const { published, final } = s.coordinator
    // Claimed, and nothing deployed since: no attempt works with them, no publish is on its way.
    const standing = s.phase === 'ended' ? 'ended' : s.phase === 'placing' ? 'waiting' : 'running'
    const facts: LedgerFacts = {
      jobId: this.jobId,
      ...poolsOf(plan),
      subtasks: subtasksOf(s.spec),
      published: published && { epoch: published.epoch, subtasks: this.#published?.subtasks ?? [] },
      final,
      prepared: [...this.#acks.values()],
      outcomes: s.outcomes,
    }
    return { standing, facts }
  }

  /** Throws as `Savepoints.wish`, and `SAVEPOINT_NEEDS_STOP`, `JOB_ENDING` (invalid). */
  savepoint(name: string): SavepointView {
    const { ending, stop, phase } = this.#state
    if (ending !== null || stop !== null || phase === 'ended') {
      throw new WeirError(
        { code: 'JOB_ENDING', kind: 'invalid', jobId: this.jobId },
        `job ${this.jobId} is about to end: start from its last epoch or its last savepoint instead`,
      )
    }
    if (this.spec.plan.settings.commit.scope === 'continuous') {
      throw new WeirError(
        { code: 'SAVEPOINT_NEEDS_STOP', kind: 'invalid', jobId: this.jobId },
        `job ${this.jobId} commits continuously, so its output is ahead of its state but where it has stopped: \`weir stop ${this.jobId} NAME\``,
      )
    }
    const view = this.#savepoints.wish(name, this.#state.coordinator.lastEpoch)
    this.dispatch({ type: 'ask' })
    return view
  }

  /** Of this term, and not complete. */
  savepoints(): readonly SavepointView[] {
    return this.#savepoints.views()
  }

  /** What is published, as far as it is known here. */
  published(): KeptEpoch | null {
    return this.#kept[0] ?? null
  }

  /** For the next run under the id in this generation. */
  used(): UsedNumbers {
    return { attempt: this.#state.attempt, epoch: this.#state.coordinator.lastEpoch }
  }

  /** Newest first. */
  checkpoints(): readonly CheckpointView[] {
    return [...this.#history].reverse()
  }

  #perform(effect: JobEffect): void {
    const { spec } = this.#state
    switch (effect.type) {
      case 'claim':
        return this.#store(() => this.#claim())
      case 'request-slots':
        return this.#deps.slots.request(spec.jobId, effect.count, (assignment) =>
          this.dispatch({ type: 'placed', assignment }),
        )
      case 'replace-slots':
        return this.#deps.slots.replace(spec.jobId, effect.subtasks, (assignment) =>
          this.dispatch({ type: 'placed', assignment }),
        )
      case 'release-slots':
        return this.#deps.slots.release(spec.jobId)
      case 'deploy': {
        const { parallelism } = spec.plan.settings
        const { bundleDigest, graphHash } = spec
        return this.#send(effect.to, { type: 'deploy', slice: effect.slice, bundleDigest, graphHash, parallelism })
      }
      case 'recover': {
        const { to, slice, snapshot, poison } = effect
        return this.#send(to, { type: 'recover', slice, snapshot, poison })
      }
      case 'run':
        return this.#send(effect.to, { type: 'run', slice: effect.slice, peers: effect.peers })
      case 'stop':
        return this.#send(effect.to, { type: 'stop', slice: effect.slice, mode: effect.mode })
      case 'trigger':
        this.#remember(effect.checkpoint)
        this.#publish('weir:checkpoint:triggered', { epoch: effect.checkpoint.epoch })
        return this.#toAll((slice) => ({ type: 'trigger', slice, checkpoint: effect.checkpoint, last: effect.last }))
      case 'give-up':
        return this.#giveUp(effect)
      case 'circuit':
        return this.#circuit(effect.breaker, effect.pauseMs)
      case 'write-manifest':
        return this.#store(() => this.#writeManifest(effect.checkpoint, effect.manifest))
      case 'publish':
        return this.#store(() => this.#publishEpoch(effect.checkpoint, effect.ref, effect.again))
      case 'published':
        this.#published = this.#stored
        this.#keep({ ref: effect.ref, manifest: this.#stored })
        this.#calm('CHECKPOINTS_GIVEN_UP')
        this.#note(effect.ref.epoch, { status: 'published', durationMs: effect.durationMs })
        return this.#publish('weir:checkpoint:published', { epoch: effect.ref.epoch, durationMs: effect.durationMs })
      case 'commit':
        return this.#commit(effect.permit, effect.upTo)
      case 'final':
        this.#note(effect.epoch, { status: 'final', durationMs: effect.durationMs })
        // n + 1 is not published before n is final: what is published is what is final now.
        this.#savepoints.final(this.#kept[0]!)
        return this.#publish('weir:checkpoint:final', { epoch: effect.epoch, durationMs: effect.durationMs })
      case 'restarted':
        return this.#publish('weir:job:restarted', {
          attempt: effect.attempt,
          reason: effect.reason,
          recoveryMs: effect.recoveryMs,
        })
      case 'region-failed': {
        const { subtasks, reason } = effect
        return this.#publish('weir:job:region-failed', { subtasks, reason })
      }
      case 'region-restarted': {
        const { subtasks, attempt, reason, recoveryMs } = effect
        return this.#publish('weir:job:region-restarted', { subtasks, attempt, reason, recoveryMs })
      }
      case 'rescaled': {
        const { from, to, durationMs } = effect
        this.#calm('RESCALE_REVERTED')
        return this.#publish('weir:job:rescaled', { from, to, durationMs })
      }
      case 'rescale-reverted':
        this.#alert('RESCALE_REVERTED', effect.failure.message)
        return this.#recordParallelism(effect.parallelism)
      case 'healed': {
        const { subtask, sink, sequence } = effect
        return this.#publish('weir:sink:healed', { subtask, sink, sequence })
      }
      case 'ended':
        return this.#recordEnd(effect.settled)
      case 'step-down':
        return this.#deps.stepDown(`${spec.jobId}: ${effect.reason}`)
    }
  }

  /** Only a permit gets here, and only the publish mints one: the command names exactly what may be ended. */
  #commit(permit: CommitPermit, upTo: ReadonlyMap<Subtask, Readonly<Record<string, number>>>): void {
    for (const [subtask, sequences] of upTo) {
      const to = this.#state.slices.get(subtask)?.taskManagerId
      if (to === undefined) continue
      const { epoch, digest } = permit.manifest
      this.#send(to, { type: 'commit', slice: this.#slice(subtask), epoch, manifestDigest: digest, upTo: sequences })
    }
  }

  #giveUp({ checkpoint, reason, detail, waitingFor, afterMs }: Extract<JobEffect, { type: 'give-up' }>): void {
    const { epoch } = checkpoint
    const timedOut = reason === 'timeout'
    const why = timedOut ? `${detail} from subtasks ${listed(waitingFor)}` : detail
    this.#note(epoch, { status: 'given-up', durationMs: afterMs, reason: `${reason}: ${why}` })
    if (reason !== 'suspended') this.#alert('CHECKPOINTS_GIVEN_UP', `epoch ${epoch}: ${reason}, ${why}`)
    this.#publish('weir:checkpoint:given-up', { epoch, reason, detail, waitingFor })
    this.#toAll((slice) => ({ type: 'give-up', slice, checkpoint, timedOut }))
  }

  #late({ epoch }: CheckpointId, late: LateSlice): void {
    const entry = this.#history.findLast((c) => c.epoch === epoch)
    if (entry?.status !== 'given-up' || entry.late.length >= LATE_SLICES_MAX) return
    entry.late = [...entry.late, late]
    const text = givenUpText(epoch, entry.durationMs ?? 0, late)
    this.#publish('weir:checkpoint:late', { epoch, subtask: late.subtask, text })
    const isNewest = this.#alerts.get('CHECKPOINTS_GIVEN_UP')?.message.startsWith(`epoch ${epoch}: `)
    if (isNewest)
      this.#alert('CHECKPOINTS_GIVEN_UP', `epoch ${epoch}: ${entry.reason}; ${entry.late.map(lateText).join('; ')}`)
  }

  #circuit({ phase, failures }: BreakerState, pauseMs: number): void {
    this.#publish('weir:checkpoint:circuit', { state: phase, failures, pauseMs })
    if (phase === 'closed') return this.#calm('CHECKPOINTS_FAILING')
    const next = phase === 'open' ? `the next one comes ${pauseMs} ms after the job runs again` : 'one is being tried'
    this.#alert('CHECKPOINTS_FAILING', `${failures} checkpoints in a row were given up; ${next}`)
  }

  async #claim(): Promise<void> {
    const { checkpoints, clock, signal } = this.#deps
    while (!this.#closed) {
      try {
        const outcome = await checkpoints.claim()
        this.#calm('CLAIM_WAITING')
        this.#watchArbiter('etcd did not answer at the claim')
        if (outcome.kind === 'superseded') {
          return this.dispatch({ type: 'claim-refused', reason: `generation ${outcome.by} has claimed the job` })
        }
        const { published } = outcome
        const { beginning } = this.#deps
        if (beginning && (published?.epoch ?? 0) <= beginning.after) return await this.#begin(beginning, published)
        if (published !== null && this.#kept[0]?.ref.digest !== published.digest)
          this.#kept = [{ ref: published, manifest: null }] // until it is read
        const manifest = published === null ? null : await checkpoints.readManifest(published)
        this.#continueFrom(published, manifest)
        return this.dispatch({ type: 'claimed', published, manifest })
      } catch (thrown) {
        const error = asWeirError(thrown, 'CLAIM_FAILED', 'retry')
        if (error.kind === 'invalid') return this.dispatch({ type: 'claim-failed', failure: error.toJSON() })
        if (error.kind === 'fenced') return this.dispatch({ type: 'claim-refused', reason: error.message })
        this.#alert('CLAIM_WAITING', error.message)
        await clock.sleep(CLAIM_RETRY_MS, signal) // bounded by the lease: the signal ends it
      }
    }
  }

  /** Publishes the first epoch: it continues what stands under the id, and everything after it continues this one. */
  async #begin(beginning: Beginning, ref: ManifestRef | null): Promise<void> {
    const { checkpoints, clock, signal } = this.#deps
    const { generation, coordinator } = this.#state
    const attempt = (this.#state.attempt + 1) as Attempt
    try {
      const before = ref && { ref, manifest: await checkpoints.readManifest(ref).catch(unreadable) }
      const kept = before === null ? [] : [before, ...(await this.#olderThan(before))]
      this.#kept = kept
      const epoch = (Math.max(ref?.epoch ?? 0, coordinator.lastEpoch) + 1) as Epoch
      const made = await beginning.make({ generation, attempt, epoch }, before)
      const parentEpoch = ref?.epoch ?? (0 as Epoch)
      const parent = { parentEpoch, parentDigest: ref?.digest ?? null, parentKey: ref?.key ?? null }
      const { retained = RETAINED_EPOCHS } = this.spec.plan.settings.checkpoint
      const nothing = { pinned: new Set<Epoch>(), deleted: new Set<string>(), orphans: [] }
      const retention = retentionOf({ manifest: made, kept, retained, ...nothing })
      const manifest = { ...made, ...parent, retention }
      const first = await checkpoints.writeManifest(manifest)
      for (let again = 0; !this.#closed; again++) {
        const outcome = await checkpoints.publish(first)
        if (outcome.kind === 'superseded') return this.dispatch({ type: 'claim-refused', reason: outcome.reason })
        if (outcome.kind === 'published') {
          this.#continueFrom(first, manifest)
          return this.dispatch({ type: 'claimed', published: first, manifest, attempt })
        }
        await clock.sleep(publishBackoffMs(again + 1), signal)
      }
    } catch (thrown) {
      const error = asWeirError(thrown, 'START_FAILED', 'retry')
      if (error.kind !== 'invalid') throw error // tried again, under the same names
      return this.dispatch({ type: 'claim-failed', failure: error.toJSON(), attempt })
    }
  }

  /** An outage of the object store shorter than the alignment time costs no epoch. */
  async #writeManifest(checkpoint: CheckpointId, collected: Manifest): Promise<void> {
    const { checkpoints, clock, signal } = this.#deps
    const [kept, deleted] = [this.#kept, this.#deleted]
    const { retained = RETAINED_EPOCHS } = this.spec.plan.settings.checkpoint
    const { pinned } = this.#savepoints
    const retention = retentionOf({ manifest: collected, kept, retained, pinned, deleted, orphans: this.#orphans })
    const manifest = { ...collected, retention }
    this.#stored = manifest
    const deadline = clock.monotonic() + this.#options.spec.plan.settings.checkpoint.alignTimeoutMs
    while (!this.#closed) {
      try {
        const ref = await checkpoints.writeManifest(manifest)
        return this.dispatch({ type: 'stored', checkpoint, ref })
      } catch (thrown) {
        const error = asWeirError(thrown, 'STORE_FAILED')
        const wanted = this.#state.coordinator.phase === 'storing' // else nobody waits for it any more
        if (!wanted || error.kind !== 'retry' || clock.monotonic() >= deadline) {
          return this.dispatch({ type: 'store-failed', checkpoint, reason: error.message })
        }
        await clock.sleep(MANIFEST_RETRY_MS, signal)
      }
    }
  }

  async #publishEpoch(checkpoint: CheckpointId, ref: ManifestRef, again: number): Promise<void> {
    const { checkpoints, clock, signal } = this.#deps
    if (again > 0) await clock.sleep(publishBackoffMs(again), signal)
    if (this.#closed) return
    try {
      const outcome = await checkpoints.publish(ref)
      if (outcome.kind === 'unknown') this.#alert('PUBLISH_UNANSWERED', `epoch ${ref.epoch}: ${outcome.reason}`)
      else this.#calm('PUBLISH_UNANSWERED')
      this.#watchArbiter(`etcd did not answer when epoch ${ref.epoch} was published`)
      this.dispatch({ type: 'publish-answered', checkpoint, outcome })
    } catch (thrown) {
      // Whatever went wrong here, the request may have left: that is "unknown", never "failed" (PROTOCOL A3).
      const reason = asWeirError(thrown, 'PUBLISH_FAILED').message
      const fenced = thrown instanceof WeirError && thrown.kind === 'fenced'
      this.dispatch({
        type: 'publish-answered',
        checkpoint,
        outcome: { kind: fenced ? 'superseded' : 'unknown', reason },
      })
    }
  }

  // ---- what is kept and what is deleted (PROTOCOL A22) --------------------------------------------------------------

  #continueFrom(ref: ManifestRef | null, manifest: Manifest | null): void {
    if (ref === null || manifest === null) return
    const { clock } = this.#deps
    // Again by this leader: it knows more than the manifest says.
    if (this.#kept[0]?.ref.digest === ref.digest && this.#kept[0].manifest !== null) return
    this.#kept = [{ ref, manifest }]
    this.#deleted.clear()
    this.#publishedMs = [{ epoch: ref.epoch, ms: clock.monotonic() }]
    this.#orphans = []
    // Before the next manifest is written, and not in the way of the recovery.
    this.#store(async () => {
      const older = await this.#olderThan({ ref, manifest })
      if (this.#kept[0]?.ref.digest === ref.digest) this.#kept = [{ ref, manifest }, ...older]
    })
  }

  /** What is kept behind an epoch, as its manifest says; of one that cannot be read, as its parent's does. */
  async #olderThan({ ref, manifest }: KeptEpoch): Promise<readonly KeptEpoch[]> {
    const { checkpoints } = this.#deps
    if (manifest !== null) {
      const older = (manifest.retention?.epochs ?? []).map(async (of): Promise<KeptEpoch> => {
        return { ref: of, manifest: await checkpoints.readManifest(of).catch(() => null) }
      })
      return Promise.all(older)
    }
    if (ref.parent === undefined) return []
    const found = await checkpoints.readManifest({ ...ref, epoch: ref.parentEpoch, ...ref.parent }).catch(() => null)
    if (found === null) return []
    const { epoch, generation, attempt, parentEpoch } = found
    const parent: KeptEpoch = { ref: { epoch, generation, attempt, parentEpoch, ...ref.parent }, manifest: found }
    return [parent, ...(await this.#olderThan(parent))]
  }

  #keep(published: KeptEpoch): void {
    const { clock } = this.#deps
    this.#kept = keptBehind(published, this.#kept)
    const listed = published.manifest?.retention?.unreferenced ?? []
    const keys = new Set(listed.map(({ key }) => key))
    this.#deleted = new Set([...this.#deleted].filter((key) => keys.has(key)))
    this.#orphans = this.#orphans.filter((key) => !keys.has(key))
    const oldest = Math.min(published.ref.epoch, ...listed.map(({ since }) => since))
    this.#publishedMs = [...this.#publishedMs, { epoch: published.ref.epoch, ms: clock.monotonic() }]
    // The first entry at or after a `since` is the one that counts.
    this.#publishedMs = this.#publishedMs.filter(({ epoch }) => epoch >= oldest)
    void this.#collect().catch(() => (this.#collecting = false)) // the store is away: after the next epoch
  }

  async #collect(): Promise<void> {
    if (this.#collecting || this.#closed) return
    this.#collecting = true
    const { epochs, clock } = this.#deps
    const attempt = this.#kept[0]!.ref.attempt
    const listing = this.#orphansOf === attempt ? null : await epochs.list()
    // Last of all what may have changed meanwhile.
    const head = await epochs.head()
    const { generation, leaseTtlMs } = this.#options
    const [kept, publishedMs, now] = [this.#kept, this.#publishedMs, clock.monotonic()]
    const observed = { jobId: this.jobId, generation, head, kept, publishedMs, now, leaseTtlMs }
    const deletions = planDeletions(observed).filter((key) => !this.#deleted.has(key))
    while (deletions.length > 0 && !this.#closed) {
      const some = deletions.splice(0, DELETE_KEYS_MAX)
      await epochs.delete(some)
      for (const key of some) this.#deleted.add(key)
    }
    if (listing !== null) {
      this.#orphans = orphans(observed, listing)
      this.#orphansOf = attempt
    }
    this.#collecting = false
  }

  /** The newest kept epoch that is whole, the one being restored apart: for people to choose, never taken. */
  async #offered(): Promise<ManifestRef | null> {
    for (const { ref } of this.#kept.slice(1)) {
      const manifest = await this.#deps.checkpoints.readManifest(ref).catch(() => null)
      if (manifest === null) continue
      const segments = manifest.subtasks.flatMap(segmentsOf)
      const states = await Promise.all(
        [...new Map(segments.map((segment) => [segment.key, segment])).values()].map((s) =>
          this.#deps.epochs.verify(s),
        ),
      )
      if (states.every((state) => state === 'whole')) return ref
    }
    return null
  }

  /** While etcd is silent: asks now and then, so that the alert is cleared and a takeover is noticed between epochs. */
  #watchArbiter(reason: string): void {
    const { checkpoints, clock } = this.#deps
    if (!checkpoints.degraded) return this.#calm('ARBITER_DEGRADED')
    this.#alert('ARBITER_DEGRADED', `${reason}; epochs are published by head.json alone until it does`)
    if (this.#cancelReconcile !== null || this.#closed) return
    this.#cancelReconcile = clock.after(RECONCILE_MS, () => {
      this.#cancelReconcile = null
      this.#store(() => this.#reconcile())
    })
  }

  async #reconcile(): Promise<void> {
    if (this.#closed) return
    const outcome = await this.#deps.checkpoints.reconcile()
    if (outcome.kind === 'superseded') return this.#deps.stepDown(`${this.jobId}: ${outcome.reason}`)
    this.#watchArbiter(outcome.kind === 'degraded' ? outcome.reason : '')
  }

  #gap(source: string, gap: OffsetGap): void {
    if (!this.#gaps.add(source, gap)) return
    this.#alert('SOURCE_GAP', `source "${source}": ${gapText(gap)}`)
    this.#publish('weir:source:gap', { source, text: gapText(gap), ...gap })
  }

  #alert(code: JobAlert['code'], message: string): void {
    const since = this.#alerts.get(code)?.since
    this.#alerts.set(code, { code, since: since ?? this.#deps.clock.now(), message })
    if (since === undefined) this.#publish('weir:job:alert', { code, message, raised: true })
  }

  #calm(code: JobAlert['code']): void {
    if (this.#alerts.delete(code)) this.#publish('weir:job:alert', { code, message: '', raised: false })
  }

  /** The next leader would try the wished one again, and revert again: so nothing waits for this. */
  #recordParallelism(parallelism: number): void {
    void this.#deps.jobs.update(this.jobId, (record) => ({ ...record, parallelism })).catch(() => undefined)
  }

  #recordEnd(settled: boolean): void {
    void (async () => {
      const { jobs, clock, signal } = this.#deps
      const { outcomes, ending, stop } = this.#state
      this.#savepoints.over(`the job has ended (${ending!.state}) before another epoch was final`)
      if (ending!.state === 'STOPPED') {
        // The epoch is final and kept, so a savepoint that cannot be made takes nothing away.
        await this.#savepoints.atStop(stop!.savepoint, this.#published).catch((thrown: unknown) => {
          this.#endError = asWeirError(thrown, 'SAVEPOINT_FAILED').toJSON()
        })
      }
      await this.#storeTurn // what is kept may still be on its way
      const [newest] = this.#kept
      if (newest?.manifest === null) this.#kept = [newest, ...(await this.#olderThan(newest))]
      if (isDamage(ending?.error)) {
        const offered = await this.#offered().catch(() => null)
        this.#endError = withOffer(ending!.error!, this.#kept[0]?.ref ?? null, offered)
      }
      const error = this.#endError ?? ending!.error
      const ledger = settled ? 'settled' : 'unsettled'
      let recorded: JobRecord | null = null
      while (!this.#closed) {
        try {
          const refs = this.#kept.map(({ ref }) => ref)
          // What failed may have to go back further than to its newest epoch.
          const kept = ending!.state === 'FAILED' ? refs : refs.slice(0, 1)
          const ended = { state: ending!.state, at: clock.now(), error, kept, ledger, outcomes } as const
          recorded = await jobs.update(this.jobId, (record) => ({ ...record, ended }))
          break
        } catch (thrown) {
          if (asWeirError(thrown, 'END_FAILED', 'retry').kind === 'fenced') break
          await clock.sleep(END_RETRY_MS, signal)
        }
      }
      this.#recorded = recorded !== null
      this.#cancelTick()
      this.#resolveEnded(recorded)
    })().catch(() => this.close()) // the signal ended a wait: so did the leadership
  }

  #store(call: () => Promise<void>): void {
    this.#storeTurn = this.#storeTurn.then(call).catch((error: unknown) => {
      if (!this.#closed && !this.#deps.signal.aborted) {
        this.#deps.stepDown(`${this.jobId}: internal error in the checkpoint driver: ${String(error)}`)
      }
    })
  }

  #slice(subtask: Subtask): SliceId {
    return sliceOf(this.#state, subtask)
  }

  #toAll(command: (slice: SliceId) => SliceCommand): void {
    for (const s of this.#state.slices.values())
      if (s.status !== 'gone') this.#send(s.taskManagerId, command(this.#slice(s.subtask)))
  }

  #send(to: TaskManagerId, command: SliceCommand): void {
    if (this.#deps.control.send(to, command)) return
    // Not inside the step that is being performed: its remaining effects come first.
    queueMicrotask(() => this.dispatch({ type: 'task-manager-lost', taskManagerId: to, reason: 'not connected' }))
  }

  #remember(checkpoint: CheckpointId): void {
    this.#history.push({
      epoch: checkpoint.epoch,
      generation: checkpoint.generation,
      attempt: checkpoint.attempt,
      status: 'in-progress',
      triggeredAt: this.#deps.clock.now(),
      durationMs: null,
      reason: null,
      late: [],
    })
    if (this.#history.length > HISTORY_MAX) this.#history.shift()
  }

  #note(epoch: number, change: Partial<CheckpointView>): void {
    const entry = this.#history.findLast((c) => c.epoch === epoch)
    if (entry) Object.assign(entry, change)
  }

  #publish(channel: string, message: Record<string, unknown>): void {
    this.#deps.publish(channel, { jobId: this.jobId, ...message })
  }
}

const publishBackoffMs = (again: number): number => Math.min(PUBLISH_BACKOFF_MAX_MS, 50 * 2 ** Math.min(again, 10))

/** Null for what no retry can mend. */
function unreadable(thrown: unknown): null {
  if (asWeirError(thrown, 'MANIFEST_UNREADABLE', 'retry').kind === 'invalid') return null
  throw thrown
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
