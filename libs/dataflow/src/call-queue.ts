/**
 * Records on their way through calls that take time, and the watermarks between them. Pure: who calls, and when a call comes
 * back, is told.
 *
 *     ordered      ─ a b │ c d ─▶  a b │ c d      as they came in
 *     unordered    ─ a b │ c d ─▶  b a │ d c      as they came back, but never across a watermark │
 *
 * A watermark waits behind every record in front of it: none of them becomes late by its own call. Records are cut into
 * segments that go one after the other: one ends at a watermark, and where order counts at every record.
 */
import type { Watermark } from '@weir/model'

export type CallMode = 'ordered' | 'unordered'

interface Segment<T> {
  /** Came back, in order. */
  readonly back: Slot<T>[]
  /** Not taken yet. */
  open: number
  /** More records may come into it. */
  isOpen: boolean
  /** Behind its last record. */
  watermark: Watermark | null
}

export interface Slot<T> {
  readonly input: T
  /** Of the call; null: it has not come back. */
  outcome: CallOutcome | null
  readonly segment: Segment<T>
}

export type CallOutcome = { readonly value: unknown } | { readonly error: unknown }

/** What goes on next. */
export type Taken<T> =
  { readonly kind: 'record'; readonly slot: Slot<T> } | { readonly kind: 'watermark'; readonly timestamp: Watermark }

export class CallQueue<T> {
  readonly #mode: CallMode
  readonly #capacity: number
  readonly #segments: Segment<T>[] = []
  /** Came in and were not called, in order. */
  #waiting: Slot<T>[] = []
  #waitingHead = 0
  /** Called and not taken. */
  #called = 0

  /** @param capacity called and not taken at once: also what has come back and waits for its turn counts. */
  constructor(mode: CallMode, capacity: number) {
    this.#mode = mode
    this.#capacity = capacity
  }

  /** Came in and not called: the queue takes no more than what is on its way to it already. */
  get waiting(): number {
    return this.#waiting.length - this.#waitingHead
  }

  /** Records and watermarks that are in it. */
  get isEmpty(): boolean {
    return this.#segments.length === 0
  }

  push(input: T): void {
    let segment = this.#segments.at(-1)
    if (segment === undefined || !segment.isOpen) {
      segment = { back: [], open: 0, isOpen: this.#mode === 'unordered', watermark: null }
      this.#segments.push(segment)
    }
    segment.open++
    this.#waiting.push({ input, outcome: null, segment })
  }

  /** Behind everything that is in it; with nothing in it there is nothing to wait for, and the caller passes it on. */
  watermark(timestamp: Watermark): void {
    const last = this.#segments.at(-1)!
    last.isOpen = false
    last.watermark = timestamp
  }

  /** The next to be called; undefined: there is none, or no room. */
  next(): Slot<T> | undefined {
    if (this.#called >= this.#capacity || this.waiting === 0) return undefined
    const slot = this.#waiting[this.#waitingHead++]!
    if (this.waiting === 0) {
      this.#waiting = []
      this.#waitingHead = 0
    }
    this.#called++
    return slot
  }

  back(slot: Slot<T>, outcome: CallOutcome): void {
    slot.outcome = outcome
    slot.segment.back.push(slot)
  }

  /** Something can be taken. */
  get isReady(): boolean {
    const first = this.#segments[0]
    return first !== undefined && first.back.length > 0
  }

  /** What goes on now; undefined: it is not there yet. */
  take(): Taken<T> | undefined {
    const first = this.#segments[0]
    if (first === undefined) return undefined
    const slot = first.back.shift()
    if (slot !== undefined) {
      first.open--
      this.#called--
      if (first.open === 0 && first.watermark === null) this.#segments.shift()
      return { kind: 'record', slot }
    }
    if (first.open > 0) return undefined
    this.#segments.shift()
    return { kind: 'watermark', timestamp: first.watermark! }
  }
}
