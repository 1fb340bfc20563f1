/**
 * Windows of time whose records are kept after the first firing: sliding ones, and those with lateness or a trigger. One
 * accumulator per key and *pane*, whose end is the state's namespace; a pane is as wide as the greatest common divisor of size
 * and slide, so every record is in one pane and every window is whole panes.
 *
 *     size 30, slide 10:    pane  |--10--|--20--|--30--|--40--|
 *                         window  |------ ends 30 -----|             = merge(10, 20, 30)
 *                         window         |------ ends 40 -----|      = merge(20, 30, 40)
 *
 * A pane goes when the last window it is in is gone: its end and the allowed lateness are behind the watermark. Keys fire in
 * the order of the state, panes in that of time. `window.ts` says what a result means.
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
import { firesEarly, gcd, keepsFired, type SlidingSpec, type Trigger, type TumblingSpec } from '../window.ts'
import { FiredTime } from './fired-time.ts'
import { LateRecords } from './late-records.ts'
import { ProcessingTrigger } from './processing-trigger.ts'
import { WINDOW_STATE } from './tumbling-window.ts'
import { WindowElements } from './window-elements.ts'
import { WindowResults } from './window-results.ts'

/** Records since the trigger fired last, by key and window. */
export const WINDOW_COUNT_STATE = 'window.count'

export interface PaneWindowOptions extends Pick<
  WindowNode,
  'uid' | 'aggregate' | 'allowedLatenessMs' | 'trigger' | 'process'
> {
  readonly window: TumblingSpec | SlidingSpec
}

export class PaneWindow implements Operator {
  readonly #sizeMs: number
  readonly #slideMs: number
  readonly #offsetMs: number
  readonly #paneMs: number
  readonly #latenessMs: number
  readonly #keepsFired: boolean
  readonly #trigger: Trigger | null
  readonly #aggregate: WindowNode['aggregate']
  readonly #process: WindowNode['process']
  #uid: OperatorUid
  #refuse: Refuse = refuseNone
  #freeze = false
  #state!: KeyedState<unknown>
  #counts: KeyedState<number> | null = null
  /** Null: accumulators are all there is. */
  #elements: WindowElements | null = null
  #fired: FiredTime | null = null
  #late!: LateRecords
  #results!: WindowResults
  #watermark: Watermark = WATERMARK_MIN
  /** No window fires and no pane goes before this: most watermarks need no look at the state. */
  #due: number = WATERMARK_MIN
  #clock: ProcessingTrigger | null = null
  readonly firing = new PartedFiring()
  processing?: ProcessingTimers

  constructor({ uid, window, aggregate, allowedLatenessMs = 0, trigger, process }: PaneWindowOptions) {
    this.#uid = uid
    this.#sizeMs = window.sizeMs
    this.#slideMs = window.type === 'sliding' ? window.slideMs : window.sizeMs
    this.#offsetMs = window.offsetMs ?? 0
    this.#paneMs = gcd(this.#sizeMs, this.#slideMs)
    this.#latenessMs = allowedLatenessMs
    this.#keepsFired = keepsFired({ window, allowedLatenessMs })
    this.#trigger = trigger ?? null
    this.#aggregate = { ...aggregate, initial: deepFreeze(aggregate.initial) }
    this.#process = process
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#freeze = context.freeze
    this.#watermark = context.watermark
    this.#state = context.state.keyed(context.uid, WINDOW_STATE)
    this.#late = new LateRecords(context)
    const functions = { uid: context.uid, aggregate: this.#aggregate, ...(this.#process && { process: this.#process }) }
    this.#results = new WindowResults(functions, context)
    this.#results.watermark = context.watermark
    if (this.#process) this.#elements = new WindowElements(context.uid, context.state)
    if (this.#keepsFired) this.#fired = new FiredTime(context)
    const every = this.#trigger?.every
    if (every?.by === 'count') this.#counts = context.state.keyed(context.uid, WINDOW_COUNT_STATE)
    if (every?.by === 'processing-time') {
      this.processing = this.#clock = new ProcessingTrigger(context, every.everyMs, (key, pane, out) =>
        this.#fireByClock(key, Number(pane), out),
      )
    }
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    const keys = keysOf(batch, this.#uid)
    const { values, timestamps } = batch
    const { initial, add } = this.#aggregate
    const state = this.#state
    const fired = this.#fired?.isAhead ? this.#fired : null
    const count = values.length
    for (let i = 0; i < count; i++) {
      try {
        for (; i < count; i++) {
          const timestamp = timestamps[i]!
          if (!isTimestamp(timestamp)) throw timestampInvalid(timestamp, this.#uid, i)
          const key = keys[i]!
          const reached = fired === null ? this.#watermark : Math.max(this.#watermark, fired.of(key))
          const pane = this.#paneOf(timestamp)
          const last = this.#lastEnd(pane)
          if (last + this.#latenessMs <= reached) {
            this.#late.add(batch, i)
            continue
          }
          const before = state.get(key, pane)
          const next = add(before === undefined ? initial : before, values[i])
          if (isThenable(next)) throw returnedPromise(this.#uid, batch, i)
          if (next === undefined) throw new TypeError('the aggregate returned undefined; return the new accumulator')
          if (this.#freeze) deepFreeze(next)
          this.#elements?.add(key, pane, (next as number) - 1, this.#freeze ? deepFreeze(values[i]) : values[i])
          state.put(key, next, pane)
          if (before === undefined) this.#expect(pane, last, reached)
          if (this.#latenessMs > 0 && this.#firstEnd(pane) <= reached) this.#fireLate(key, pane, reached, out)
          if (this.#trigger !== null) this.#recordInOpen(key, pane, reached, out)
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
    const isEarly = firesEarly(this.#trigger?.every, before, timestamp)
    if (!isEarly && timestamp < this.#due) return out.watermark(timestamp)
    this.firing.begin(this.#fireUpTo(before, timestamp, isEarly, out), timestamp, out)
  }

  onEnd(): void {
    this.#clock?.end()
  }

  // ---- which windows ------------------------------------------------------------------------------------------------

  /** End of the pane. */
  #paneOf(timestamp: number): number {
    const past = (timestamp - this.#offsetMs) % this.#paneMs
    return timestamp - past + (past < 0 ? 0 : this.#paneMs)
  }

  /** Of the first window the pane is in. */
  #firstEnd(pane: number): number {
    return this.#endFrom(pane)
  }

  /** Of the last one. */
  #lastEnd(pane: number): number {
    const begin = pane - this.#paneMs
    const past = (begin - this.#offsetMs) % this.#slideMs
    return begin - past - (past < 0 ? this.#slideMs : 0) + this.#sizeMs
  }

  /** Of the first window that ends then or later. */
  #endFrom(time: number): number {
    const past = (time - this.#offsetMs - this.#sizeMs) % this.#slideMs
    return past === 0 ? time : time - past + (past < 0 ? 0 : this.#slideMs)
  }

  /** A pane has its first record. */
  #expect(pane: number, last: number, reached: Watermark): void {
    const first = this.#firstEnd(pane)
    if (first <= reached) this.#fired?.advance(this.#watermark) // too late for windows that had nothing to fire
    const next = first > reached ? first : this.#endFrom(reached + 1)
    const due = next <= last ? next : last + this.#latenessMs
    if (due < this.#due) this.#due = due
  }

  // ---- firing -------------------------------------------------------------------------------------------------------

  *#fireUpTo(before: Watermark, to: Watermark, isEarly: boolean, out: Collector): Generator<void> {
    if (to >= this.#due) yield* this.#advance(before, to, out)
    if (isEarly) yield* this.#fireOpen(to, out)
    this.#results.flush(out)
  }

  *#advance(before: Watermark, to: Watermark, out: Collector): Generator<void> {
    const panes = this.#state.namespaces()
    let any = false
    let next = Number.POSITIVE_INFINITY
    for (const [end, from] of this.#windowsBehind(panes, before)) {
      if (end > to) {
        next = end
        break
      }
      any = true
      yield* this.#fire(end, panes, from, out)
    }
    if (any) this.#fired?.advance(to)
    let gone = 0
    for (; gone < panes.length && this.#lastEnd(panes[gone]!) + this.#latenessMs <= to; gone++)
      this.#forget(panes[gone]!)
    const oldest = panes[gone]
    this.#due =
      oldest === undefined ? Number.POSITIVE_INFINITY : Math.min(next, this.#lastEnd(oldest) + this.#latenessMs)
  }

  /** Ends of windows with records that end behind `after`, in order, each with the index of its first pane that is there. */
  *#windowsBehind(panes: readonly number[], after: Watermark): Generator<readonly [end: number, firstPane: number]> {
    let end = after
    for (let i = 0; i < panes.length;) {
      const pane = panes[i]!
      if (this.#lastEnd(pane) <= end) {
        i++
        continue
      }
      const first = this.#firstEnd(pane)
      end = first > end ? first : this.#endFrom(end + 1)
      yield [end, i]
    }
  }

  *#fire(end: number, panes: readonly number[], from: number, out: Collector): Generator<void> {
    const start = end - this.#sizeMs
    const fired = this.#fired?.isAhead ? this.#fired : null
    for (const [key, accumulator] of this.#contentOf(end, panes, from)) {
      if (fired !== null && end <= fired.of(key)) continue
      if (this.#results.add(key, start, end, accumulator, out)) yield
    }
    if (this.#trigger?.purges) this.#forget(end)
    else this.#counts?.clear(end)
  }

  #contentOf(end: number, panes: readonly number[], from: number): Iterable<readonly [Key, unknown]> {
    if (this.#paneMs === this.#sizeMs && this.#elements === null) return this.#state.entries(end)
    const content = new Map<Key, unknown>()
    for (let i = from; i < panes.length && panes[i]! <= end; i++) {
      for (const [key, accumulator] of this.#state.entries(panes[i]!)) {
        const part = this.#partOf(key, panes[i]!, accumulator)
        content.set(key, this.#results.merged(key, end, content.get(key), part))
      }
    }
    return content
  }

  /** What a pane adds to its windows: a new list of its records, or the accumulator. */
  #partOf(key: Key, pane: number, accumulator: unknown): unknown {
    return this.#elements === null ? accumulator : this.#elements.of(key, pane, accumulator as number)
  }

  /** A record of windows that have fired fires those again that are not gone. */
  #fireLate(key: Key, pane: number, reached: Watermark, out: Collector): void {
    const last = Math.min(this.#lastEnd(pane), reached)
    const kept = this.#endFrom(Math.max(this.#firstEnd(pane), reached - this.#latenessMs + 1))
    for (let end = kept; end <= last; end += this.#slideMs)
      this.#results.add(key, end - this.#sizeMs, end, this.#contentOfKey(key, end), out)
    if (this.#trigger?.purges) this.#purge(key, pane)
  }

  /** Every window that is open, by event time. */
  *#fireOpen(reached: Watermark, out: Collector): Generator<void> {
    const panes = this.#state.namespaces()
    for (const [end, from] of this.#windowsBehind(panes, reached)) yield* this.#fire(end, panes, from, out)
  }

  /** By a trigger that counts, or goes by the clock: each window of the record that is open. */
  #recordInOpen(key: Key, pane: number, reached: Watermark, out: Collector): void {
    const { every } = this.#trigger!
    if (every.by === 'event-time') return
    const [first, last] = [this.#firstEnd(pane), this.#lastEnd(pane)]
    for (let end = first > reached ? first : this.#endFrom(reached + 1); end <= last; end += this.#slideMs) {
      if (every.by === 'count') this.#countIn(key, end, every.count, out)
      else this.#clock!.set(key, String(end))
    }
  }

  #countIn(key: Key, end: number, until: number, out: Collector): void {
    const count = (this.#counts!.get(key, end) ?? 0) + 1
    if (count < until) return this.#counts!.put(key, count, end)
    this.#fireOne(key, end, out)
    if (count > 1) this.#counts!.delete(key, end)
  }

  #fireByClock(key: Key, end: number, out: Collector): void {
    const reached = this.#fired === null ? this.#watermark : Math.max(this.#watermark, this.#fired.of(key))
    if (end <= reached) return // its end came first
    this.#fireOne(key, end, out)
    this.#results.flush(out)
  }

  /** Nothing: a purge has come before. */
  #fireOne(key: Key, end: number, out: Collector): void {
    const content = this.#contentOfKey(key, end)
    if (content === undefined) return
    this.#results.add(key, end - this.#sizeMs, end, content, out)
    if (this.#trigger!.purges) this.#purge(key, end)
  }

  #contentOfKey(key: Key, end: number): unknown {
    let all: unknown
    for (let pane = end - this.#sizeMs + this.#paneMs; pane <= end; pane += this.#paneMs) {
      const accumulator = this.#state.get(key, pane)
      if (accumulator !== undefined) all = this.#results.merged(key, end, all, this.#partOf(key, pane, accumulator))
    }
    return all
  }

  #purge(key: Key, pane: number): void {
    this.#elements?.delete(key, pane, (this.#state.get(key, pane) as number | undefined) ?? 0)
    this.#state.delete(key, pane)
  }

  #forget(pane: number): void {
    this.#state.clear(pane)
    this.#counts?.clear(pane)
    this.#elements?.clear(pane)
  }
}
