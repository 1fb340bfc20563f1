/**
 * The watermark of one source subtask: how far event time has come over all splits it reads.
 *
 *     per split:   highest timestamp seen − outOfOrderMs        (WATERMARK_MAX once the split has ended)
 *     together:    the minimum over the splits                   (WATERMARK_MAX when there are none)
 *
 * A split without records yet holds the minimum at WATERMARK_MIN: its first record may be the oldest of all.
 * Neither value ever goes back. No clock here: an idle split holds the others back until it ends.
 */
import { WATERMARK_MAX, WATERMARK_MIN } from '@weir/model'
import type { Watermark } from '@weir/model'

/** JSON: split → its watermark. Stands in the snapshot of the slice. */
export type SplitWatermarksState = Readonly<Record<string, Watermark>>

export class SplitWatermarks {
  readonly #outOfOrderMs: number
  readonly #splits = new Map<number, Watermark>()
  #current: Watermark

  /** `restored` is the state of the barrier; splits that are not in it begin at WATERMARK_MIN. */
  constructor(
    options: { readonly outOfOrderMs: number },
    splits: readonly number[],
    restored: SplitWatermarksState | null = null,
  ) {
    this.#outOfOrderMs = options.outOfOrderMs
    for (const split of splits) this.#splits.set(split, restored?.[split] ?? WATERMARK_MIN)
    this.#current = this.#minimum()
  }

  /** The watermark of the subtask. */
  get current(): Watermark {
    return this.#current
  }

  /** A batch of records was read from a split. Answers the subtask's watermark. */
  observe(split: number, timestamps: readonly number[]): Watermark {
    const before = this.#of(split)
    let highest = WATERMARK_MIN
    for (const timestamp of timestamps) if (timestamp > highest) highest = timestamp
    const after = highest - this.#outOfOrderMs
    return after > before ? this.#advance(split, before, after) : this.#current
  }

  /** The split has no more records and no longer holds the others back. */
  end(split: number): Watermark {
    return this.#advance(split, this.#of(split), WATERMARK_MAX)
  }

  snapshot(): SplitWatermarksState {
    return Object.fromEntries(this.#splits)
  }

  #of(split: number): Watermark {
    const watermark = this.#splits.get(split)
    if (watermark === undefined) throw new Error(`internal: split ${split} is not one of ${[...this.#splits.keys()]}`)
    return watermark
  }

  #advance(split: number, before: Watermark, after: Watermark): Watermark {
    this.#splits.set(split, after)
    // Only the split that was the slowest can move the minimum.
    if (before === this.#current) this.#current = this.#minimum()
    return this.#current
  }

  #minimum(): Watermark {
    let minimum: Watermark = WATERMARK_MAX
    for (const watermark of this.#splits.values()) if (watermark < minimum) minimum = watermark
    return minimum
  }
}

/** A run of records of one split, and the watermark behind its last one. */
export interface WatermarkCut {
  /** Exclusive. */
  readonly to: number
  readonly watermark: Watermark
}

/**
 * Cuts a batch of one split where event time passes a multiple of `quantumMs` (a common divisor of every window's size),
 * so that windows fire behind the very record that ends them, however the records were batched: what a split's chain
 * puts out is a function of its records alone (PROTOCOL A18). The last cut is the end of the batch.
 *
 * @param quantumMs null: nothing in the chain looks at event time, one cut.
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

/** Greatest common divisor of the windows' sizes; null when there are none. */
export function watermarkQuantumMs(windowSizesMs: readonly number[]): number | null {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))
  return windowSizesMs.length === 0 ? null : windowSizesMs.reduce(gcd)
}
