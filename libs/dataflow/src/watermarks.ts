/**
 * The watermark of one source subtask: how far event time has come over all splits it reads.
 *
 *     per split:   highest timestamp seen − outOfOrderMs, or what the job's own fold says   (WATERMARK_MAX once it has ended)
 *     together:    the lowest of those that are active (`merged-watermark.ts`)
 *
 * A split without records yet holds the others at WATERMARK_MIN: its first record may be the oldest of all. No value ever
 * goes back. No clock here: who is idle is told (`split-activity.ts`).
 */
import { WATERMARK_MAX, WATERMARK_MIN } from '@weir/model'
import type { Watermark } from '@weir/model'
import { gcd } from './window.ts'
import type { SourceNode } from './graph.ts'
import { MergedWatermark } from './merged-watermark.ts'
import { foldAt, type WatermarkFold } from './watermark-fold.ts'

/** JSON: split → its watermark. Stands in the snapshot of the slice. */
export type SplitWatermarksState = Readonly<Record<string, Watermark>>
/** JSON: split → state of the job's own fold. */
export type WatermarkFoldsState = Readonly<Record<string, unknown>>

/** What a source's watermarks are made of. */
export type WatermarkNode = Pick<SourceNode, 'uid' | 'outOfOrderMs' | 'watermarks'>

export class SplitWatermarks {
  readonly #outOfOrderMs: number
  readonly #splits: MergedWatermark
  readonly #folds = new Map<number, WatermarkFold>()

  /** `restored` is the state of the barrier; splits that are not in it begin at WATERMARK_MIN. */
  constructor(
    node: WatermarkNode,
    splits: readonly number[],
    restored: SplitWatermarksState | null = null,
    folds: WatermarkFoldsState | null = null,
  ) {
    this.#outOfOrderMs = node.outOfOrderMs
    this.#splits = new MergedWatermark(splits.map((split) => [split, restored?.[split] ?? WATERMARK_MIN]))
    const { uid, watermarks } = node
    if (!watermarks) return
    for (const split of splits) {
      const at = { state: folds?.[split], watermark: this.#splits.of(split) }
      this.#folds.set(split, foldAt(uid, watermarks, at))
    }
  }

  /** The watermark of the subtask. */
  get current(): Watermark {
    return this.#splits.current
  }

  /** None of its splits is active, and not all have ended. */
  get isIdle(): boolean {
    return this.#splits.isIdle
  }

  isIdleSplit(split: number): boolean {
    return this.#splits.isIdleInput(split)
  }

  /** The job's own; null: watermarks follow the highest timestamp. */
  foldOf(split: number): WatermarkFold | null {
    return this.#folds.get(split) ?? null
  }

  /** A batch of records was read from a split, which is active. Answers the subtask's watermark. */
  observe(split: number, timestamps: readonly number[]): Watermark {
    const fold = this.#folds.get(split)
    if (fold !== undefined) return this.#splits.advance(split, fold.reached.at(-1) ?? WATERMARK_MIN)
    let highest = WATERMARK_MIN
    for (const timestamp of timestamps) if (timestamp > highest) highest = timestamp
    return this.#splits.advance(split, highest - this.#outOfOrderMs)
  }

  /** The split holds the others back no longer, until it has records again. */
  idle(split: number): Watermark {
    return this.#splits.idle(split)
  }

  /** The split has no more records and no longer holds the others back. */
  end(split: number): Watermark {
    return this.#splits.advance(split, WATERMARK_MAX)
  }

  entries(): IterableIterator<[split: number, watermark: Watermark]> {
    return this.#splits.entries()
  }

  snapshot(): SplitWatermarksState {
    return Object.fromEntries(this.#splits.entries())
  }

  /** Throws `WATERMARK_INVALID` (invalid): a state that JSON cannot hold. */
  snapshotFolds(): WatermarkFoldsState {
    return Object.fromEntries([...this.#folds].map(([split, fold]) => [split, fold.snapshot()]))
  }
}

/** A run of records of one split, and the watermark behind its last one. */
export interface WatermarkCut {
  /** Exclusive. */
  readonly to: number
  readonly watermark: Watermark
}

/**
 * Cuts a batch of one split where event time passes a multiple of `quantumMs` (a common divisor of all times windows act at),
 * so that windows fire behind the very record that ends them, however the records were batched: what a split's chain
 * puts out is a function of its records alone (PROTOCOL A18). The last cut is the end of the batch.
 *
 * @param of `quantumMs` null: nothing in the chain looks at event time, one cut. `outOfOrderMs` 0 where `timestamps` are the
 * watermarks that the job's own fold has come to.
 */
export function watermarkCuts(
  timestamps: readonly number[],
  before: Watermark,
  of: { readonly outOfOrderMs: number; readonly quantumMs: number | null },
): WatermarkCut[] {
  const { outOfOrderMs, quantumMs } = of
  const cuts: WatermarkCut[] = []
  let watermark = before
  let next = quantumMs === null ? Number.POSITIVE_INFINITY : (Math.floor(before / quantumMs) + 1) * quantumMs
  for (let i = 0; i < timestamps.length; i++) {
    const reached = timestamps[i]! - outOfOrderMs
    if (reached > watermark) watermark = reached
    if (watermark < next) continue
    cuts.push({ to: i + 1, watermark })
    next = (Math.floor(watermark / quantumMs!) + 1) * quantumMs!
  }
  if (cuts.at(-1)?.to !== timestamps.length) cuts.push({ to: timestamps.length, watermark })
  return cuts
}

/** Greatest common divisor of what `eventTimeStepsMs` says of a chain; null when there is nothing. */
export const watermarkQuantumMs = (stepsMs: readonly number[]): number | null =>
  stepsMs.length === 0 ? null : stepsMs.reduce(gcd)
