/**
 * How many clean values all states of a store keep in memory. A state keeps two generations (`Table`); when those of the
 * newer ones together reach half the budget, every state drops its older one: eviction by the thousands, and no list to
 * keep in order at every read.
 */
/** Bytes of an entry beside its value: the key, and places in two maps. */
const ENTRY_BYTES = 100

export interface HotBudgetOptions {
  readonly entriesMax: number
  /** Of values as they are stored; as objects they take some times as much. */
  readonly bytesMax: number
}

export class HotBudget {
  readonly #options: HotBudgetOptions
  readonly #rotate: () => void
  #entries = 0
  #bytes = 0
  /** Of the generation before: what a value costs that comes back from it. */
  #bytesPerEntry = ENTRY_BYTES

  constructor(options: HotBudgetOptions, rotate: () => void) {
    this.#options = options
    this.#rotate = rotate
  }

  /** An entry joins the newer generation. `bytes`: of the packed value; null: it comes from the older one. */
  take(bytes: number | null): void {
    this.#entries++
    this.#bytes += bytes === null ? this.#bytesPerEntry : bytes + ENTRY_BYTES
    if (this.#entries * 2 <= this.#options.entriesMax && this.#bytes * 2 <= this.#options.bytesMax) return
    this.#bytesPerEntry = this.#bytes / this.#entries
    this.#entries = this.#bytes = 0
    this.#rotate()
  }
}
