/**
 * The slice's part in checkpoints: barriers that are asked for, the snapshot of each stage, the ack, the commit.
 *
 * ```
 * trigger ─▶ barrier injected ─▶ snapshot of each stage ─▶ ack ─▶ commit ─▶ committed
 *     │            └───────────────── give-up ──────────────┘
 *     └─ after `unaligned.afterMs`: due, barriers overtake (never those of the last epoch)
 * ```
 */
import { boundedLate, type Cut } from '@weir/checkpoint'
import type { SourceState } from '@weir/dataflow'
import { asWeirError, sameCheckpoint, type Cancel, type CheckpointId, type Epoch } from '@weir/model'
import type { Capture } from './capture.ts'
import { StageCut } from './stage-cut.ts'
import { lateInputsOf } from './late-inputs.ts'
import { addExceptions, addPart, openCheckpoint, snapshotOf, type OpenCheckpoint } from './open-checkpoint.ts'
import type { CutExceptions } from './source-cut.ts'
import type { SliceScope } from './slice-scope.ts'
import type { StageRun } from './stage-run.ts'
import { StageSnapshot } from './stage-snapshot.ts'

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
  snapshot(run: StageRun, checkpoint: CheckpointId, at: StageBarrier): void {
    const { context, degradeSwitch, deps, options } = this.#scope
    const open = this.#open.get(checkpoint.epoch)
    const startedMs = deps.clock.monotonic()
    const barrier = context.barrier(checkpoint)
    if (open) open.timestamp = barrier.timestamp
    noteCut(open, run, at)
    const snapshot = new StageSnapshot(this.#scope, run, checkpoint)
    snapshot.seal()
    if (checkpoint.epoch === this.#lastEpoch) run.timed = [] // what fires behind it would be in no epoch
    snapshot.prepareSinks()
    snapshot.storeState(barrier)
    snapshot.notePosition()
    snapshot.commitContinuous()
    for (const output of run.outputs) output.barrier(checkpoint)
    run.degraded = degradeSwitch.behind(checkpoint.epoch)
    if (options.plan.unaligned !== null)
      snapshot.storeInFlight(this.#cut(run, checkpoint, at.overtaken), () => this.#isOpen(open))
    if (run.source) this.#overtakeBehindSources(checkpoint)
    const cutAtMs = deps.clock.monotonic()
    if (open) open.cutAtMs = cutAtMs
    const times = { alignMs: at.alignMs, syncMs: cutAtMs - startedMs, cutAtMs }
    void snapshot.durable().then(
      () => {
        if (this.#isOpen(open) && addPart(open, snapshot.part(times))) this.#ack(open)
      },
      (thrown: unknown) => this.#snapshotFailed(checkpoint, thrown),
    )
  }

  /** False: it was given up. */
  #isOpen(open: OpenCheckpoint | undefined): open is OpenCheckpoint {
    return open !== undefined && this.#open.get(open.checkpoint.epoch) === open
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

/** `open` undefined: it was given up before its barrier came here. */
function noteCut(open: OpenCheckpoint | undefined, run: StageRun, { overtaken, exceptions }: StageBarrier): void {
  const isCut = (): void => void open?.cut.add(run.stage.index)
  if (overtaken === null) isCut()
  else overtaken.whole.then(isCut, () => {}) // its failure ends the snapshot
  if (open && run.source && exceptions) addExceptions(open, run.source.node.uid, exceptions)
}
