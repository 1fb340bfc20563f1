/** Windows as a job says them, and the streams they make. What they mean: `dataflow/src/window.ts`. */
import {
  countWindow as countWindowOf,
  everyEventTime as everyEventTimeMs,
  everyProcessingTime as everyProcessingTimeMs,
  highest,
  lowest,
  summing,
  windowCountOf,
  windowNodeOf,
  windowProcessOf,
  windowingOf,
  type FoldOptions,
  type GlobalWindowing,
  type Late,
  type MergingWindowAggregate,
  type None,
  type SessionSpec,
  type SlidingSpec,
  type Trigger,
  type TumblingSpec,
  type WholeSpec,
  type WindowAggregate,
  type WindowNode,
  type WindowProcess,
  type WindowProcessOptions,
  type WindowResult,
  type WindowSpec,
  type Windowing,
} from '@weir/dataflow'
import { durationMs, type Duration } from './duration.ts'
import type { SidedStream } from './job.ts'

export type Tumbling = TumblingSpec
export type Sliding = SlidingSpec
export type SessionGap = SessionSpec
export type GlobalWindow = GlobalWindowing

export interface WindowOptions {
  /** Windows begin this much behind the multiples of their size (sliding: of their slide): days of another time zone. */
  readonly offset?: Duration
}
const offsetOf = ({ offset }: WindowOptions): { offsetMs?: number } =>
  offset === undefined ? {} : { offsetMs: spanMs(offset) }

/** What floats make of `1.001s` is 1,001 ms; half a millisecond stays one, and is refused by the planner. */
export function spanMs(span: Duration): number {
  const ms = durationMs(span)
  const whole = Math.round(ms)
  return Math.abs(ms - whole) < 1e-6 ? whole : ms
}

/** One after the other: every record is in one. */
export const tumbling = (size: Duration, options: WindowOptions = {}): Tumbling => ({
  ...{ type: 'tumbling', sizeMs: spanMs(size) },
  ...offsetOf(options),
})
/** A window begins every `slide`, which is at most the size: every record is in size / slide of them, and kept once. */
export const sliding = (size: Duration, slide: Duration, options: WindowOptions = {}): Sliding => ({
  ...{ type: 'sliding', sizeMs: spanMs(size), slideMs: spanMs(slide) },
  ...offsetOf(options),
})
/** Records of a key less than `gap` apart; ends `gap` behind the last one. */
export const session = (gap: Duration): SessionGap => ({ type: 'session', gapMs: spanMs(gap) })
/** All records of a key; fires by its trigger alone. */
export const globalWindow = (trigger: Trigger): GlobalWindow => ({ window: { type: 'global' }, trigger })
/** Of one key: every `count` records. Fewer at the end of the input are not put out. */
export const countWindow = (count: number): GlobalWindow => countWindowOf(count)

/** Early, at every multiple of `span` of event time. */
export const everyEventTime = (span: Duration): Trigger => everyEventTimeMs(spanMs(span))
/** At the next multiple of `span` of the clock behind a record. Not deterministic: not in the commit scope `continuous`. */
export const everyProcessingTime = (span: Duration): Trigger => everyProcessingTimeMs(spanMs(span))

/** One result per key and window. `O`: its side outputs. */
export interface WindowFolds<T, O> {
  count(uid?: string): SidedStream<WindowResult<number>, O>
  sum(uid: string, of: (value: T) => number): SidedStream<WindowResult<number>, O>
  min(uid: string, of: (value: T) => number): SidedStream<WindowResult<number>, O>
  max(uid: string, of: (value: T) => number): SidedStream<WindowResult<number>, O>
}

export interface Windowed<T, O> extends WindowFolds<T, O> {
  /** `uid` names its state. Return new values, never change the old one. */
  reduce<A>(
    uid: string,
    initial: A,
    reduce: (accumulator: A, value: T) => A,
    options?: FoldOptions<NoInfer<A>>,
  ): SidedStream<WindowResult<A>, O>
  /**
   * `aggregate('mean', { initial: [0, 0], add: ([n, sum], x) => [n + 1, sum + x], result: ([n, sum]) => sum / n })`; `result` is told of
   * its window in a second parameter: key, bounds, how far event time has come.
   */
  aggregate<A, R = A>(uid: string, aggregate: WindowAggregate<T, A, R>): SidedStream<WindowResult<R>, O>
}

/** Of windows that are put together from parts: their folds need a `merge`. */
export interface MergingWindowed<T, O> extends WindowFolds<T, O> {
  /** `merge`: of the accumulators of earlier and of later records. */
  reduce<A>(
    uid: string,
    initial: A,
    reduce: (accumulator: A, value: T) => A,
    options: FoldOptions<NoInfer<A>> & { readonly merge: (earlier: NoInfer<A>, later: NoInfer<A>) => NoInfer<A> },
  ): SidedStream<WindowResult<A>, O>
  aggregate<A, R = A>(uid: string, aggregate: MergingWindowAggregate<T, A, R>): SidedStream<WindowResult<R>, O>
}

/** Of windows whose records can be handed over whole. */
export interface WholeWindowed<T, O> {
  /**
   * Your function over all records of the window, which are kept until the last window they are in is gone; what it puts out has the
   * window's key and the event time `end − 1`. Called at every firing. Where an aggregate says as much, it keeps less.
   *
   *     .process('median', (payments, { key, window }, out: WindowOut<Median>) => out.emit({ … }))
   */
  process<R>(uid: string, process: WindowProcess<T, R>, options?: WindowProcessOptions<T>): SidedStream<R, O>
}

/** `W` itself again: all of these are values that can stand in many places. */
export interface Timed<W> {
  /**
   * Records that come up to this much event time behind the end of their window fire it again, each one; the new result takes
   * the place of the one before. Later ones are late.
   */
  allowedLateness(span: Duration): W
  /** Fires early, besides at the end: `.trigger(everyEventTime('10s'))`. */
  trigger(trigger: Trigger): W
}

/** Records that are too late are in the side output `late`. */
export interface WindowedStream<T> extends Windowed<T, Late<T>>, WholeWindowed<T, Late<T>>, Timed<WindowedStream<T>> {}
export interface MergingWindowedStream<T> extends MergingWindowed<T, Late<T>>, Timed<MergingWindowedStream<T>> {}
export interface SlidingWindowedStream<T>
  extends MergingWindowed<T, Late<T>>, WholeWindowed<T, Late<T>>, Timed<SlidingWindowedStream<T>> {}
/** Nothing is too late for it. */
export type GlobalWindowedStream<T> = Windowed<T, None>

/** Puts a node behind the keyed stream. */
type Place = (node: Omit<WindowNode, 'uid'>, uid: string | undefined) => SidedStream<never, never>

/** Serves all kinds; which of its methods there are, the type of the window has said. */
export function windowedStream<T>(of: WindowSpec | Windowing, place: Place) {
  type Folded<A> = SidedStream<WindowResult<A>, Late<T>>
  const windowing = windowingOf(of)
  const fold = <A, R>(uid: string | undefined, name: string, aggregate: WindowAggregate<T, A, R>): Folded<R> =>
    place(windowNodeOf(windowing, aggregate, name), uid) as unknown as Folded<R>
  const stream: WindowedStream<T> = {
    count: (uid) => place(windowCountOf(windowing), uid) as unknown as Folded<number>,
    sum: (uid, value) => fold(uid, 'sum', summing(value)),
    min: (uid, value) => fold(uid, 'min', lowest(value)),
    max: (uid, value) => fold(uid, 'max', highest(value)),
    reduce: (uid, initial, add, options = {}) => fold(uid, 'reduce', { initial, add, ...options }),
    aggregate: (uid, aggregate) => fold(uid, 'aggregate', aggregate),
    process: (uid, process, options) =>
      place(windowProcessOf(windowing as Windowing<WholeSpec>, process, options), uid),
    allowedLateness: (span) => windowedStream<T>({ ...windowing, allowedLatenessMs: spanMs(span) }, place),
    trigger: (trigger) => windowedStream<T>({ ...windowing, trigger }, place),
  }
  return stream
}
