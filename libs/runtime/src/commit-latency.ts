/**
 * How old records are when their output is committed. What is read is kept as counts by time of writing until the barrier (or
 * transaction) behind it is committed: one look at a map per batch, none at a clock.
 */
import { LATENCY_BOUNDS_MS, type LatencyCounts } from '@weir/dataflow'

const SLOT_MS = 10
/** More distinct times than that are kept more coarsely. */
const SLOTS_MAX = 1_000
/** Cuts that wait for their commit; later ones are told with the newest of these. */
const SEALED_MAX = 32

/** Records by when they were written. */
class Written {
  #slotMs = SLOT_MS
  #records = new Map<number, number>()

  get isEmpty(): boolean {
    return this.#records.size === 0
  }

  add(writtenMs: number, records: number): void {
    const slot = Math.floor(writtenMs / this.#slotMs)
    this.#records.set(slot, (this.#records.get(slot) ?? 0) + records)
    if (this.#records.size > SLOTS_MAX) this.#coarsen()
  }

  *entries(): IterableIterator<readonly [writtenMs: number, records: number]> {
    for (const [slot, records] of this.#records) yield [slot * this.#slotMs, records]
  }

  #coarsen(): void {
    const before = [...this.entries()]
    this.#slotMs *= 2
    this.#records = new Map()
    for (const [writtenMs, records] of before) this.add(writtenMs, records)
  }
}

export class CommitLatency {
  #open = new Written()
  #sealed: { at: number; readonly written: Written }[] = []
  #counts: number[] = none()
  #sumMs = 0
  #isTold = true

  /** @param writtenMs ms since 1970, of the first of them */
  read(writtenMs: number, records: number): void {
    if (writtenMs > 0 && records > 0) this.#open.add(writtenMs, records)
  }

  /** What was read so far belongs to `at`: an epoch, or the sequence of a transaction. They grow. */
  seal(at: number): void {
    if (this.#open.isEmpty) return
    const newest = this.#sealed.at(-1)
    if (newest !== undefined && this.#sealed.length >= SEALED_MAX) {
      for (const [writtenMs, records] of this.#open.entries()) newest.written.add(writtenMs, records)
      newest.at = at
    } else this.#sealed.push({ at, written: this.#open })
    this.#open = new Written()
  }

  /** Everything up to `at` is; also of epochs that were given up: what they had prepared travels on. */
  committed(at: number, nowMs: number): void {
    while (this.#sealed.length > 0 && this.#sealed[0]!.at <= at) {
      for (const [writtenMs, records] of this.#sealed.shift()!.written.entries())
        this.#observe(Math.max(0, nowMs - writtenMs), records)
    }
  }

  /** Since the last time. Undefined: nothing. */
  take(): LatencyCounts | undefined {
    if (this.#isTold) return undefined
    const taken = { sumMs: this.#sumMs, counts: this.#counts }
    this.#counts = none()
    this.#sumMs = 0
    this.#isTold = true
    return taken
  }

  #observe(ageMs: number, records: number): void {
    const bucket = LATENCY_BOUNDS_MS.findIndex((bound) => ageMs <= bound)
    this.#counts[bucket < 0 ? LATENCY_BOUNDS_MS.length : bucket]! += records
    this.#sumMs += ageMs * records
    this.#isTold = false
  }
}

const none = (): number[] => Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0)
