/** A fixed upper bound of records per second for one source subtask: whole records, at most 100 ms worth saved up. */
export class Pace {
  readonly #perMs: number
  readonly #burst: number
  #tokens = 0
  #atMs: number

  constructor(recordsPerSecond: number, nowMs: number) {
    this.#perMs = recordsPerSecond / 1_000
    this.#burst = Math.max(1, this.#perMs * 100)
    this.#atMs = nowMs
  }

  /** @returns how many records may be read now, ≤ max; they are taken. */
  take(nowMs: number, max: number): number {
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#atMs) * this.#perMs)
    this.#atMs = nowMs
    const granted = Math.min(max, Math.floor(this.#tokens))
    this.#tokens -= granted
    return granted
  }

  giveBack(records: number): void {
    this.#tokens += records
  }

  /** Until the next whole record, or a tenth of the burst if that is later: not one wake-up per record. */
  waitMs(nowMs: number): number {
    const wanted = Math.max(1, this.#burst / 10)
    return Math.max(1, (wanted - this.#tokens) / this.#perMs - (nowMs - this.#atMs))
  }
}
