/**
 * Several event times as one: the splits of a source, the channels of a stage.
 *
 *     the lowest of those that are active; an idle one holds nobody back until it tells its watermark again
 *     WATERMARK_MAX once all have ended, or where there are none
 *
 * Where nobody is active and somebody is idle it stays where it is, also when all others have ended: who is idle may come
 * back. It never goes back: what an idle one brings later from before it is late.
 */
import { WATERMARK_MAX, type Watermark } from '@weir/model'

export class MergedWatermark {
  readonly #inputs: Map<number, Watermark>
  readonly #idle = new Set<number>()
  #current: Watermark

  /** All of them active. */
  constructor(inputs: Iterable<readonly [input: number, watermark: Watermark]>) {
    this.#inputs = new Map(inputs)
    this.#current = WATERMARK_MAX
    for (const watermark of this.#inputs.values()) if (watermark < this.#current) this.#current = watermark
  }

  get current(): Watermark {
    return this.#current
  }

  /** Somebody may come back, and nobody is active. */
  get isIdle(): boolean {
    if (this.#idle.size === 0) return false
    for (const [input, watermark] of this.#inputs) if (watermark < WATERMARK_MAX && !this.#idle.has(input)) return false
    return true
  }

  of(input: number): Watermark {
    const watermark = this.#inputs.get(input)
    if (watermark === undefined) throw new Error(`internal: input ${input} is not one of ${[...this.#inputs.keys()]}`)
    return watermark
  }

  isIdleInput(input: number): boolean {
    return this.#idle.has(input)
  }

  entries(): IterableIterator<[input: number, watermark: Watermark]> {
    return this.#inputs.entries()
  }

  /** The input is active, and has come at least so far; `WATERMARK_MAX`: it has ended. Answers `current`. */
  advance(input: number, to: Watermark): Watermark {
    const before = this.of(input)
    const returns = this.#idle.delete(input)
    if (to > before) this.#inputs.set(input, to)
    // Of those that were active, only one that held the others back can move the minimum.
    if (returns || (to > before && before <= this.#current)) this.#merge()
    return this.#current
  }

  /** The input holds nobody back from now on. Answers `current`. */
  idle(input: number): Watermark {
    if (this.of(input) === WATERMARK_MAX || this.#idle.has(input)) return this.#current
    this.#idle.add(input)
    this.#merge()
    return this.#current
  }

  #merge(): void {
    let [lowest, isActive] = [WATERMARK_MAX, false]
    for (const [input, watermark] of this.#inputs) {
      if (watermark === WATERMARK_MAX || this.#idle.has(input)) continue
      isActive = true
      if (watermark < lowest) lowest = watermark
    }
    if ((isActive || this.#idle.size === 0) && lowest > this.#current) this.#current = lowest
  }
}
