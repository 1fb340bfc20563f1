/**
 * Checks that are too dear for every value: of each place the first ones, which is where code that always does wrong is
 * caught, and then one in about so many.
 */
export const SAMPLE_FIRST = 1_000
export const SAMPLE_EVERY = 1_024

export class Sample {
  readonly #always: boolean
  /** Of the first ones. */
  #left = SAMPLE_FIRST
  #since = 0

  /** @param always in development and tests: every value */
  constructor(always: boolean) {
    this.#always = always
  }

  /** Is this one looked at? */
  next(): boolean {
    return this.of(1) === 1
  }

  /** Of so many at once: how many, from the first on, are looked at. */
  of(count: number): number {
    if (this.#always) return count
    if (this.#left > 0) {
      const first = Math.min(this.#left, count)
      this.#left -= first
      return first
    }
    this.#since += count
    if (this.#since < SAMPLE_EVERY) return 0
    this.#since = 0
    return Math.min(count, 1)
  }
}
