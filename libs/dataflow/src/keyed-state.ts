/**
 * State by key as a job sees it: descriptors say what an operator keeps, handles read and write it for the key of the
 * record at hand. All calls are synchronous. Values are plain data, replaced and never mutated; in development they are
 * frozen when they are stored.
 *
 *     | state       | rows per key                 | a change writes                     |
 *     | value       | one                          | it; a whole number: the difference  |
 *     | aggregating | one, the accumulator         | as value                            |
 *     | list        | one per element              | the element                         |
 *     | map         | one per entry                | the entry                           |
 *
 * **TTL is event time.** The time of an operator is its watermark, or the time of the record or timer at hand where that is
 * later; a value is gone once that is `ttl` after its last touch. So a replay sees what the first run saw, a backlog of a
 * week expires as it would have day by day, and a stopped source loses nothing. An expired value is never handed out; its
 * rows are deleted by and by (a value that is expired by the *watermark* can be seen by nobody, so when is of no matter).
 */
import type { Key } from '@weir/model'
import type { SideOutputs, SideTypes } from './side-output.ts'
import type { Origin } from './origin.ts'
import type { StateSchema } from './state-schema.ts'

/** What lets a value live on: writing it only, or reading it too. */
export type TtlUpdate = 'write' | 'read-and-write'
export interface Ttl {
  readonly ms: number
  readonly update: TtlUpdate
}

export interface ValueDescriptor<T, Initial = undefined> {
  readonly kind: 'value'
  readonly ttl: Ttl | null
  /**
   * Engine's own states: values are lists that begin with the event time (ms) at which they were written, so that a TTL of `write` needs
   * no row beside them. null there: of a value from before, which has one.
   */
  readonly timed?: true
  /** Engine's own states, of many small values that mostly stay as they are: a store may keep them as rows beside the heap. */
  readonly packed?: true
  /** What a key without a value has. */
  readonly initial: Initial
  readonly schema?: StateSchema<T> | undefined
  /** Compile-time only. */
  readonly types?: T
}
export interface ListDescriptor<T> {
  readonly kind: 'list'
  readonly ttl: Ttl | null
  /** Of the elements. */
  readonly schema?: StateSchema<T> | undefined
  readonly types?: T
}
export interface MapDescriptor<K extends Key, V> {
  readonly kind: 'map'
  readonly ttl: Ttl | null
  /** Of the entries' values. */
  readonly schema?: StateSchema<V> | undefined
  readonly types?: (key: K) => V
}
/** Folds `I` into an accumulator `A`, which is stored, and answers `O`. */
export interface AggregatingDescriptor<I, A, O> {
  readonly kind: 'aggregating'
  readonly ttl: Ttl | null
  readonly initial: A
  readonly add: (accumulator: A, input: I) => A
  readonly result: (accumulator: A) => O
  /** Of the accumulators. */
  readonly schema?: StateSchema<A> | undefined
}
export type StateDescriptor =
  | ValueDescriptor<unknown, unknown>
  | ListDescriptor<unknown>
  | MapDescriptor<never, unknown>
  // Method-like parameters: any aggregate fits.
  | {
      readonly kind: 'aggregating'
      readonly ttl: Ttl | null
      readonly initial: unknown
      readonly schema?: unknown
      add(accumulator: unknown, input: unknown): unknown
      result(accumulator: unknown): unknown
    }
/** By name. Rows are found again by it after an upgrade. */
export type StateDescriptors = Readonly<Record<string, StateDescriptor>>

// ---- handles --------------------------------------------------------------------------------------------------------

export interface ValueState<T, Initial = undefined> {
  get(): T | Initial
  set(value: T): void
  clear(): void
}

/** Elements in the order they were added; with a TTL each has its own age. */
export interface ListState<T> extends Iterable<T> {
  get(): readonly T[]
  /** Writes one row, however long the list is. */
  add(value: T): void
  addAll(values: Iterable<T>): void
  /** Instead of what was there. */
  set(values: Iterable<T>): void
  /** Drops the oldest, so that at most `count` remain. */
  keepLast(count: number): void
  clear(): void
}

/**
 * Entries by key; with a TTL each has its own age. A walk through them meets each once, in an order that is the same in
 * every replay and otherwise open; the entry just met may be deleted during it, others may not (`MAP_CHANGED`).
 */
export interface MapState<K extends Key, V> extends Iterable<readonly [K, V]> {
  get(key: K): V | undefined
  has(key: K): boolean
  /** Writes one row, however large the map is. */
  set(key: K, value: V): void
  /** Was there one? */
  delete(key: K): boolean
  entries(): IterableIterator<[K, V]>
  keys(): IterableIterator<K>
  values(): IterableIterator<V>
  /** With a TTL it is counted, without it is known. */
  readonly size: number
  clear(): void
}

export interface AggregatingState<I, O> {
  add(input: I): void
  /** Undefined before the first `add`. */
  get(): O | undefined
  clear(): void
}

export type StateOf<D> =
  D extends ValueDescriptor<infer T, infer Initial>
    ? ValueState<T, Initial>
    : D extends ListDescriptor<infer T>
      ? ListState<T>
      : D extends MapDescriptor<infer K, infer V>
        ? MapState<K, V>
        : D extends AggregatingDescriptor<infer I, infer _A, infer O>
          ? AggregatingState<I, O>
          : never
export type StatesOf<S extends StateDescriptors> = { readonly [N in keyof S]: StateOf<S[N]> }

// ---- timers ---------------------------------------------------------------------------------------------------------

export type TimerKind = 'event' | 'processing'
/** By name: which time each goes by. Said beforehand, so that a plan knows whether a job looks at the clock. */
export type TimerKinds = Readonly<Record<string, TimerKind>>

/** Fires when the watermark reaches its time; one in the past fires with the next watermark. */
export interface EventTimer {
  /** Once per key and time, however often it is set. `timeMs`: whole ms since 1970. */
  set(timeMs: number): void
  delete(timeMs: number): void
}
/**
 * Fires once the clock has reached its time: late where the job was down, exactly once in the state a checkpoint restores.
 * A bounded job does not wait for it.
 */
export interface ProcessingTimer extends EventTimer {
  /** Wall clock of the task-manager, ms since 1970; does not go back while an attempt runs. */
  now(): number
}
export type TimersOf<M extends TimerKinds> = {
  readonly [N in keyof M]: M[N] extends 'processing' ? ProcessingTimer : EventTimer
}

/** A timer that fires. */
export interface FiredTimer<N extends PropertyKey = string> {
  readonly name: N
  readonly kind: TimerKind
  /** ms since 1970, as it was set. */
  readonly time: number
}

/** No states, no timers. */
export type None = Readonly<Record<never, never>>

// ---- an operator ----------------------------------------------------------------------------------------------------

/** Where outputs go. Those of a record or timer that fails are taken back with its changes of state. */
export interface Out<R> {
  /** `timestamp`: event time of the output, ms; default that of the record or event timer at hand. */
  emit(value: R, timestamp?: number): void
}

/** Side outputs by name. */
export type OutsOf<O extends SideOutputs> = { readonly [N in keyof O]: Out<SideTypes<O>[N]> }

/** One object for the life of the operator: read it during the call, do not keep it. */
export interface KeyedContext<S extends StateDescriptors, M extends TimerKinds, O extends SideOutputs = None> {
  readonly key: Key
  /** Event time of the record or event timer at hand, ms; at a processing timer, how far event time has come. */
  readonly timestamp: number
  /** Every event with a smaller time has been seen, but for late ones, which come here too. */
  readonly watermark: number
  /** Where the record was read; null in timers and for what the job has made itself. Carried in jobs with dead letters, and where `origins` asks for it. */
  readonly origin: Origin | null
  /** How the job's degrade switch stands (`degradable`): the same for all records between two barriers. */
  readonly degraded: boolean
  readonly state: StatesOf<S>
  readonly timers: TimersOf<M>
  /** `sides.suspicious.emit(payment)`; of a side output that nobody takes it goes nowhere. */
  readonly sides: OutsOf<O>
}

export interface KeyedProcess<T, R, S extends StateDescriptors, M extends TimerKinds, O extends SideOutputs = None> {
  readonly state?: S
  readonly timers?: M
  /** Other ways out, `{ suspicious: sideOutput<Payment>() }`: taken with `stream.sideOutput('suspicious')`. */
  readonly sides?: O
  /** `context.origin` is asked for: batches carry where their records were read, which costs something on every record. */
  readonly origins?: boolean
  /** What it puts out is what came in, or nothing: a record that fails behind it has had no effect here, and may be replayed. */
  readonly passes?: boolean
  onRecord(context: KeyedContext<S, M, O>, value: T, out: Out<R>): void
  /** In the order of times; the timer is gone already. Event timers set here must lie later (`TIMER_NOT_LATER`). */
  onTimer?(context: KeyedContext<S, M, O>, timer: FiredTimer<keyof M>, out: Out<R>): void
}

/** Two keyed streams that share state and timers by key. Their records come in no order but that of each stream. */
export interface KeyedConnect<A, B, R, S extends StateDescriptors, M extends TimerKinds, O extends SideOutputs = None> {
  readonly state?: S
  readonly timers?: M
  readonly sides?: O
  onLeft(context: KeyedContext<S, M, O>, value: A, out: Out<R>): void
  onRight(context: KeyedContext<S, M, O>, value: B, out: Out<R>): void
  /** As of `KeyedProcess`. */
  onTimer?(context: KeyedContext<S, M, O>, timer: FiredTimer<keyof M>, out: Out<R>): void
}
