/** Incremental aggregates: of all records of a key (and window) one accumulator is kept. */
import type { StateSchema } from './state-schema.ts'
import type { WindowAggregate, WindowContext } from './window-process.ts'

/** Functions are pure, answer new values and never change what they are given: an accumulator may be shared. They have no `this`. */
export interface Aggregate<T, A, O> {
  readonly initial: A
  add(accumulator: A, value: T): A
  /** Of two accumulators, of earlier and of later records; needed where windows are put together: sliding and session. */
  merge?(earlier: A, later: A): A
  /** Absent: the accumulator is put out. */
  result?(accumulator: A): O
  /** Of the accumulators. */
  readonly schema?: StateSchema<A>
}
export interface MergingAggregate<T, A, O> extends Aggregate<T, A, O> {
  merge(earlier: A, later: A): A
}

export const counting: MergingAggregate<unknown, number, number> = Object.freeze({
  initial: 0,
  add: (count: number) => count + 1,
  merge: (a: number, b: number) => a + b,
})

/** Whole numbers are summed exactly up to 2^53; fractions as floats are, in no order that can be relied on. */
export const summing = <T>(of: (value: T) => number): MergingAggregate<T, number, number> => ({
  initial: 0,
  add: (sum, value) => sum + number(of(value)),
  merge: (a, b) => a + b,
})

export const lowest = <T>(of: (value: T) => number): MergingAggregate<T, number | null, number> =>
  extreme(of, (a, b) => (b < a ? b : a))

export const highest = <T>(of: (value: T) => number): MergingAggregate<T, number | null, number> =>
  extreme(of, (a, b) => (b > a ? b : a))

const extreme = <T>(
  of: (value: T) => number,
  choose: (a: number, b: number) => number,
): MergingAggregate<T, number | null, number> => ({
  initial: null,
  add: (before, value) => (before === null ? number(of(value)) : choose(before, number(of(value)))),
  merge: (a, b) => (a === null ? b : b === null ? a : choose(a, b)),
  result: (value) => value!, // a window without records does not fire
})

/** One NaN would be every result from then on. */
function number(value: number): number {
  if (typeof value === 'number' && !Number.isNaN(value)) return value
  throw new TypeError(`the function of the aggregate returned ${String(value)}, not a number`)
}

/** As it stands in a node. */
export interface AggregateFunctions {
  readonly initial: unknown
  readonly add: (accumulator: unknown, value: unknown) => unknown
  readonly merge?: ((earlier: unknown, later: unknown) => unknown) | undefined
  readonly result?: ((accumulator: unknown, context: WindowContext) => unknown) | undefined
}

export function functionsOf<T, A, O>(aggregate: WindowAggregate<T, A, O>): AggregateFunctions {
  // As they are, without a `this`: another call around `add` would be one more per record.
  const { initial, add, merge, result } = aggregate as WindowAggregate<unknown, unknown, unknown>
  return { initial, add, ...(merge && { merge }), ...(result && { result }) }
}
