/** Records asked for in one poll, at most. */
export const POLL_RECORDS_MAX = 2_000
/** … and at first: code that is cold, or a function that is slow, is not to stand between a barrier and its source. */
export const POLL_RECORDS_MIN = 100

/**
 * How many records a source asks for: as many as are handed on in about a turn. Barriers are injected between two
 * polls, so this is what bounds their wait where a record takes long; a slow start, as of TCP's window.
 */
export class PollSize {
  readonly #turnMs: number
  #records = POLL_RECORDS_MIN

  constructor(turnMs: number) {
    this.#turnMs = turnMs
  }

  get records(): number {
    return this.#records
  }

  /** @param tookMs from what was polled to what was handed on */
  handedOn(polled: number, tookMs: number): void {
    if (tookMs > 2 * this.#turnMs) this.#records = Math.max(POLL_RECORDS_MIN, this.#records >> 1)
    else if (polled >= this.#records && tookMs < this.#turnMs / 2)
      this.#records = Math.min(POLL_RECORDS_MAX, this.#records * 2)
  }
}
