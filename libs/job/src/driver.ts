/**
 * Performs the job machine's effects. One JobMaster per job and term of leadership; it is thrown away at lease end and
 * remembers nothing that decides what is true.
 *
 * `slice-commands.ts` speaks to the slices, `epoch-driver.ts` to the checkpoint store, `job-end.ts` writes down the end, `job-watch.ts`
 * is what people see.
 */
import { RETAINED_EPOCHS, type JobRecord, type PublishedEpoch, type SubtaskSnapshot } from '@weir/checkpoint'
import type { RateLimits } from '@weir/dataflow'
import type { JobId, Subtask } from '@weir/model'
import { EpochDriver } from './epoch-driver.ts'
import { isFailingOver } from './failover.ts'
import type { CheckpointView } from './history.ts'
import { JobEnd } from './job-end.ts'
import { JobTraces } from './job-traces.ts'
import { JobWatch } from './job-watch.ts'
import { poolsOf, type LedgerFacts, type Standing } from './ledger.ts'
import { jobDueMs, jobFor, stepJob } from './machine.ts'
import { isCurrent, sliceOf } from './moves.ts'
import type { JobMasterDeps, JobMasterOptions } from './ports.ts'
import { subtasksOf } from './rescale.ts'
import { Savepoints, type SavepointView } from './savepoints.ts'
import { SliceCommands } from './slice-commands.ts'
import {
  jobStateName,
  type JobEffect,
  type JobEvent,
  type JobSpec,
  type JobState,
  type SliceId,
  type UntimedEvent,
  type UsedNumbers,
} from './state.ts'
import type { TaskCheckpointView } from './task-checkpoints.ts'
import { viewOf, type JobView } from './view.ts'
import { checkSavepoint, restartAsked, subtaskToRestart } from './wishes.ts'

export class JobMaster {
  readonly #options: JobMasterOptions
  readonly #deps: JobMasterDeps
  #state: JobState
  readonly #commands: SliceCommands
  readonly #epochs: EpochDriver
  readonly #savepoints: Savepoints
  readonly #watch: JobWatch
  readonly #traces: JobTraces
  readonly #end: JobEnd
  /** Newest acks of the attempt. */
  readonly #acks = new Map<Subtask, SubtaskSnapshot>()
  #cancelTick: () => void = () => {}
  /** What the machine waits for until the next tick, at most; null: nothing. */
  #dueMs: number | null = null
  #cancelDue: () => void = () => {}
  #closed = false
  readonly #ended: Promise<JobRecord | null>
  #resolveEnded: (record: JobRecord | null) => void = () => {}

  constructor(options: JobMasterOptions, deps: JobMasterDeps) {
    this.#options = options
    this.#deps = deps
    const { generation, leaseTtlMs, retainedMin = 1, rates: limits = {}, degraded = false } = options
    const { clock, signal, stepDown, beginning = null } = deps
    this.#state = jobFor(options.spec, generation, options.used)
    const { jobId, bundleDigest, plan } = options.spec
    const { retained = RETAINED_EPOCHS, alignTimeoutMs } = plan.settings.checkpoint
    const state = (): JobState => this.#state
    const dispatch = (event: UntimedEvent): void => this.dispatch(event)
    const publish = (channel: string, message: Record<string, unknown>): void => this.#publish(channel, message)
    this.#ended = new Promise((resolve) => (this.#resolveEnded = resolve))
    this.#watch = new JobWatch({ clock, publish })
    this.#traces = new JobTraces(jobId, deps.tracer ?? null)
    this.#savepoints = new Savepoints(jobId, { bundleDigest, plan }, { store: deps.savepoints, clock, publish })
    this.#commands = new SliceCommands(
      { plan, limits, degraded },
      {
        control: deps.control,
        traces: this.#traces,
        state,
        unreachable: (taskManagerId) => dispatch({ type: 'task-manager-lost', taskManagerId, reason: 'not connected' }),
      },
    )
    this.#epochs = new EpochDriver(
      { jobId, generation, leaseTtlMs, alignTimeoutMs, retained: Math.max(retained, retainedMin) },
      {
        ...{ checkpoints: deps.checkpoints, epochs: deps.epochs, beginning, clock, signal, state, dispatch, stepDown },
        alerts: this.#watch.alerts,
        pinned: () => this.#savepoints.pinned,
      },
    )
    this.#end = new JobEnd(jobId, {
      ...{ jobs: deps.jobs, epochs: this.#epochs, savepoints: this.#savepoints, clock, signal },
      isClosed: () => this.#closed,
      over: (recorded) => {
        this.#cancelTimers()
        this.#resolveEnded(recorded)
      },
    })
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
    this.#cancelTimers()
    this.#epochs.close()
    this.#traces.close('this leader has gone')
    this.#deps.slots.release(this.jobId)
  }

  dispatch(event: UntimedEvent): void {
    if (this.#closed) return
    const { clock, random } = this.#deps
    const before = jobStateName(this.#state)
    const observed = { now: clock.monotonic(), wallClock: clock.now(), random: random.next() }
    const step = stepJob(this.#state, { ...event, ...observed } as JobEvent)
    this.#state = step.state
    this.#heard(event, observed.now)
    const after = jobStateName(this.#state)
    if (after !== before) this.#publish('weir:job:state', { state: after, previous: before })
    for (const effect of step.effects) this.#traces.within(effect, () => this.#perform(effect))
    if (after !== before && after === 'RUNNING') this.#traces.running()
    if (after !== before && after === 'RUNNING' && this.#savepoints.waiting) this.dispatch({ type: 'ask' })
    this.#armDue()
  }

  /** Output waits for a trigger: it comes when it is due, and not up to a tick later. Each time is waited for once; behind it ticks go on. */
  #armDue(): void {
    const dueMs = jobDueMs(this.#state)
    if (this.#closed || dueMs === this.#dueMs) return
    this.#cancelDue()
    this.#dueMs = null
    if (dueMs === null || dueMs - this.#deps.clock.monotonic() >= this.#options.tickMs) return
    this.#dueMs = dueMs
    this.#awaitDue(dueMs)
  }

  /** Timers may be a part of a millisecond early. */
  #awaitDue(dueMs: number): void {
    const { clock } = this.#deps
    this.#cancelDue = clock.after(Math.max(0, Math.ceil(dueMs - clock.monotonic())), () => {
      if (clock.monotonic() < dueMs) this.#awaitDue(dueMs)
      else this.dispatch({ type: 'tick' })
    })
  }

  #cancelTimers(): void {
    this.#cancelTick()
    this.#cancelDue()
  }

  /** What stands beside the machine. */
  #heard(event: UntimedEvent, now: number): void {
    const ofAttempt = 'slice' in event && isCurrent(this.#state, event.slice)
    this.#watch.heard(event, ofAttempt)
    switch (event.type) {
      case 'tick':
        return this.#commands.align({ type: 'tick', now })
      case 'progress': {
        const { slice, lows } = event
        if (lows && ofAttempt) this.#commands.align({ type: 'told', subtask: slice.subtask, lows, now })
        return
      }
      case 'ack':
        if (ofAttempt) this.#acks.set(event.slice.subtask, event.snapshot)
        return
      case 'claimed': {
        this.#epochs.claimed(event.manifest)
        const away = isFailingOver(this.#state) ? this.#state.failover.subtasks : [...this.#acks.keys()]
        for (const subtask of away) this.#acks.delete(subtask)
      }
    }
  }

  view(): JobView {
    const { clock, slots } = this.#deps
    const { alerts, gaps, latency } = this.#watch
    return viewOf(this.#state, {
      submittedAt: this.#options.submittedAt,
      alerts: alerts.list(),
      sourceGaps: gaps.list(),
      isRecorded: this.#end.isRecorded,
      endError: this.#end.error,
      freeSlots: slots.free(),
      limits: this.#commands.limits,
      degraded: this.#commands.degraded,
      latency: latency.view(),
      wallClockAt: (ms) => clock.now() + Math.max(0, ms - clock.monotonic()),
    })
  }

  /** What is known of its transactions without asking a server. */
  ledger(): { readonly standing: Standing; readonly facts: LedgerFacts } {
    const { spec, coordinator, phase, outcomes } = this.#state
    const { published, final } = coordinator
    // Claimed, and nothing deployed since: no attempt works with them, no publish is on its way.
    const standing = phase === 'ended' ? 'ended' : phase === 'placing' ? 'waiting' : 'running'
    const facts: LedgerFacts = {
      jobId: this.jobId,
      ...poolsOf(spec.plan),
      subtasks: subtasksOf(spec),
      published: published && { epoch: published.epoch, subtasks: this.#epochs.manifest?.subtasks ?? [] },
      final,
      prepared: [...this.#acks.values()],
      outcomes,
    }
    return { standing, facts }
  }

  /** Throws as `Savepoints.wish`, and `SAVEPOINT_NEEDS_STOP`, `JOB_ENDING` (invalid). */
  savepoint(name: string): SavepointView {
    checkSavepoint(this.#state)
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
    return this.#epochs.kept.newest
  }

  /** For the next run under the id in this generation. */
  used(): UsedNumbers {
    return { attempt: this.#state.attempt, epoch: this.#state.coordinator.lastEpoch }
  }

  /** Recorded already. */
  adjustRates(limits: RateLimits): void {
    this.#commands.adjustRates(limits)
    this.#publish('weir:job:rates', { limits })
  }

  /** Recorded already. The switch is turned at the next barrier, which is asked for. */
  degrade(degraded: boolean): void {
    if (degraded === this.#commands.degraded) return
    this.#commands.degraded = degraded
    this.#publish('weir:job:degrade-switch', { degraded })
    this.dispatch({ type: 'ask' })
  }

  /**
   * The region of a slice begins again from the last epoch, as behind a failure of that slice: it counts as one. Null: all of a job
   * that is one region. Throws `JOB_NOT_RUNNING` (retry), `SUBTASK_NEEDED`, `SUBTASK_UNKNOWN` (invalid).
   */
  restartSlices(subtask: number | null, reason: string): void {
    const slice = sliceOf(this.#state, subtaskToRestart(this.#state, subtask))
    this.dispatch({ type: 'slice-failed', slice, failure: restartAsked(reason) })
  }

  /** Newest first. */
  checkpoints(): readonly CheckpointView[] {
    return this.#watch.history.list()
  }

  /** By subtask. Null: nothing is known of the epoch any more. */
  checkpointTasks(epoch: number): readonly TaskCheckpointView[] | null {
    return this.#watch.history.tasks.of(epoch)
  }

  #perform(effect: JobEffect): void {
    const { jobId } = this
    const { slots, clock, stepDown } = this.#deps
    switch (effect.type) {
      case 'claim':
        return this.#epochs.inTurn(() => this.#epochs.claim())
      case 'request-slots':
        return slots.request(jobId, effect.count, (assignment) => this.dispatch({ type: 'placed', assignment }))
      case 'replace-slots':
        return slots.replace(jobId, effect.subtasks, (assignment) => this.dispatch({ type: 'placed', assignment }))
      case 'release-slots':
        return slots.release(jobId)
      case 'deploy':
        return this.#commands.deploy(effect)
      case 'recover': {
        const { to, slice, snapshot, poison } = effect
        return this.#commands.send(to, { type: 'recover', slice, snapshot, poison })
      }
      case 'run':
        return this.#commands.run(effect, clock.monotonic())
      case 'stop':
        return this.#commands.send(effect.to, { type: 'stop', slice: effect.slice, mode: effect.mode })
      case 'trigger':
        this.#watch.triggered(effect, this.#state.slices.values())
        return this.#commands.trigger(effect)
      case 'give-up': {
        const { checkpoint, reason } = effect
        this.#watch.gaveUp(effect)
        return this.#commands.toAll((slice) => ({ type: 'give-up', slice, checkpoint, timedOut: reason === 'timeout' }))
      }
      case 'circuit':
        return this.#watch.circuit(effect)
      case 'write-manifest':
        return this.#epochs.inTurn(() => this.#epochs.writeManifest(effect.checkpoint, effect.manifest))
      case 'publish':
        return this.#epochs.inTurn(() => this.#epochs.publish(effect.checkpoint, effect.ref, effect.again))
      case 'published':
        return this.#watch.published(effect, this.#epochs.published(effect.ref))
      case 'commit':
        return this.#commands.commit(effect.permit, effect.upTo)
      case 'final':
        // n + 1 is not published before n is final: what is published is what is final now.
        this.#savepoints.final(this.#epochs.kept.newest!)
        return this.#watch.final(effect)
      case 'restarted':
      case 'region-failed':
      case 'region-restarted':
      case 'healed':
      case 'rescaled':
        return this.#watch.happened(effect)
      case 'rescale-reverted':
        this.#watch.alerts.raise('RESCALE_REVERTED', effect.failure.message)
        return this.#recordParallelism(effect.parallelism)
      case 'ended':
        void this.#end.record(this.#state, effect.settled).catch(() => this.close()) // so did the leadership
        return
      case 'step-down':
        return stepDown(`${jobId}: ${effect.reason}`)
    }
  }

  /** The next leader would try the wished one again, and revert again: so nothing waits for this. */
  #recordParallelism(parallelism: number): void {
    void this.#deps.jobs.update(this.jobId, (record) => ({ ...record, parallelism })).catch(() => undefined)
  }

  #publish(channel: string, message: Record<string, unknown>): void {
    this.#deps.publish(channel, { jobId: this.jobId, ...message })
  }
}
