/**
 * The slice's part in checkpoints: barriers that are asked for, the snapshot of each stage, the ack, the commit.
 *
 * ```
 * trigger ─▶ barrier injected ─▶ snapshot of each stage ─▶ ack ─▶ commit ─▶ committed
 *     │            └───────────────── give-up ──────────────┘
 *     └─ after `unaligned.afterMs`: due, barriers overtake (never those of the last epoch)
 * ```
 */
import { boundedLate, type Cut, type InFlightRef } from '@weir/checkpoint'
import type { SinkState, SourceState, SplitWatermarksState } from '@weir/dataflow'
import { asWeirError, sameCheckpoint, type Cancel, type CheckpointId, type Epoch } from '@weir/model'
import type { Capture } from './capture.ts'
import { StageCut } from './stage-cut.ts'
import { lateInputsOf } from './late-inputs.ts'
import { addExceptions, addPart, openCheckpoint, snapshotOf, type OpenCheckpoint } from './open-checkpoint.ts'
import type { CutExceptions } from './source-cut.ts'
import type { StageSegments } from './recovery.ts'
import type { SliceScope } from './slice-scope.ts'
import { splitProgressOf } from './split-runs.ts'
import type { StageRun } from './stage-run.ts'

/** How the barrier came to a stage. `overtaken` null: in its turn. */
export interface StageBarrier {
  readonly alignMs: number
  readonly overtaken: Capture | null
  /** Of a source that was cut at an event time. */
  readonly exceptions?: CutExceptions
}

/** A barrier that is asked for, and where it is to fall. */
export interface Trigger {
  readonly checkpoint: CheckpointId
  readonly cut: Cut
}

export class Participation {
  readonly #scope: SliceScope
  #open = new Map<Epoch, OpenCheckpoint>()
  #triggers: Trigger[] = []
  #lastEpoch: Epoch | null = null
  /** The newest epoch whose barriers need not wait for their turn. */
  #due: CheckpointId | null = null
  #cancelDue: Cancel = () => {}
  /** Of the newest epoch, by stage: where its barrier may overtake. */
  #cuts = new Map<number, { readonly checkpoint: CheckpointId; readonly cut: StageCut }>()
  /** Source positions of epochs that may still become final: bounded by the coordinator's one epoch in flight. */
  #positions = new Map<Epoch, Record<string, SourceState>>()
  #commitTurn: Promise<void> = Promise.resolve()

  constructor(scope: SliceScope) {
    this.#scope = scope
    scope.signal.addEventListener('abort', () => this.#cancelDue(), { once: true })
  }

  /** Asked for and not yet acked, oldest first. */
  get triggers(): readonly Trigger[] {
    return this.#triggers
  }

  /** Sources stand still from this barrier on; barriers may still follow. */
  get lastEpoch(): Epoch | null {
    return this.#lastEpoch
  }

  /** Resolves when no commit runs. */
  get settled(): Promise<void> {
    return this.#commitTurn
  }

  trigger(checkpoint: CheckpointId, last: boolean, cut: Cut): void {
    const { deps, stages } = this.#scope
    if (this.#scope.over) return
    if (last) this.#lastEpoch ??= checkpoint.epoch
    this.#open.set(
      checkpoint.epoch,
      openCheckpoint(checkpoint, stages.length, deps.clock.monotonic(), this.#scope.recordsBefore),
    )
    this.#triggers.push({ checkpoint, cut })
    this.#scope.wakeSources()
    for (const { source } of stages) source?.reader.interrupt?.()
    const { unaligned } = this.#scope.options.plan
    if (unaligned === null || last) return
    this.#cancelDue()
    this.#cancelDue = deps.clock.after(unaligned.afterMs, () => this.#becomesDue(checkpoint))
  }

  /** A barrier of this epoch is on its way to some receiver. */
  barrierSent(stage: number, checkpoint: CheckpointId): void {
    const of = this.#cuts.get(stage)
    if (of !== undefined && sameCheckpoint(of.checkpoint, checkpoint)) of.cut.barrierSent()
  }

  #becomesDue(checkpoint: CheckpointId): void {
    if (this.#scope.over || !this.#open.has(checkpoint.epoch)) return
    this.#due = checkpoint
    this.#overtakeBehindSources(checkpoint)
    for (const of of this.#cuts.values()) if (sameCheckpoint(of.checkpoint, checkpoint)) of.cut.overtake()
  }

  /** A receipt in a sink here names what the sources here have read: their barriers come first. */
  #overtakeBehindSources(checkpoint: CheckpointId): void {
    const { stages } = this.#scope
    const open = this.#open.get(checkpoint.epoch)
    if (open === undefined || this.#due === null || !sameCheckpoint(this.#due, checkpoint)) return
    if (!stages.every((run) => run.source === null || open.cut.has(run.stage.index))) return
    for (const run of stages) run.gate?.due(checkpoint)
  }

  giveUp(checkpoint: CheckpointId, timedOut: boolean): void {
    const open = this.#open.get(checkpoint.epoch)
    this.#open.delete(checkpoint.epoch)
    this.#positions.delete(checkpoint.epoch)
    if (this.#open.size === 0) this.#cancelDue()
    if (this.#lastEpoch === checkpoint.epoch) this.#resumeSources()
    this.#triggers = this.#triggers.filter((t) => t.checkpoint.epoch !== checkpoint.epoch)
    for (const run of this.#scope.stages) {
      run.gate?.giveUp(checkpoint)
      run.source?.cutting?.giveUp(checkpoint)
    }
    if (this.#scope.over) return
    if (timedOut && open !== undefined) {
      const late = boundedLate(lateInputsOf(this.#scope, open))
      this.#scope.deps.report({ type: 'gave-up', checkpoint, late })
    }
    try {
      this.#scope.context.giveUp(checkpoint.epoch)
    } catch (error) {
      this.#scope.fail(asWeirError(error, 'SLICE_FAILED'))
    }
  }

  /** The last epoch was given up: what is read now is in the next one (PROTOCOL B6). */
  #resumeSources(): void {
    this.#lastEpoch = null
    this.#scope.wakeSources()
  }

  /** @param traceparent of the checkpoint's trace */
  commit(epoch: Epoch, upTo: Readonly<Record<string, number>>, traceparent?: string): void {
    const { context, deps, retired, stages, traces } = this.#scope
    this.#commitTurn = this.#commitTurn.then(async () => {
      if (this.#scope.over) return
      try {
        await retired.committed()
        await Promise.all(
          stages.flatMap((run) =>
            run.sinks.flatMap(({ node, sink }) => {
              const sequence = upTo[node.uid]
              return sequence === undefined ? [] : [sink.commit(sequence)]
            }),
          ),
        )
        if (this.#scope.over) return
        context.complete(epoch)
        deps.report({ type: 'committed', epoch })
        if (stages.every(({ continuous }) => continuous === null)) traces?.committed('epoch', epoch, traceparent)
        for (const { source, continuous } of stages)
          if (continuous === null) source?.latency.committed(epoch, deps.clock.now())
        const positions = this.#positions.get(epoch)
        for (const run of stages) {
          const position = run.source && positions?.[run.source.node.uid]
          if (position) run.source!.reader.committed?.(position)
        }
        for (const e of this.#positions.keys()) if (e <= epoch) this.#positions.delete(e)
      } catch (error) {
        this.#scope.fail(asWeirError(error, 'COMMIT_REFUSED'))
      }
    })
  }

  /**
   * The barrier in one stage. The synchronous part fixes position, state and open transaction; the barrier goes on at
   * once; what takes time runs behind it and ends in the ack.
   */
  snapshot(run: StageRun, checkpoint: CheckpointId, { alignMs, overtaken, exceptions }: StageBarrier): void {
    const scope = this.#scope
    const open = this.#open.get(checkpoint.epoch)
    const { clock } = scope.deps
    const started = clock.monotonic()
    const barrier = scope.context.barrier(checkpoint)
    if (open) open.timestamp = barrier.timestamp
    const { index } = run.stage
    const isCut = (): void => void open?.cut.add(index)
    if (overtaken === null) isCut()
    else overtaken.whole.then(isCut, () => {}) // its failure ends the snapshot below
    if (open && run.source && exceptions) addExceptions(open, run.source.node.uid, exceptions)
    const work: Promise<void>[] = []
    let preparedAtMs = 0
    let storedAtMs = 0
    const isPrepared = (): void => void (preparedAtMs = clock.monotonic())
    const isStored = (): void => void (storedAtMs = clock.monotonic())
    const sinks: Record<string, SinkState> = {}
    let segments: StageSegments | null = null
    let inFlight: readonly InFlightRef[] = []
    if (run.source) scope.audit?.barrier(run.stage.head, checkpoint)
    if (run.continuous === null) {
      run.source?.latency.seal(checkpoint.epoch)
      scope.traces?.seal(index, checkpoint.epoch)
    }
    if (checkpoint.epoch === this.#lastEpoch) run.timed = [] // what fires behind it would be in no epoch
    // Prepared also when the epoch was given up meanwhile: the cut through this stage is where the barrier is (A2).
    for (const { node, sink } of run.sinks) {
      const preparing = sink.prepare(checkpoint)
      const receipt = scope.audit?.newest(node.uid) // as of this barrier: the next one has another
      const prepared = preparing.then((state) => {
        sinks[node.uid] = { ...state, ...(receipt && { receipt }) }
        isPrepared()
      })
      // A sink that could not prepare has a transaction nobody may commit: the attempt is over, whatever the reason.
      prepared.catch((error: unknown) => scope.fail(asWeirError(error, 'PREPARE_FAILED')))
      work.push(prepared)
    }
    const stored = scope.context.snapshot(index, barrier)
    if (stored)
      work.push(
        stored.then((chain) => {
          segments = { stage: index, chain }
          isStored()
        }),
      )
    const watermarkFolds: Record<string, unknown> = {}
    const watermarks: Record<string, number> = { [`stage-${index}`]: run.watermark }
    const uid = run.source?.node.uid
    const position = run.source?.reader.snapshot()
    const read = run.source?.read ?? 0
    if (run.source) {
      const splits: SplitWatermarksState = run.source.watermarks.snapshot()
      for (const [split, watermark] of Object.entries(splits)) watermarks[`${uid!}/${split}`] = watermark
      const folds = run.source.watermarks.snapshotFolds()
      for (const [split, state] of Object.entries(folds)) watermarkFolds[`${uid!}/${split}`] = state
    }
    if (run.continuous !== null) {
      const committed = run.continuous.sink.barrier(checkpoint, splitProgressOf(run))
      committed.then(isPrepared, () => {}) // its failure ends the snapshot below
      work.push(committed)
    }
    for (const output of run.outputs) output.barrier(checkpoint)
    run.degraded = scope.degradeSwitch.behind(checkpoint.epoch)
    if (scope.options.plan.unaligned !== null) {
      const cut = this.#cut(run, checkpoint, overtaken)
      const isNeeded = (): boolean => open !== undefined && this.#open.get(checkpoint.epoch) === open
      work.push(
        cut.stored(scope.deps.inFlight!, isNeeded).then((refs) => {
          inFlight = refs
          isStored()
        }),
      )
    }
    if (run.source) this.#overtakeBehindSources(checkpoint)
    const cutAtMs = clock.monotonic()
    const syncMs = cutAtMs - started
    if (open) open.cutAtMs = cutAtMs
    void Promise.all(work).then(
      () => {
        if (open === undefined || this.#open.get(checkpoint.epoch) !== open) return
        const of = uid && position ? { uid, state: position, read } : null
        const times = {
          ...{ alignMs, syncMs },
          prepareMs: Math.max(0, preparedAtMs - cutAtMs),
          uploadMs: Math.max(0, storedAtMs - cutAtMs),
        }
        if (addPart(open, { sinks, segments, inFlight, watermarks, watermarkFolds, position: of, ...times }))
          this.#ack(open)
      },
      (thrown: unknown) => this.#snapshotFailed(checkpoint, thrown),
    )
  }

  #cut({ stage, outputs }: StageRun, checkpoint: CheckpointId, overtaken: Capture | null): StageCut {
    const { inFlightBytesMax: bytesMax, options } = this.#scope
    const { parallelism } = options.plan.job.settings
    const facts = { checkpoint, stage: stage.index, subtask: options.subtask, parallelism, bytesMax }
    const cut = new StageCut({ ...facts, outputs, overtaken })
    this.#cuts.set(stage.index, { checkpoint, cut })
    if (this.#due !== null && sameCheckpoint(this.#due, checkpoint)) cut.overtake()
    return cut
  }

  /** A failed upload of state is only a declined epoch: the changes are in the next snapshot. */
  #snapshotFailed(checkpoint: CheckpointId, thrown: unknown): void {
    const error = asWeirError(thrown, 'SNAPSHOT_FAILED')
    const isOnlyDeclined = error.code.startsWith('OBJECT_STORE') || error.code === 'IN_FLIGHT_TOO_LARGE'
    if (!isOnlyDeclined) return this.#scope.fail(error)
    this.#open.delete(checkpoint.epoch)
    this.#scope.deps.report({ type: 'declined', checkpoint, error })
  }

  #ack(open: OpenCheckpoint): void {
    const { degradeSwitch, deps, options, retired } = this.#scope
    const { epoch } = open.checkpoint
    this.#open.delete(epoch)
    this.#triggers = this.#triggers.filter((t) => t.checkpoint.epoch > epoch)
    this.#positions.set(epoch, open.sources)
    deps.report({
      type: 'ack',
      checkpoint: open.checkpoint,
      snapshot: snapshotOf(open, {
        ...{ subtask: options.subtask, retired: retired.snapshot() },
        ...(degradeSwitch.behind(epoch) && { degraded: true }),
      }),
      alignMs: Math.round(open.alignMs),
      syncMs: Math.round(open.syncMs),
      asyncMs: Math.round(deps.clock.monotonic() - open.startedMs),
      cutMs: Math.round(open.cutAtMs - open.startedMs),
      prepareMs: Math.round(open.prepareMs),
      uploadMs: Math.round(open.uploadMs),
    })
  }
}
