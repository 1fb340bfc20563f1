/**
 * How many values all states of a store keep in memory. While all of them fit, every one is there and counted (*resident*).
 * Behind that a state keeps two generations (`Table`); when those of the newer ones together reach half the budget, every
 * state drops its older one: eviction by the thousands, and no list to keep in order at every read.
 */
/** Bytes of an entry beside its value: the key, and places in two maps. */
export const ENTRY_BYTES = 100

export interface HotBudgetOptions {
  readonly entriesMax: number
  /** Of values as they are stored; as objects they take some times as much. */
  readonly bytesMax: number
}

export class HotBudget {
  readonly #options: HotBudgetOptions
  readonly #rotate: () => void
  #resident = true
  #entries = 0
  #bytes = 0
  /** Of the generation before: what a value costs that comes back from it. */
  #bytesPerEntry = ENTRY_BYTES

  constructor(options: HotBudgetOptions, rotate: () => void) {
    this.#options = options
    this.#rotate = rotate
  }

  /** So many bytes of values, as they are stored, in so many entries. */
  fits(entries: number, bytes: number): boolean {
    const { entriesMax, bytesMax } = this.#options
    return entries <= entriesMax && bytes + entries * ENTRY_BYTES <= bytesMax
  }

  /** Of a resident store: not all of it fits. */
  get isExceeded(): boolean {
    return this.#entries > this.#options.entriesMax || this.#bytes > this.#options.bytesMax
  }

  /** More than generations begin with. */
  get isHalfFull(): boolean {
    return this.#entries * 2 > this.#options.entriesMax || this.#bytes * 2 > this.#options.bytesMax
  }

  /** All entries are in memory. */
  get isResident(): boolean {
    return this.#resident
  }

  /** An entry joins the newer generation. `bytes`: of the packed value; null: it comes from the older one. */
  take(bytes: number | null, beside = ENTRY_BYTES): void {
    this.#entries++
    this.#bytes += bytes === null ? this.#bytesPerEntry : bytes + beside
    if (this.#resident || !this.isHalfFull) return
    this.#bytesPerEntry = this.#bytes / this.#entries
    this.#entries = this.#bytes = 0
    this.#rotate()
  }

  /** The value of a resident entry is another one. */
  resize(from: number, to: number): void {
    if (this.#resident) this.#bytes += to - from
  }

  /** Resident entries are gone. */
  give(bytes: number, entries = 1, beside = ENTRY_BYTES): void {
    if (!this.#resident) return
    this.#entries -= entries
    this.#bytes -= bytes + entries * beside
  }

  /** From now on in generations; what there is becomes the older one. */
  split(): void {
    this.#resident = false
    if (this.#entries > 0) this.#bytesPerEntry = this.#bytes / this.#entries
    this.#entries = this.#bytes = 0
    this.#rotate()
  }
}
