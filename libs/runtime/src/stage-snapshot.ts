/**
 * The snapshot of one stage at a barrier, step by step: the steps are taken in one turn, in the order in which they stand
 * here (`participation.ts`); what they begin runs behind them.
 */
import type { InFlightRef } from '@weir/checkpoint'
import type { SinkState, SnapshotContext } from '@weir/dataflow'
import { asWeirError, type CheckpointId } from '@weir/model'
import type { StagePart } from './open-checkpoint.ts'
import type { StageSegments } from './recovery.ts'
import type { SliceScope } from './slice-scope.ts'
import { splitProgressOf } from './split-runs.ts'
import type { StageCut } from './stage-cut.ts'
import type { StageRun } from './stage-run.ts'

export class StageSnapshot {
  readonly #scope: SliceScope
  readonly #run: StageRun
  readonly #checkpoint: CheckpointId
  readonly #begun: Promise<void>[] = []
  readonly #sinks: Record<string, SinkState> = {}
  #segments: StageSegments | null = null
  readonly #watermarks: Record<string, number> = {}
  readonly #watermarkFolds: Record<string, unknown> = {}
  #position: StagePart['position'] = null
  #inFlight: readonly InFlightRef[] = []
  #preparedAtMs = 0
  #storedAtMs = 0

  constructor(scope: SliceScope, run: StageRun, checkpoint: CheckpointId) {
    this.#scope = scope
    this.#run = run
    this.#checkpoint = checkpoint
  }

  /** Of what is counted and traced: here the epoch's part ends. */
  seal(): void {
    const { audit, traces } = this.#scope
    const { stage, source, continuous } = this.#run
    if (source) audit?.barrier(stage.head, this.#checkpoint)
    if (continuous !== null) return
    source?.latency.seal(this.#checkpoint.epoch)
    traces?.seal(stage.index, this.#checkpoint.epoch)
  }

  /** Also when the epoch was given up meanwhile: the cut through this stage is where the barrier is (A2). */
  prepareSinks(): void {
    const { audit } = this.#scope
    for (const { node, sink } of this.#run.sinks) {
      const preparing = sink.prepare(this.#checkpoint)
      const receipt = audit?.newest(node.uid) // as of this barrier: the next one has another
      const prepared = preparing.then((state) => {
        this.#sinks[node.uid] = { ...state, ...(receipt && { receipt }) }
        this.#isPrepared()
      })
      // A sink that could not prepare has a transaction nobody may commit: the attempt is over, whatever the reason.
      prepared.catch((error: unknown) => this.#scope.fail(asWeirError(error, 'PREPARE_FAILED')))
      this.#begun.push(prepared)
    }
  }

  storeState(barrier: SnapshotContext): void {
    const { index } = this.#run.stage
    const stored = this.#scope.context.snapshot(index, barrier)
    if (stored === null) return
    this.#begun.push(
      stored.then((chain) => {
        this.#segments = { stage: index, chain }
        this.#isStored()
      }),
    )
  }

  /** How far the stage has come: its source, and event time. */
  notePosition(): void {
    const { stage, source, watermark } = this.#run
    this.#watermarks[`stage-${stage.index}`] = watermark
    if (source === null) return
    const { uid } = source.node
    this.#position = { uid, state: source.reader.snapshot(), read: source.read }
    for (const [split, reached] of Object.entries(source.watermarks.snapshot()))
      this.#watermarks[`${uid}/${split}`] = reached
    for (const [split, fold] of Object.entries(source.watermarks.snapshotFolds()))
      this.#watermarkFolds[`${uid}/${split}`] = fold
  }

  /** Continuous scope, instead of sinks that prepare: what was put out so far is committed with how far its splits are. */
  commitContinuous(): void {
    const { continuous } = this.#run
    if (continuous === null) return
    const committed = continuous.sink.barrier(this.#checkpoint, splitProgressOf(this.#run))
    committed.then(
      () => this.#isPrepared(),
      () => {}, // its failure is that of the whole
    )
    this.#begun.push(committed)
  }

  /** Where barriers may overtake. @param isNeeded false: the epoch was given up */
  storeInFlight(cut: StageCut, isNeeded: () => boolean): void {
    this.#begun.push(
      cut.stored(this.#scope.deps.inFlight!, isNeeded).then((refs) => {
        this.#inFlight = refs
        this.#isStored()
      }),
    )
  }

  /** Resolves when everything that was begun is durable. */
  durable(): Promise<unknown> {
    return Promise.all(this.#begun)
  }

  /** Once it is durable. @param cutAtMs when its steps had been taken */
  part({ cutAtMs, ...times }: { alignMs: number; syncMs: number; cutAtMs: number }): StagePart {
    return {
      sinks: this.#sinks,
      segments: this.#segments,
      inFlight: this.#inFlight,
      watermarks: this.#watermarks,
      watermarkFolds: this.#watermarkFolds,
      position: this.#position,
      ...times,
      prepareMs: Math.max(0, this.#preparedAtMs - cutAtMs),
      uploadMs: Math.max(0, this.#storedAtMs - cutAtMs),
    }
  }

  #isPrepared(): void {
    this.#preparedAtMs = this.#scope.deps.clock.monotonic()
  }

  #isStored(): void {
    this.#storedAtMs = this.#scope.deps.clock.monotonic()
  }
}
