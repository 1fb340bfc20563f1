/** What an operator keeps by key: the descriptors of `keyedStream.process`. */
import type {
  AggregatingDescriptor,
  ListDescriptor,
  MapDescriptor,
  StateSchema,
  Ttl,
  TtlUpdate,
  ValueDescriptor,
} from '@weir/dataflow'
import type { Key } from '@weir/model'
import { durationMs, type Duration } from './duration.ts'

export interface StateOptions<V> {
  /**
   * A value, an element of a list, an entry of a map is gone this long after it was touched last, in event time. Default:
   * never. Can be given to a state later, and changed: rows from before begin to age when they are written. Where it is taken
   * away, a start from before wants its ages dropped by name.
   */
  readonly ttl?: Duration
  /** What touches: default `write`. `read-and-write` writes a row for a read, too. */
  readonly ttlUpdate?: TtlUpdate
  /** Version of what is stored (values, elements, accumulators), and how older ones are read. */
  readonly schema?: StateSchema<V>
}

const common = <V>({ ttl, ttlUpdate, schema }: StateOptions<V>) => ({
  ttl: ttl === undefined ? null : ({ ms: Math.trunc(durationMs(ttl)), update: ttlUpdate ?? 'write' } satisfies Ttl),
  ...(schema && { schema }),
})

/** One value per key; `initial` is what a key without one has. */
export function valueState<T>(options: StateOptions<NoInfer<T>> & { readonly initial: T }): ValueDescriptor<T, T>
export function valueState<T>(options?: StateOptions<T>): ValueDescriptor<T>
export function valueState<T>(
  options: StateOptions<T> & { readonly initial?: T } = {},
): ValueDescriptor<T, T | undefined> {
  return { kind: 'value', ...common(options), initial: options.initial }
}

/** A list per key: an `add` writes one row, however long the list is. */
export const listState = <T>(options: StateOptions<T> = {}): ListDescriptor<T> => ({ kind: 'list', ...common(options) })

/** A map per key: a `set` writes one row, however large the map is. */
export const mapState = <K extends Key, V>(options: StateOptions<V> = {}): MapDescriptor<K, V> => ({
  kind: 'map',
  ...common(options),
})

/**
 * A fold per key: what is stored is the accumulator `A`, what is read is `result` of it.
 *
 *     aggregatingState({ initial: { sum: 0, count: 0 }, add: (a, n: number) => ({ sum: a.sum + n, count: a.count + 1 }),
 *                        result: ({ sum, count }) => sum / count })
 */
export const aggregatingState = <I, A, O>(
  options: StateOptions<NoInfer<A>> & {
    readonly initial: A
    readonly add: (accumulator: A, input: I) => A
    readonly result: (accumulator: A) => O
  },
): AggregatingDescriptor<I, A, O> => {
  const { initial, add, result } = options
  return { kind: 'aggregating', ...common(options), initial, add, result }
}
