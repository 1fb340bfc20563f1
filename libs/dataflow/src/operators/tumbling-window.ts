/**
 * Event-time tumbling windows with an incremental aggregate: one accumulator per key and window, no records are kept.
 *
 * A window [start, end) fires when the watermark reaches `end`: a watermark w says that every event with a time
 * *smaller* than w has been seen, so at w = end − 1 an event at end − 1 may still come. Firing emits one
 * `{ start, end, value }` per key with event time `end − 1`, windows in time order, keys in the state's order
 * (their first record's, until a restore), and then forgets the window. A record whose window has fired is late:
 * counted, and out of the flow but for the side output `late`.
 *
 * The window's end is the state's namespace: it is never 0, which means "no namespace" (the first window of 1970
 * starts at 0).
 */
import { WATERMARK_MIN } from '@weir/model'
import type { OperatorUid, RecordBatch, Watermark } from '@weir/model'
import { PartedFiring } from '../firing.ts'
import type { WindowNode } from '../graph.ts'
import { keysOf } from '../operator.ts'
import type { Collector, Operator, OperatorContext } from '../operator.ts'
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
import type { TumblingSpec } from '../window.ts'
import { LateRecords } from './late-records.ts'
import { WindowResults } from './window-results.ts'

export const WINDOW_STATE = 'window'
export class TumblingWindow implements Operator {
  readonly #sizeMs: number
  /** Makes the first window of 1970 begin at 0 or before. */
  readonly #shiftMs: number
  readonly #aggregate: WindowNode['aggregate']
  #uid: OperatorUid
  #refuse: Refuse = refuseNone
  #state!: KeyedState<unknown>
  #late!: LateRecords
  #results!: WindowResults
  #freeze = false
  #watermark: Watermark = WATERMARK_MIN
  /** No window in state ends before this: most watermarks fire nothing and need no look at the state. */
  #earliestEnd: number = WATERMARK_MIN
  readonly firing = new PartedFiring()

  constructor(options: Pick<WindowNode, 'uid' | 'aggregate'> & { readonly window: TumblingSpec }) {
    this.#uid = options.uid
    this.#sizeMs = options.window.sizeMs
    const { sizeMs, offsetMs = 0 } = options.window
    this.#shiftMs = offsetMs === 0 ? 0 : sizeMs - offsetMs
    this.#aggregate = { ...options.aggregate, initial: deepFreeze(options.aggregate.initial) }
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#state = context.state.keyed(context.uid, WINDOW_STATE)
    this.#late = new LateRecords(context)
    this.#results = new WindowResults({ uid: context.uid, aggregate: this.#aggregate }, context)
    this.#freeze = context.freeze
    this.#watermark = this.#results.watermark = context.watermark
  }

  onBatch(batch: RecordBatch): void {
    const keys = keysOf(batch, this.#uid)
    const { values, timestamps } = batch
    const size = this.#sizeMs
    const shift = this.#shiftMs
    const state = this.#state
    const { initial, add } = this.#aggregate
    const count = values.length
    for (let i = 0; i < count; i++) {
      try {
        for (; i < count; i++) {
          const timestamp = timestamps[i]!
          if (!isTimestamp(timestamp)) throw timestampInvalid(timestamp, this.#uid, i)
          const end = timestamp - ((timestamp + shift) % size) + size
          if (end <= this.#watermark) {
            this.#late.add(batch, i)
            continue
          }
          const key = keys[i]!
          const accumulator = state.get(key, end)
          const next = add(accumulator === undefined ? initial : accumulator, values[i])
          if (isThenable(next)) throw returnedPromise(this.#uid, batch, i)
          if (next === undefined) throw new TypeError('the aggregate returned undefined; return the new accumulator')
          if (this.#freeze) deepFreeze(next)
          state.put(key, next, end)
          if (end < this.#earliestEnd) this.#earliestEnd = end
        }
      } catch (error) {
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
      }
    }
    this.#late.flush()
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    if (timestamp > this.#watermark) this.#watermark = this.#results.watermark = timestamp
    if (timestamp >= this.#earliestEnd) this.firing.begin(this.#fire(timestamp, out), timestamp, out)
    else out.watermark(timestamp)
  }

  onEnd(): void {}

  *#fire(timestamp: Watermark, out: Collector): Generator<void> {
    const state = this.#state
    let next = Number.POSITIVE_INFINITY
    for (const end of state.namespaces()) {
      if (end > timestamp) {
        next = end
        break
      }
      const start = end - this.#sizeMs
      for (const [key, accumulator] of state.entries(end)) {
        if (this.#results.add(key, start, end, accumulator, out)) yield
      }
      this.#results.flush(out)
      state.clear(end)
    }
    this.#earliestEnd = next
  }
}
