/** Work on many rows, in slices of time. */
import { setImmediate as yieldTurn } from 'node:timers/promises'

/** ms at a stretch, at least and at most. */
const SLICE_MS_MIN = 8
const SLICE_MS_MAX = 50
export const ROWS_PER_LOOK = 100

/** Of the time a busy slot does other work between two slices, what the next one may take: two thirds of the slot are the epoch's. */
const SHARE = 2

/** Between two slices the slot does other work; the longer that took, the longer the next one may be, within bounds. */
export class Pace {
  readonly #sliceMsMax: number
  #rows = 0
  #until = performance.now() + SLICE_MS_MIN

  /** @param sliceMsMax what nobody waits for takes less of a busy slot */
  constructor(sliceMsMax = SLICE_MS_MAX) {
    this.#sliceMsMax = sliceMsMax
  }

  /** After a row, or some: is the slice over? */
  due(rows = 1): boolean {
    this.#rows += rows
    if (this.#rows < ROWS_PER_LOOK) return false
    this.#rows = 0
    return performance.now() >= this.#until
  }

  async rest(): Promise<void> {
    const began = performance.now()
    await yieldTurn()
    const now = performance.now()
    this.#until = now + Math.min(Math.max((now - began) * SHARE, SLICE_MS_MIN), this.#sliceMsMax)
  }
}

/** Of work that nobody waits for. */
export const backgroundPace = (): Pace => new Pace(SLICE_MS_MIN)
