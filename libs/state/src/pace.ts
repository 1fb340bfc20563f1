/** Work on many rows, in slices of time. */
import { setImmediate as yieldTurn } from 'node:timers/promises'

/** ms at a stretch, at least and at most. */
const SLICE_MS_MIN = 8
const SLICE_MS_MAX = 50
const ROWS_PER_LOOK = 100

/**
 * Between two slices the slot does other work; as long as that took, the next slice may take, within bounds: an epoch gets
 * its share of a busy slot.
 */
export class Pace {
  readonly #sliceMsMax: number
  #rows = 0
  #until = performance.now() + SLICE_MS_MIN

  /** @param sliceMsMax what nobody waits for takes less of a busy slot */
  constructor(sliceMsMax = SLICE_MS_MAX) {
    this.#sliceMsMax = sliceMsMax
  }

  /** After each row: is the slice over? */
  due(): boolean {
    return ++this.#rows % ROWS_PER_LOOK === 0 && performance.now() >= this.#until
  }

  async rest(): Promise<void> {
    const began = performance.now()
    await yieldTurn()
    const now = performance.now()
    this.#until = now + Math.min(Math.max(now - began, SLICE_MS_MIN), this.#sliceMsMax)
  }
}

/** Of work that nobody waits for. */
export const backgroundPace = (): Pace => new Pace(SLICE_MS_MIN)
