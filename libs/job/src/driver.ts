/**
 * Performs the job machine's effects. One JobMaster per job and term of leadership; it is thrown away at lease end and
 * remembers nothing that decides what is true.
 */
import {
  givenUpText,
  lateText,
  listed,
  RETAINED_EPOCHS,
  type BreakerState,
  type CommitPermit,
  type JobRecord,
  type PublishedEpoch,
  type LateSlice,
  type Manifest,
  type ManifestRef,
  type SubtaskSnapshot,
} from '@weir/checkpoint'
import { gapText, type OffsetGap, type RateLimits } from '@weir/dataflow'
import {
  WeirError,
  asWeirError,
  type Attempt,
  type CheckpointId,
  type Epoch,
  type JobId,
  type Subtask,
  type TaskManagerId,
} from '@weir/model'
import { Alerts } from './alerts.ts'
import { alignmentFor, hasOthers, stepAlignment, type AlignmentEvent, type AlignmentState } from './alignment.ts'
import { ClaimsWatch } from './claims-watch.ts'
import { isDamage, withOffer } from './damage.ts'
import { isFailingOver } from './failover.ts'
import { SourceGaps } from './gaps.ts'
import { CheckpointHistory, type CheckpointView } from './history.ts'
import type { TaskCheckpointView } from './task-checkpoints.ts'
import { JobTraces } from './job-traces.ts'
import { KeptEpochs } from './kept-epochs.ts'
import { Latency } from './latency.ts'
import { poolsOf, type LedgerFacts, type Standing } from './ledger.ts'
import { jobFor, stepJob } from './machine.ts'
import { isCurrent, sliceOf } from './moves.ts'
import type { Beginning, JobMasterDeps, JobMasterOptions, SliceCommand } from './ports.ts'
import { regionsOf } from './regions.ts'
import { subtasksOf } from './rescale.ts'
import { Savepoints, type SavepointView } from './savepoints.ts'
import {
  jobStateName,
  type Failure,
  type JobEffect,
  type JobEvent,
  type JobSpec,
  type JobState,
  type SliceId,
  type Times,
  type UsedNumbers,
} from './state.ts'
import { viewOf, type JobView } from './view.ts'

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
  readonly #history = new CheckpointHistory()
  #cancelTick: () => void = () => {}
  #closed = false
  /** The store takes one call at a time. */
  #storeTurn: Promise<unknown> = Promise.resolve()
  readonly #alerts: Alerts
  /** Null: every source is read as fast as it comes. */
  #alignment: AlignmentState | null
  readonly #gaps = new SourceGaps()
  readonly #latency = new Latency()
  #limits: RateLimits
  #degraded: boolean
  readonly #claims: ClaimsWatch
  #cancelReconcile: (() => void) | null = null
  #ended: Promise<JobRecord | null>
  #resolveEnded: (record: JobRecord | null) => void = () => {}
  /** Of the published epoch and of the one in flight: for the ledger, which asks no store. */
  #published: Manifest | null = null
  #stored: Manifest | null = null
  /** Newest acks of the attempt. */
  #acks = new Map<Subtask, SubtaskSnapshot>()
  readonly #kept: KeptEpochs
  readonly #savepoints: Savepoints
  readonly #traces: JobTraces
  /** The end stands in the record, and with it the savepoint it was to leave. */
  #recorded = false
  #endError: Failure | null = null

  constructor(options: JobMasterOptions, deps: JobMasterDeps) {
    this.#options = options
    this.#deps = deps
    this.#state = jobFor(options.spec, options.generation, options.used)
    const { jobId, bundleDigest, plan } = options.spec
    this.#alignment = alignmentFor(plan)
    this.#traces = new JobTraces(jobId, deps.tracer ?? null)
    this.#limits = options.rates ?? {}
    this.#degraded = options.degraded ?? false
    const { checkpoints, epochs, clock } = deps
    this.#alerts = new Alerts(clock, (channel, message) => this.#publish(channel, message))
    this.#claims = new ClaimsWatch(this.#alerts)
    const { generation, leaseTtlMs, retainedMin = 1 } = options
    const { retained = RETAINED_EPOCHS } = plan.settings.checkpoint
    this.#kept = new KeptEpochs(
      { jobId, generation, leaseTtlMs, retained: Math.max(retained, retainedMin) },
      { checkpoints, epochs, clock, inTurn: (call) => this.#store(call), isClosed: () => this.#closed },
    )
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
    this.#traces.close('this leader has gone')
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
    if (event.type === 'claims' && isCurrent(this.#state, event.slice))
      this.#claims.heard(event.operator, event.slice.subtask, event.news)
    if (event.type === 'deployed') this.#claims.begun(event.slice.subtask)
    if (event.type === 'gave-up' && isCurrent(this.#state, event.slice)) {
      this.#late(event.checkpoint, { subtask: event.slice.subtask, ...event.late })
    }
    if (event.type === 'ack') {
      this.#acks.set(event.slice.subtask, event.snapshot)
      const { alignMs = 0, syncMs = 0, asyncMs = 0 } = event
      this.#history.acked(event.checkpoint, event.slice.subtask, { ...event, alignMs, syncMs, asyncMs })
    }
    if (event.type === 'declined')
      this.#history.tasks.declined(event.checkpoint.epoch, event.slice.subtask, event.failure)
    if (event.type === 'progress' && event.metrics?.latency && isCurrent(this.#state, event.slice))
      this.#latency.add(event.metrics.latency)
    if (event.type === 'tick') this.#align({ type: 'tick', now: observed.now })
    if (event.type === 'progress' && event.lows && isCurrent(this.#state, event.slice))
      this.#align({ type: 'told', subtask: event.slice.subtask, lows: event.lows, now: observed.now })
    if (event.type === 'claimed') {
      this.#published = event.manifest
      const away = isFailingOver(this.#state) ? this.#state.failover.subtasks : [...this.#acks.keys()]
      for (const subtask of away) this.#acks.delete(subtask)
    }
    const after = jobStateName(this.#state)
    if (after !== before) this.#publish('weir:job:state', { state: after, previous: before })
    for (const effect of step.effects) this.#traces.within(effect, () => this.#perform(effect))
    if (after !== before && after === 'RUNNING') this.#traces.running()
    if (after !== before && after === 'RUNNING' && this.#savepoints.waiting) this.dispatch({ type: 'ask' })
  }

  view(): JobView {
    const { clock, slots } = this.#deps
    return viewOf(this.#state, {
      ...{ submittedAt: this.#options.submittedAt, alerts: this.#alerts.list(), sourceGaps: this.#gaps.list() },
      ...{ isRecorded: this.#recorded, endError: this.#endError, freeSlots: slots.free(), limits: this.#limits },
      degraded: this.#degraded,
      latency: this.#latency.view(),
      wallClockAt: (ms) => clock.now() + Math.max(0, ms - clock.monotonic()),
    })
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
  published(): PublishedEpoch | null {
    return this.#kept.newest
  }

  /** For the next run under the id in this generation. */
  used(): UsedNumbers {
    return { attempt: this.#state.attempt, epoch: this.#state.coordinator.lastEpoch }
  }

  /** Recorded already: slices that run hear of it at once, the others when they do. */
  adjustRates(limits: RateLimits): void {
    this.#limits = limits
    for (const { status, taskManagerId, subtask } of this.#state.slices.values())
      if (status === 'running') this.#sendRates(taskManagerId, this.#slice(subtask))
    this.#publish('weir:job:rates', { limits })
  }

  /** Recorded already. The switch is turned at the next barrier, which is asked for. */
  degrade(degraded: boolean): void {
    if (degraded === this.#degraded) return
    this.#degraded = degraded
    this.#publish('weir:job:degrade-switch', { degraded })
    this.dispatch({ type: 'ask' })
  }

  /**
   * The region of a slice begins again from the last epoch, as behind a failure of that slice: it counts as one. Null: all of a job
   * that is one region. Throws `JOB_NOT_RUNNING` (retry), `SUBTASK_NEEDED`, `SUBTASK_UNKNOWN` (invalid).
   */
  restartSlices(subtask: number | null, reason: string): void {
    const { jobId } = this
    const { phase, spec, slices } = this.#state
    if (phase !== 'running')
      throw new WeirError(
        { code: 'JOB_NOT_RUNNING', kind: 'retry', jobId },
        `job ${jobId} is restarting or ending already`,
      )
    const regions = regionsOf(spec.plan)
    if (subtask === null && regions.length > 1) {
      const text = `job ${jobId} has ${regions.length} regions that restart by themselves: say which, by the number of a subtask`
      throw new WeirError({ code: 'SUBTASK_NEEDED', kind: 'invalid', jobId }, text)
    }
    const of = (subtask ?? 0) as Subtask
    if (!slices.has(of))
      throw new WeirError(
        { code: 'SUBTASK_UNKNOWN', kind: 'invalid', jobId, subtask },
        `job ${jobId} has no subtask ${of}`,
      )
    const failure: Failure = {
      code: 'RESTART_ASKED',
      kind: 'restart',
      message: `a restart was asked for: ${reason}`,
      facts: {},
    }
    this.dispatch({ type: 'slice-failed', slice: this.#slice(of), failure })
  }

  /** Newest first. */
  checkpoints(): readonly CheckpointView[] {
    return this.#history.list()
  }

  /** By subtask. Null: nothing is known of the epoch any more. */
  checkpointTasks(epoch: number): readonly TaskCheckpointView[] | null {
    return this.#history.tasks.of(epoch)
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
        // In front of it: no record is read at another rate.
        this.#sendRates(effect.to, effect.slice)
        this.#send(effect.to, { type: 'run', slice: effect.slice, peers: effect.peers })
        return this.#align({ type: 'runs', subtask: effect.slice.subtask, now: this.#deps.clock.monotonic() })
      case 'stop':
        return this.#send(effect.to, { type: 'stop', slice: effect.slice, mode: effect.mode })
      case 'trigger':
        this.#history.triggered(effect.checkpoint, effect.cut, this.#deps.clock.now())
        this.#history.tasks.triggered(effect.checkpoint.epoch, this.#state.slices.values())
        this.#publish('weir:checkpoint:triggered', { epoch: effect.checkpoint.epoch })
        return this.#toAll((slice) => ({
          type: 'trigger',
          slice,
          checkpoint: effect.checkpoint,
          last: effect.last,
          cut: effect.cut,
          ...(this.#degraded && { degraded: true }),
        }))
      case 'give-up':
        return this.#giveUp(effect)
      case 'circuit':
        return this.#circuit(effect.breaker, effect.pauseMs)
      case 'write-manifest':
        return this.#store(() => this.#writeManifest(effect.checkpoint, effect.manifest))
      case 'publish':
        return this.#store(() => this.#publishEpoch(effect.checkpoint, effect.ref, effect.again))
      case 'published': {
        this.#published = this.#stored
        this.#kept.published({ ref: effect.ref, manifest: this.#stored })
        this.#alerts.calm('CHECKPOINTS_GIVEN_UP')
        this.#history.note(effect.ref.epoch, { status: 'published', durationMs: effect.durationMs })
        this.#history.cut(effect.ref.epoch, this.#stored)
        const entry = this.#history.stored(effect.ref.epoch, this.#stored)
        return this.#publish('weir:checkpoint:published', {
          epoch: effect.ref.epoch,
          durationMs: effect.durationMs,
          ...(entry && { bytes: entry.bytes, alignMs: entry.alignMs }),
          ...(this.#stored?.cut && { cut: this.#stored.cut }),
        })
      }
      case 'commit':
        return this.#commit(effect.permit, effect.upTo)
      case 'final':
        this.#history.note(effect.epoch, { status: 'final', durationMs: effect.durationMs })
        // n + 1 is not published before n is final: what is published is what is final now.
        this.#savepoints.final(this.#kept.newest!)
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
        this.#alerts.calm('RESCALE_REVERTED')
        return this.#publish('weir:job:rescaled', { from, to, durationMs })
      }
      case 'rescale-reverted':
        this.#alerts.raise('RESCALE_REVERTED', effect.failure.message)
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
    this.#history.note(epoch, { status: 'given-up', durationMs: afterMs, reason: `${reason}: ${why}` })
    if (reason !== 'suspended') this.#alerts.raise('CHECKPOINTS_GIVEN_UP', `epoch ${epoch}: ${reason}, ${why}`)
    this.#publish('weir:checkpoint:given-up', { epoch, reason, detail, waitingFor })
    this.#toAll((slice) => ({ type: 'give-up', slice, checkpoint, timedOut }))
  }

  #late({ epoch }: CheckpointId, late: LateSlice): void {
    this.#history.tasks.late(epoch, late)
    const entry = this.#history.late(epoch, late)
    if (entry === null) return
    const text = givenUpText(epoch, entry.durationMs ?? 0, late)
    this.#publish('weir:checkpoint:late', { epoch, subtask: late.subtask, text })
    const isNewest = this.#alerts.message('CHECKPOINTS_GIVEN_UP')?.startsWith(`epoch ${epoch}: `)
    if (isNewest)
      this.#alerts.raise(
        'CHECKPOINTS_GIVEN_UP',
        `epoch ${epoch}: ${entry.reason}; ${entry.late.map(lateText).join('; ')}`,
      )
  }

  #circuit({ phase, failures }: BreakerState, pauseMs: number): void {
    this.#publish('weir:checkpoint:circuit', { state: phase, failures, pauseMs })
    if (phase === 'closed') return this.#alerts.calm('CHECKPOINTS_FAILING')
    const next = phase === 'open' ? `the next one comes ${pauseMs} ms after the job runs again` : 'one is being tried'
    this.#alerts.raise('CHECKPOINTS_FAILING', `${failures} checkpoints in a row were given up; ${next}`)
  }

  async #claim(): Promise<void> {
    const { checkpoints, clock, signal } = this.#deps
    while (!this.#closed) {
      try {
        const outcome = await checkpoints.claim()
        this.#alerts.calm('CLAIM_WAITING')
        this.#watchArbiter('etcd did not answer at the claim')
        if (outcome.kind === 'superseded') {
          return this.dispatch({ type: 'claim-refused', reason: `generation ${outcome.by} has claimed the job` })
        }
        const { published } = outcome
        const { beginning } = this.#deps
        if (beginning && (published?.epoch ?? 0) <= beginning.after) return await this.#begin(beginning, published)
        if (published !== null) this.#kept.found(published)
        const manifest = published === null ? null : await checkpoints.readManifest(published)
        this.#kept.continueFrom(published, manifest)
        return this.dispatch({ type: 'claimed', published, manifest })
      } catch (thrown) {
        const error = asWeirError(thrown, 'CLAIM_FAILED', 'retry')
        if (error.kind === 'invalid') return this.dispatch({ type: 'claim-failed', failure: error.toJSON() })
        if (error.kind === 'fenced') return this.dispatch({ type: 'claim-refused', reason: error.message })
        this.#alerts.raise('CLAIM_WAITING', error.message)
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
      await this.#kept.beginBehind(before)
      const epoch = (Math.max(ref?.epoch ?? 0, coordinator.lastEpoch) + 1) as Epoch
      const made = await beginning.make({ generation, attempt, epoch }, before)
      const parentEpoch = ref?.epoch ?? (0 as Epoch)
      const parent = { parentEpoch, parentDigest: ref?.digest ?? null, parentKey: ref?.key ?? null }
      const manifest = { ...made, ...parent, retention: this.#kept.retentionOf(made, new Set()) }
      const first = await checkpoints.writeManifest(manifest)
      for (let again = 0; !this.#closed; again++) {
        const outcome = await checkpoints.publish(first)
        if (outcome.kind === 'superseded') return this.dispatch({ type: 'claim-refused', reason: outcome.reason })
        if (outcome.kind === 'published') {
          this.#kept.continueFrom(first, manifest)
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
    const manifest = { ...collected, retention: this.#kept.retentionOf(collected, this.#savepoints.pinned) }
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
      if (outcome.kind === 'unknown') this.#alerts.raise('PUBLISH_UNANSWERED', `epoch ${ref.epoch}: ${outcome.reason}`)
      else this.#alerts.calm('PUBLISH_UNANSWERED')
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

  // ---- the arbiters ----------------------------------------------------------------------------------------------

  /** While etcd is silent: asks now and then, so that the alert is cleared and a takeover is noticed between epochs. */
  #watchArbiter(reason: string): void {
    const { checkpoints, clock } = this.#deps
    if (!checkpoints.degraded) return this.#alerts.calm('ARBITER_DEGRADED')
    this.#alerts.raise('ARBITER_DEGRADED', `${reason}; epochs are published by head.json alone until it does`)
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
    this.#alerts.raise('SOURCE_GAP', `source "${source}": ${gapText(gap)}`)
    this.#publish('weir:source:gap', { source, text: gapText(gap), ...gap })
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
      await this.#kept.complete()
      if (isDamage(ending?.error)) {
        const offered = await this.#kept.offered().catch(() => null)
        this.#endError = withOffer(ending!.error!, this.#kept.newest?.ref ?? null, offered)
      }
      const error = this.#endError ?? ending!.error
      const ledger = settled ? 'settled' : 'unsettled'
      let recorded: JobRecord | null = null
      while (!this.#closed) {
        try {
          const { refs } = this.#kept
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

  /** Of slices that run; others hear of it when they do. */
  #align(event: AlignmentEvent): void {
    const { parallelism } = this.#state.spec.plan.settings
    if (this.#alignment === null || !hasOthers(this.#alignment, parallelism) || this.#state.phase !== 'running') return
    const { state, effects } = stepAlignment(this.#alignment, event)
    this.#alignment = state
    for (const { subtask, bounds } of effects) {
      const slice = this.#state.slices.get(subtask)
      if (slice?.status === 'running')
        this.#send(slice.taskManagerId, { type: 'align', slice: this.#slice(subtask), bounds })
    }
  }

  #sendRates(to: TaskManagerId, slice: SliceId): void {
    const limits = this.#limits
    if (Object.keys(limits).length > 0) this.#send(to, { type: 'rates', slice, limits })
  }

  #toAll(command: (slice: SliceId) => SliceCommand): void {
    for (const s of this.#state.slices.values())
      if (s.status !== 'gone') this.#send(s.taskManagerId, command(this.#slice(s.subtask)))
  }

  #send(to: TaskManagerId, command: SliceCommand): void {
    if (this.#deps.control.send(to, this.#traces.carried(command))) return
    // Not inside the step that is being performed: its remaining effects come first.
    queueMicrotask(() => this.dispatch({ type: 'task-manager-lost', taskManagerId: to, reason: 'not connected' }))
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
