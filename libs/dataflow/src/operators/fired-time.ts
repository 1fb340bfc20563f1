/**
 * How far the windows of each key group have fired, for windows that are kept after they did. The watermark alone does not say
 * it: restored at another parallelism or behind another operator it may be one from before, and what has been put out would be
 * put out again. So it is state: one row per key group (or split), written when windows fire.
 *
 * A row is found by a key of its group that has no other meaning: the smallest whole number that hashes into it.
 */
import { WATERMARK_MIN, keyGroupOf, keyGroupRange, type Key, type Watermark } from '@weir/model'
import type { OperatorContext } from '../operator.ts'
import type { KeyedState } from '../ports.ts'

export const FIRED_STATE = 'window.fired'
/** The namespace of the rows: these are kept in memory. */
const ROWS = 1

export class FiredTime {
  readonly #rows: KeyedState<number>
  readonly #maxParallelism: number
  readonly #perSplit: boolean
  /** Key group → its row. */
  readonly #places: ReadonlyMap<number, Key>
  /** Groups that have fired further than the restored watermark. */
  #ahead: Map<number, Watermark>
  #aheadMax: Watermark = WATERMARK_MIN
  /** As far as the rows are written. */
  #through: Watermark = WATERMARK_MIN

  constructor(context: OperatorContext) {
    this.#rows = context.state.keyed(context.uid, FIRED_STATE)
    this.#maxParallelism = context.maxParallelism
    this.#perSplit = context.perSplit ?? false
    this.#places = this.#perSplit ? new Map([[0, 0]]) : placesOf(context)
    this.#ahead = new Map()
    for (const [group, place] of this.#places) {
      const fired = this.#rows.get(place, ROWS)
      if (fired === undefined || fired <= context.watermark) continue
      this.#ahead.set(group, fired)
      this.#aheadMax = Math.max(this.#aheadMax, fired)
    }
  }

  /** Somebody is: `of` has to be asked. */
  get isAhead(): boolean {
    return this.#ahead.size > 0
  }

  /** As far as it is more than the watermark. */
  of(key: Key): Watermark {
    const group = this.#perSplit ? 0 : keyGroupOf(key, this.#maxParallelism)
    return this.#ahead.get(group) ?? WATERMARK_MIN
  }

  /** Windows up to the watermark have fired, or would have if they had had records. */
  advance(watermark: Watermark): void {
    if (watermark <= this.#through) return
    this.#through = watermark
    for (const [group, place] of this.#places)
      if (watermark >= (this.#ahead.get(group) ?? WATERMARK_MIN)) this.#rows.put(place, watermark, ROWS)
    if (this.isAhead && watermark >= this.#aheadMax) this.#ahead = new Map()
  }
}

function placesOf({ subtask, parallelism, maxParallelism }: OperatorContext): Map<number, Key> {
  const { from, to } = keyGroupRange(subtask, parallelism, maxParallelism)
  const places = new Map<number, Key>()
  for (let key = 0; places.size < to - from; key++) {
    const group = keyGroupOf(key, maxParallelism)
    if (group >= from && group < to && !places.has(group)) places.set(group, key)
  }
  return places
}
