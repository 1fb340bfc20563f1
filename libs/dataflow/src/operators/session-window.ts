/**
 * Session windows: the records of a key of which each is less than `gap` from another one. A session begins with its first
 * record and ends `gap` behind its last; one record may join two sessions, and their accumulators are merged.
 *
 *     gap 10     t = 0, 5   [0 ────── 15)
 *                t = 21               [21 ──── 31)
 *                t = 13     [0 ──────────────── 31)      13 < 15 and 13 + 10 > 21
 *
 * A session fires when the watermark reaches its end. A record is late when the session it is in, with all it joins, is gone
 * already; while it would reach one that is not, it belongs there. With allowed lateness fired sessions are kept, marked.
 *
 * Rows: `window.sessions` → the sessions of a key, by their start, in memory; `window[]` → an accumulator each, under the
 * session's id, which is its start when it began and does not change when it grows.
 */
import { WATERMARK_MIN } from '@weir/model'
import type { Key, OperatorUid, RecordBatch, Watermark } from '@weir/model'
import { entryKey, entryPrefix, ownerOfEntry, restOfEntry } from '../entry-key.ts'
import { PartedFiring } from '../firing.ts'
import type { WindowNode } from '../graph.ts'
import { keysOf } from '../operator.ts'
import type { Collector, Operator, OperatorContext, ProcessingTimers } from '../operator.ts'
import type { KeyedState, Refuse } from '../ports.ts'
import { TimeHeap } from '../time-heap.ts'
import {
  deepFreeze,
  isThenable,
  isTimestamp,
  operatorFailed,
  refuseNone,
  returnedPromise,
  timestampInvalid,
} from '../user-code.ts'
import { firesEarly, type SessionSpec, type Trigger } from '../window.ts'
import { LateRecords } from './late-records.ts'
import { ProcessingTrigger } from './processing-trigger.ts'
import { WindowResults } from './window-results.ts'

export const SESSIONS_STATE = 'window.sessions'
export const SESSION_ACCUMULATORS_STATE = 'window[]'
/** Records since the trigger fired last, by session. */
export const SESSION_COUNTS_STATE = 'window.count[]'
/** The namespace of the sessions: these are kept in memory and can be walked through. */
const ROWS = 1

/** As stored: [start, end, id, fired]. */
type Session = readonly [start: number, end: number, id: number, fired: 0 | 1]
type Sessions = readonly Session[]

export interface SessionWindowOptions extends Pick<WindowNode, 'uid' | 'aggregate' | 'allowedLatenessMs' | 'trigger'> {
  readonly window: SessionSpec
}

export class SessionWindow implements Operator {
  readonly #gapMs: number
  readonly #latenessMs: number
  /** Besides at the end. */
  readonly #every: Trigger['every'] | null
  readonly #aggregate: WindowNode['aggregate']
  #uid: OperatorUid
  #refuse: Refuse = refuseNone
  #freeze = false
  #sessions!: KeyedState<Sessions>
  #accumulators!: KeyedState<unknown>
  #counts: KeyedState<number> | null = null
  #clock: ProcessingTrigger | null = null
  processing?: ProcessingTimers
  #late!: LateRecords
  #results!: WindowResults
  #watermark: Watermark = WATERMARK_MIN
  /** Every session has a node at its end (of a fired one: when it goes) or before: one that has grown is put back. */
  #heap = new TimeHeap()
  /** Accumulator's row → time of its node; other nodes of the row are dead. */
  #due = new Map<string, number>()
  readonly firing = new PartedFiring()

  constructor({ uid, window, aggregate, allowedLatenessMs = 0, trigger }: SessionWindowOptions) {
    this.#uid = uid
    this.#gapMs = window.gapMs
    this.#latenessMs = allowedLatenessMs
    this.#every = trigger?.every ?? null
    this.#aggregate = { ...aggregate, initial: deepFreeze(aggregate.initial) }
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#freeze = context.freeze
    this.#watermark = context.watermark
    this.#sessions = context.state.keyed(context.uid, SESSIONS_STATE)
    this.#accumulators = context.state.keyed(context.uid, SESSION_ACCUMULATORS_STATE)
    const every = this.#every
    if (every?.by === 'count') this.#counts = context.state.keyed(context.uid, SESSION_COUNTS_STATE)
    if (every?.by === 'processing-time') {
      this.processing = this.#clock = new ProcessingTrigger(context, every.everyMs, (key, id, out) =>
        this.#fireByClock(key, Number(id), out),
      )
    }
    this.#late = new LateRecords(context)
    this.#results = new WindowResults({ uid: context.uid, aggregate: this.#aggregate }, context)
    this.#results.watermark = context.watermark
    for (const [key, sessions] of this.#sessions.entries(ROWS)) {
      for (const session of sessions) this.#due.set(rowOf(key, session), this.#dueOf(session))
    }
    this.#heap = new TimeHeap([...this.#due].map(([row, timeMs]) => ({ row, timeMs })))
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    const keys = keysOf(batch, this.#uid)
    const { values, timestamps } = batch
    const count = values.length
    for (let i = 0; i < count; i++) {
      try {
        for (; i < count; i++) {
          const timestamp = timestamps[i]!
          if (!isTimestamp(timestamp)) throw timestampInvalid(timestamp, this.#uid, i)
          if (!this.#add(keys[i]!, timestamp, batch, i, out)) this.#late.add(batch, i)
        }
      } catch (error) {
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
      }
    }
    this.#results.flush(out)
    this.#late.flush()
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    const before = this.#watermark
    if (timestamp <= before) return out.watermark(timestamp)
    this.#watermark = this.#results.watermark = timestamp
    const isEarly = firesEarly(this.#every, before, timestamp)
    if (!isEarly && !this.#isDue(timestamp)) return out.watermark(timestamp)
    this.firing.begin(this.#fire(timestamp, isEarly, out), timestamp, out)
  }

  onEnd(): void {
    this.#clock?.end()
  }

  /** False: it is late. Throws before anything is changed. */
  #add(key: Key, timestamp: number, batch: RecordBatch, index: number, out: Collector): boolean {
    const own = this.#sessions.get(key, ROWS) ?? NONE
    const joined = own.filter(([start, end]) => timestamp < end && timestamp + this.#gapMs > start)
    const first = joined[0]
    const start = first === undefined ? timestamp : Math.min(first[0], timestamp)
    const end = Math.max(joined.at(-1)?.[1] ?? 0, timestamp + this.#gapMs)
    if (end + this.#latenessMs <= this.#watermark) return false
    const prefix = entryPrefix(key)
    const next = this.#aggregate.add(this.#accumulatorOf(prefix, joined), batch.values[index])
    if (isThenable(next)) throw returnedPromise(this.#uid, batch, index)
    if (next === undefined) throw new TypeError('the aggregate returned undefined; return the new accumulator')
    if (this.#freeze) deepFreeze(next)

    const isFired = end <= this.#watermark
    const session: Session = [start, end, first?.[2] ?? timestamp, isFired ? 1 : 0]
    const row = entryKey(prefix, session[2])
    const count = this.#counts === null ? 0 : this.#countOf(prefix, joined)
    this.#accumulators.put(row, next)
    for (const [, , id] of joined.slice(1)) this.#remove(entryKey(prefix, id))
    if (first === undefined || joined.length > 1 || !isSame(first, session)) {
      const others = own.filter((one) => !joined.includes(one))
      this.#sessions.put(key, [...others, session].sort(byStart), ROWS)
    }
    const due = this.#dueOf(session)
    if (due < (this.#due.get(row) ?? Number.POSITIVE_INFINITY)) this.#schedule(row, due)
    if (isFired) this.#results.add(key, start, end, next, out)
    else this.#recordInOpen(key, session, row, count + 1, out)
    return true
  }

  /** Those that are merged have come together. */
  #countOf(prefix: string, joined: Sessions): number {
    return joined.reduce((sum, [, , id]) => sum + (this.#counts!.get(entryKey(prefix, id)) ?? 0), 0)
  }

  #recordInOpen(key: Key, [start, end, id]: Session, row: string, count: number, out: Collector): void {
    this.#clock?.set(key, String(id))
    const every = this.#every
    if (every?.by !== 'count') return
    if (count < every.count) return this.#counts!.put(row, count)
    this.#results.add(key, start, end, this.#accumulators.get(row), out)
    this.#forgetCount(row)
  }

  #forgetCount(row: string): void {
    if (this.#counts?.get(row) !== undefined) this.#counts.delete(row)
  }

  /** One that has been merged into another one is no more: that has a timer of its own. */
  #fireByClock(key: Key, id: number, out: Collector): void {
    const session = this.#sessions.get(key, ROWS)?.find((one) => one[2] === id)
    if (session === undefined || session[3] === 1) return
    const [start, end] = session
    this.#results.add(key, start, end, this.#accumulators.get(rowOf(key, session)), out)
    this.#results.flush(out)
  }

  #accumulatorOf(prefix: string, joined: Sessions): unknown {
    const [first, ...others] = joined
    if (first === undefined) return this.#aggregate.initial
    let all = this.#accumulators.get(entryKey(prefix, first[2]))
    for (const [, , id] of others) {
      all = this.#aggregate.merge!(all, this.#accumulators.get(entryKey(prefix, id)))
      if (isThenable(all) || all === undefined)
        throw new TypeError('merge returned no accumulator; return that of both')
    }
    return all
  }

  #isDue(timestamp: Watermark): boolean {
    const { first } = this.#heap
    return first !== undefined && first.timeMs <= timestamp
  }

  *#fire(timestamp: Watermark, isEarly: boolean, out: Collector): Generator<void> {
    while (this.#isDue(timestamp)) if (this.#atDue(out)) yield
    if (isEarly) yield* this.#fireOpen(out)
    this.#results.flush(out)
  }

  /** The first node of the heap: fires, goes, or is put back. Answers whether a part has left. */
  #atDue(out: Collector): boolean {
    const { timeMs, row } = this.#heap.pop()
    if (this.#due.get(row) !== timeMs) return false
    const key = ownerOfEntry(row)
    const own = this.#sessions.get(key, ROWS)!
    const session = own.find(([, , id]) => id === restOfEntry(row))!
    const due = this.#dueOf(session)
    if (due > timeMs) {
      this.#schedule(row, due)
      return false
    }
    const [start, end, id, fired] = session
    const hasLeft = fired === 0 && this.#results.add(key, start, end, this.#accumulators.get(row), out)
    this.#forgetCount(row)
    const others = own.filter((one) => one !== session)
    if (end + this.#latenessMs > this.#watermark) {
      const kept: Session = [start, end, id, 1]
      this.#sessions.put(key, [...others, kept].sort(byStart), ROWS)
      this.#schedule(row, this.#dueOf(kept))
      return hasLeft
    }
    this.#remove(row)
    if (others.length === 0) this.#sessions.delete(key, ROWS)
    else this.#sessions.put(key, others, ROWS)
    return hasLeft
  }

  *#fireOpen(out: Collector): Generator<void> {
    for (const [key, sessions] of this.#sessions.entries(ROWS)) {
      for (const session of sessions) {
        const [start, end, , fired] = session
        if (fired === 1) continue
        if (this.#results.add(key, start, end, this.#accumulators.get(rowOf(key, session)), out)) yield
      }
    }
  }

  #dueOf([, end, , fired]: Session): number {
    return fired === 1 ? end + this.#latenessMs : end
  }

  #schedule(row: string, timeMs: number): void {
    this.#due.set(row, timeMs)
    this.#heap.push({ timeMs, row })
  }

  #remove(row: string): void {
    this.#due.delete(row)
    this.#accumulators.delete(row)
    this.#forgetCount(row)
  }
}

const NONE: Sessions = []
const rowOf = (key: Key, [, , id]: Session): string => entryKey(entryPrefix(key), id)
const byStart = (a: Session, b: Session): number => a[0] - b[0]
const isSame = (a: Session, b: Session): boolean => a.every((field, i) => field === b[i])
