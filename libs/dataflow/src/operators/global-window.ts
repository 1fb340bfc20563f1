/**
 * The global window: all records of a key, for ever or until a trigger purges them. It fires by its trigger alone; a result
 * reaches from the lowest event time of its records to behind the highest. What no trigger has put out when bounded input ends
 * is not put out.
 *
 * Rows: `window` → the accumulator of a key, `window.seen` → what is known of its records, `window.due` → keys by the event time
 * at which they fire next.
 */
import { WATERMARK_MIN } from '@weir/model'
import type { Key, OperatorUid, RecordBatch, Watermark } from '@weir/model'
import { PartedFiring } from '../firing.ts'
import type { WindowNode } from '../graph.ts'
import { keysOf } from '../operator.ts'
import type { Collector, Operator, OperatorContext, ProcessingTimers } from '../operator.ts'
import type { KeyedState, Refuse } from '../ports.ts'
import {
  deepFreeze,
  isThenable,
  isTimestamp,
  operatorFailed,
  refuseNone,
  returnedPromise,
  timestampInvalid,
} from '../user-code.ts'
import type { GlobalSpec, Trigger } from '../window.ts'
import { ProcessingTrigger } from './processing-trigger.ts'
import { WINDOW_STATE } from './tumbling-window.ts'
import { WindowResults } from './window-results.ts'

export const WINDOW_SEEN_STATE = 'window.seen'
export const WINDOW_DUE_STATE = 'window.due'

/** As stored: records since the trigger fired last, lowest and highest event time of all, when it fires next (0: nothing came). */
type Seen = readonly [count: number, lowest: number, highest: number, dueMs: number]

export interface GlobalWindowOptions extends Pick<WindowNode, 'uid' | 'aggregate' | 'trigger'> {
  readonly window: GlobalSpec
}

export class GlobalWindow implements Operator {
  readonly #trigger: Trigger
  readonly #aggregate: WindowNode['aggregate']
  #uid: OperatorUid
  #refuse: Refuse = refuseNone
  #freeze = false
  #state!: KeyedState<unknown>
  #seen!: KeyedState<Seen>
  #due: KeyedState<1> | null = null
  /** No key fires before this. */
  #nextDueMs: number = WATERMARK_MIN
  #results!: WindowResults
  #watermark: Watermark = WATERMARK_MIN
  #clock: ProcessingTrigger | null = null
  readonly firing = new PartedFiring()
  processing?: ProcessingTimers

  constructor({ uid, aggregate, trigger }: GlobalWindowOptions) {
    this.#uid = uid
    this.#trigger = trigger! // a plan has none without
    this.#aggregate = { ...aggregate, initial: deepFreeze(aggregate.initial) }
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#freeze = context.freeze
    this.#watermark = context.watermark
    this.#state = context.state.keyed(context.uid, WINDOW_STATE)
    this.#seen = context.state.keyed(context.uid, WINDOW_SEEN_STATE)
    this.#results = new WindowResults({ uid: context.uid, aggregate: this.#aggregate }, context)
    this.#results.watermark = context.watermark
    const { every } = this.#trigger
    if (every.by === 'event-time') this.#due = context.state.keyed(context.uid, WINDOW_DUE_STATE)
    if (every.by === 'processing-time') {
      this.processing = this.#clock = new ProcessingTrigger(context, every.everyMs, (key, _name, out) => {
        this.#fire(key, out)
        this.#results.flush(out)
      })
    }
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    const keys = keysOf(batch, this.#uid)
    const { values, timestamps } = batch
    const { initial, add } = this.#aggregate
    const count = values.length
    for (let i = 0; i < count; i++) {
      try {
        for (; i < count; i++) {
          const timestamp = timestamps[i]!
          if (!isTimestamp(timestamp)) throw timestampInvalid(timestamp, this.#uid, i)
          const key = keys[i]!
          const before = this.#state.get(key)
          const next = add(before === undefined ? initial : before, values[i])
          if (isThenable(next)) throw returnedPromise(this.#uid, batch, i)
          if (next === undefined) throw new TypeError('the aggregate returned undefined; return the new accumulator')
          if (this.#freeze) deepFreeze(next)
          this.#state.put(key, next)
          this.#recordSeen(key, timestamp, out)
        }
      } catch (error) {
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
      }
    }
    this.#results.flush(out)
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    if (timestamp > this.#watermark) this.#watermark = this.#results.watermark = timestamp
    if (this.#due === null || timestamp < this.#nextDueMs) return out.watermark(timestamp)
    this.firing.begin(this.#fireDue(this.#due, timestamp, out), timestamp, out)
  }

  onEnd(): void {
    this.#clock?.end()
  }

  #recordSeen(key: Key, timestamp: number, out: Collector): void {
    const { every } = this.#trigger
    const [count, lowest, highest, due] = this.#seen.get(key) ?? [0, timestamp, timestamp, 0]
    const dueMs = this.#due !== null && due === 0 ? this.#expect(this.#due, key, timestamp) : due
    this.#seen.put(key, [count + 1, Math.min(lowest, timestamp), Math.max(highest, timestamp), dueMs])
    this.#clock?.set(key, '')
    if (every.by === 'count' && count + 1 >= every.count) this.#fire(key, out)
  }

  /** The first multiple behind the record, and behind the watermark. */
  #expect(due: KeyedState<1>, key: Key, timestamp: number): number {
    const { everyMs } = this.#trigger.every as { everyMs: number }
    const at = (Math.floor(Math.max(timestamp, this.#watermark) / everyMs) + 1) * everyMs
    due.put(key, 1, at)
    if (at < this.#nextDueMs) this.#nextDueMs = at
    return at
  }

  *#fireDue(due: KeyedState<1>, until: Watermark, out: Collector): Generator<void> {
    this.#nextDueMs = Number.POSITIVE_INFINITY
    for (const at of due.namespaces()) {
      if (at > until) {
        this.#nextDueMs = at
        break
      }
      for (const [key] of due.entries(at)) if (this.#fire(key, out)) yield
      due.clear(at)
    }
    this.#results.flush(out)
  }

  /** Answers whether a part has left. */
  #fire(key: Key, out: Collector): boolean {
    const seen = this.#seen.get(key)
    if (seen === undefined || seen[0] === 0) return false // nothing came since it fired last
    const [, lowest, highest] = seen
    const hasLeft = this.#results.add(key, lowest, highest + 1, this.#state.get(key), out)
    if (this.#trigger.purges) {
      this.#state.delete(key)
      this.#seen.delete(key)
    } else this.#seen.put(key, [0, lowest, highest, 0])
    return hasLeft
  }
}
