/**
 * Transforms: operators as immutable values, composed with `andThen` and tested without an engine.
 *
 *     const paid = filter((o: Order) => o.status === 'PAID').andThen(map((o) => o.amountMinor))
 *     run(paid, [order({ amountMinor: 500 }), order({ status: 'FAILED' })])   // [500]
 *
 * A transform is only a description, so one value can stand in many jobs. `andThen` is associative, `identity` is its
 * neutral element, and both sides stay what they were. Types flow left to right: `Transform<A, B>` goes before
 * `Transform<B, C>` and nothing else. Between a keyBy and the fold behind it the element type is `Keyed<K, V>`.
 */
import { WATERMARK_MAX, WATERMARK_MIN, operatorUid, subtask } from '@weir/model'
import type { Key, RecordBatch, Watermark } from '@weir/model'
import { link, type Input } from './chain.ts'
import type { IdempotentNode } from './claim-node.ts'
import { claimingInState, type ClaimSides, type ClaimedInState } from './claims-in-state.ts'
import { fireWholly } from './firing.ts'
import type {
  AsyncMapNode,
  FilterNode,
  FlatMapNode,
  GraphNode,
  KeyByNode,
  KeyedBySourceNode,
  KeyedProcessNode,
  MapNode,
} from './graph.ts'
import type { KeyedProcess, None, StateDescriptors, TimerKinds } from './keyed-state.ts'
import { MemoryKeyedStates } from './memory-state.ts'
import type { Firing, WindowResult } from './operator.ts'
import type { CallContext } from './operators/async-map.ts'
import { operatorFor } from './operators/index.ts'
import type { OperatorNode } from './operators/index.ts'
import { sidesOf, type SideCollectors, type SideOutputs } from './side-output.ts'
import type { RecordContext } from './record-context.ts'
import type { StateSchema } from './state-schema.ts'
import { isTimestamp, refuseNone, timestampInvalid } from './user-code.ts'
import { sessionizing, type Session } from './sessionize.ts'
import { SplitWatermarks } from './watermarks.ts'
import type { GlobalSpec, SessionSpec, SlidingSpec, TumblingSpec, WindowSpec } from './window.ts'
import { windowCountOf, windowNodeOf, windowProcessOf, type WholeSpec, type Windowing } from './windowing.ts'
import type { MergingWindowAggregate, WindowAggregate, WindowProcess, WindowProcessOptions } from './window-process.ts'
import { functionsOf, type Aggregate } from './aggregate.ts'
import { deduplicating, type Duplicates } from './deduplicate.ts'
import type { ReduceNode } from './graph.ts'
import type { Late, SideTypes } from './side-output.ts'

declare const keyed: unique symbol
/** A stream of `V` by key `K`: exists in types only; values in a batch are `V`. */
export interface Keyed<K extends Key, V> {
  readonly [keyed]: { readonly key: K; readonly value: V }
}

/** An operator without its place in a job. `uid` null: named by position when it gets into one. */
export type Step = OperatorNode extends infer N
  ? N extends GraphNode
    ? Omit<N, 'uid'> & { readonly uid: string | null }
    : never
  : never

/** `O`: the side outputs of its last step, by name. */
export interface Transform<in A, out B, out O = None> {
  readonly kind: 'weir.transform'
  readonly steps: readonly Step[]
  /** First this, then `next`. A new value. */
  andThen<C, P>(next: Transform<B, C, P>): Transform<A, C, P>
  /** Compile-time only: holds the types. */
  readonly types?: (input: A) => readonly [B, O]
}

/** A promise where a value belongs does not compile. */
export type Sync<U> = U extends PromiseLike<unknown> ? never : U

const transform = <A, B, O>(steps: readonly Step[]): Transform<A, B, O> =>
  Object.freeze({
    kind: 'weir.transform' as const,
    steps: Object.freeze([...steps]),
    andThen: <C, P>(next: Transform<B, C, P>): Transform<A, C, P> => transform([...steps, ...next.steps]),
  })

const one = <A, B, O>(step: Step): Transform<A, B, O> => transform([Object.freeze(step)])

/** Lets everything through. */
export const identity = <A>(): Transform<A, A> => transform([])

/** Keeps what the predicate says yes to; a type guard narrows what follows. */
export function filter<A, B extends A>(test: (value: A, context: RecordContext) => value is B): Transform<A, B>
export function filter<A>(test: (value: A, context: RecordContext) => boolean): Transform<A, A>
export function filter(test: (value: never, context: RecordContext) => boolean): Transform<never, unknown> {
  return one({ kind: 'filter', uid: null, test: test as FilterNode['test'] })
}

export const map = <A, B>(f: (value: A, context: RecordContext) => Sync<B> & B): Transform<A, B> =>
  one({ kind: 'map', uid: null, map: f as MapNode['map'] })

export const flatMap = <A, B>(f: (value: A, context: RecordContext) => Iterable<B>): Transform<A, B> =>
  one({ kind: 'flatMap', uid: null, flatMap: f as FlatMapNode['flatMap'] })

/** Calls: `mode`, bounds and what becomes of failures are all there. `Stream.asyncMap` has defaults. */
export const asyncMap = <A, B>(
  uid: string,
  call: (value: A, context: CallContext) => Promise<B> | B,
  options: Omit<AsyncMapNode, 'kind' | 'uid' | 'call'>,
): Transform<A, B> => one({ kind: 'asyncMap', uid, call: call as AsyncMapNode['call'], ...options })

export const keyBy = <A, K extends Key>(key: (value: A) => K): Transform<A, Keyed<K, A>> =>
  one({ kind: 'keyBy', uid: null, key: key as (value: unknown) => Key })

/** As `keyBy`, but without an exchange, for input that is partitioned by this key already: state is kept per partition. */
export const keyedBySource = <A, K extends Key>(key: (value: A) => K): Transform<A, Keyed<K, A>> =>
  one({ kind: 'keyedBySource', uid: null, key: key as (value: unknown) => Key })

/** What a fold may be given besides: the schema of its accumulators. */
export interface FoldOptions<S> {
  readonly schema?: StateSchema<S>
}

/** A running fold per key: one output per record. `uid` names its state. */
export const reduce = <K extends Key, A, S>(
  uid: string,
  initial: S,
  f: (accumulator: S, value: A) => S,
  options: FoldOptions<S> = {},
): Transform<Keyed<K, A>, S> =>
  one({ kind: 'reduce', uid, initial, reduce: f as (accumulator: unknown, value: unknown) => unknown, ...options })

/** One output per key and window, when the watermark passes the window's end. */
export const windowReduce = <K extends Key, A, S, W extends PlainWindow = PlainWindow>(
  window: W,
  initial: S,
  f: (accumulator: S, value: A) => S,
  options: FoldOptions<S> = {},
): Transform<Keyed<K, A>, WindowResult<S>, SidesOf<W, A>> =>
  one({ uid: null, ...windowNodeOf(window, { initial, add: f, ...options }, 'reduce') })

export const windowCount = <K extends Key, A, W extends WindowSpec | Windowing = WindowSpec | Windowing>(
  window: W,
): Transform<Keyed<K, A>, WindowResult<number>, SidesOf<W, A>> => one({ uid: null, ...windowCountOf(window) })

/** One accumulator per key and window. Windows that are put together from parts, sliding and session, need a `merge`. */
export function windowAggregate<K extends Key, A, S, R = S, W extends PlainWindow = PlainWindow>(
  uid: string,
  window: W,
  aggregate: WindowAggregate<A, S, R>,
): Transform<Keyed<K, A>, WindowResult<R>, SidesOf<W, A>>
export function windowAggregate<K extends Key, A, S, R = S>(
  uid: string,
  window: MergedSpec | Windowing<MergedSpec>,
  aggregate: MergingWindowAggregate<A, S, R>,
): Transform<Keyed<K, A>, WindowResult<R>, Late<A>>
export function windowAggregate<K extends Key, A, S, R>(
  uid: string,
  window: WindowSpec | Windowing,
  aggregate: WindowAggregate<A, S, R>,
): Transform<Keyed<K, A>, WindowResult<R>, never> {
  return one({ uid, ...windowNodeOf(window, aggregate, 'aggregate') })
}

/** A function over all records of a window, which are kept until then. */
export const windowProcess = <K extends Key, A, R>(
  uid: string,
  window: WholeSpec | Windowing<WholeSpec>,
  process: WindowProcess<A, R>,
  options: WindowProcessOptions<A> = {},
): Transform<Keyed<K, A>, R, Late<A>> => one({ uid, ...windowProcessOf(window, process, options) })

type MergedSpec = SlidingSpec | SessionSpec
type PlainSpec = TumblingSpec | GlobalSpec
type PlainWindow = PlainSpec | Windowing<PlainSpec>
/** For all of time nothing is late. */
type SidesOf<W, A> = W extends GlobalSpec | Windowing<GlobalSpec> ? None : Late<A>

/** A running aggregate per key: its result for every record. */
export const aggregate = <K extends Key, A, S, R = S>(uid: string, of: Aggregate<A, S, R>): Transform<Keyed<K, A>, R> =>
  one({ uid, ...runningOf(of) })

/** The plain part of a node. */
export function runningOf<A, S, R>(aggregate: Aggregate<A, S, R>): Omit<ReduceNode, 'uid'> {
  const { initial, add, result } = functionsOf(aggregate)
  const { schema } = aggregate
  return {
    ...{ kind: 'reduce', initial, reduce: add },
    ...(result && { result: result as ReduceNode['result'] }),
    ...(schema && { schema: schema as ReduceNode['schema'] }),
  }
}

/** The first record of a key within `ttlMs` of event time; the others are in the side output `duplicates`. */
export const deduplicate = <K extends Key, A>(
  uid: string,
  ttlMs: number,
): Transform<Keyed<K, A>, A, SideTypes<Duplicates<A>>> => one({ uid, ...keyedProcessOf(deduplicating<A>(ttlMs)) })

/** Each event once, by claims in a store outside: all settings are there. The sdk's `idempotent` has defaults. */
export const claimed = <A>(
  uid: string,
  settings: Omit<IdempotentNode, 'kind' | 'uid'>,
): Transform<A, A, SideTypes<ClaimSides<A>>> => one({ kind: 'idempotent', uid, ...settings })

/** The same by claims in keyed state, of which a key is what is claimed: nothing before it needs to have keyed the stream. */
export const claimedInState = <A>(
  uid: string,
  keyed: Pick<KeyByNode, 'kind' | 'key'> | Pick<KeyedBySourceNode, 'kind' | 'key'>,
  settings: Omit<ClaimedInState<A>, 'uid'>,
): Transform<A, A, SideTypes<ClaimSides<A>>> =>
  transform([
    Object.freeze({ ...keyed, uid: `${uid}.key` }),
    Object.freeze({
      uid,
      ...keyedProcessOf(claimingInState<A>({ ...settings, uid: operatorUid(uid) })),
      sides: settings.sides,
    }),
  ])

/** The sessions of a key, with all their records (`sessionize.ts`); what is too late is in the side output `late`. */
export const sessionize = <K extends Key, A>(uid: string, gapMs: number): Transform<Keyed<K, A>, Session<A>, Late<A>> =>
  one({ uid, ...keyedProcessOf(sessionizing<A>(gapMs)) })

/** User code with state and timers by key. `uid` names its state. */
export const keyedProcess = <
  K extends Key,
  A,
  B,
  S extends StateDescriptors = None,
  M extends TimerKinds = None,
  O extends SideOutputs = None,
>(
  uid: string,
  process: KeyedProcess<A, B, S, M, O>,
): Transform<Keyed<K, A>, B, SideTypes<O>> => one({ uid, ...keyedProcessOf(process) })

/** The plain part of a node. */
export const keyedProcessOf = <A, B, S extends StateDescriptors, M extends TimerKinds, O extends SideOutputs>({
  state,
  timers,
  sides,
  origins,
  passes,
  onRecord,
  onTimer,
}: KeyedProcess<A, B, S, M, O>): Omit<KeyedProcessNode, 'uid'> => ({
  kind: 'keyedProcess',
  state: state ?? {},
  timers: timers ?? {},
  ...(sides && { sides: Object.keys(sides) }),
  ...(origins && { origins }),
  ...(passes && { passes }),
  onRecord: onRecord as unknown as KeyedProcessNode['onRecord'],
  onTimer: (onTimer ?? null) as unknown as KeyedProcessNode['onTimer'],
})

/** Gives steps their uids: the step's own, else kind and ordinal. */
export const placed = (steps: readonly Step[], uidOf: (step: Step) => string): OperatorNode[] =>
  steps.map((step): OperatorNode => ({ ...step, uid: operatorUid(step.uid ?? uidOf(step)) }))

export interface RunOptions<A> {
  /** Event time of an input, ms; default: its index. */
  readonly timestamp?: (value: A, index: number) => number
  /** As at a source; default 0. */
  readonly outOfOrderMs?: number
  /** Told what goes into side outputs; `uid` is the operator's. */
  readonly side?: (name: string, value: unknown, uid: string) => void
}

/**
 * Runs a transform over literal inputs, in order, one record per batch, with the watermark following and, at the end,
 * `WATERMARK_MAX`. Fresh state in memory, frozen accumulators. The clock of processing timers stands at the record's event
 * time. Throws what a job would fail with.
 */
export function run<A, B>(transform: Transform<A, B, unknown>, inputs: readonly A[], options: RunOptions<A> = {}): B[] {
  const outputs: B[] = []
  const ordinal = new Map<string, number>()
  const nodes = placed(transform.steps, ({ kind }) => {
    ordinal.set(kind, (ordinal.get(kind) ?? 0) + 1)
    return `${kind}-${ordinal.get(kind)}`
  })
  const state = new MemoryKeyedStates()
  let nowMs = 0
  const operators = nodes.map((node) => {
    const operator = operatorFor(node)
    operator.open({
      uid: node.uid,
      subtask: subtask(0),
      parallelism: 1,
      maxParallelism: 1,
      state,
      watermark: WATERMARK_MIN,
      counters: { lateRecords: 0 },
      ...(options.side && { sides: told(node, options.side) }),
      refuse: refuseNone,
      freeze: true,
      clock: { now: () => nowMs },
    })
    return operator
  })
  const timed: (() => void)[] = []
  const firings: { readonly firing: Firing; readonly out: Input }[] = []
  const sink: Input = {
    emit: (batch: RecordBatch) => void outputs.push(...(batch.values as B[])),
    watermark: () => {},
    end: () => {},
  }
  const input = operators.reduceRight((next, operator) => {
    const { firing, processing } = operator
    if (firing !== undefined) firings.unshift({ firing, out: next })
    timed.unshift(() => {
      while (processing && processing.nextMs <= nowMs) processing.fire(next)
    })
    return link(operator, next)
  }, sink)
  const advance = (watermark: Watermark): void => {
    input.watermark(watermark)
    fireWholly(firings)
  }
  const watermarks = new SplitWatermarks({ uid: operatorUid('run'), outOfOrderMs: options.outOfOrderMs ?? 0 }, [0])
  for (const [i, value] of inputs.entries()) {
    const timestamp = options.timestamp === undefined ? i : options.timestamp(value, i)
    if (!isTimestamp(timestamp)) throw timestampInvalid(timestamp, operatorUid('run'), i)
    nowMs = Math.max(nowMs, timestamp)
    for (const fire of timed) fire()
    const before = watermarks.current
    input.emit({ keys: null, values: [value], timestamps: [timestamp] })
    const after = watermarks.observe(0, [timestamp])
    if (after > before) advance(after)
  }
  advance(WATERMARK_MAX)
  input.end()
  return outputs
}

const told = (node: OperatorNode, side: NonNullable<RunOptions<never>['side']>): SideCollectors =>
  new Map(
    sidesOf(node).map((name) => {
      const emit = ({ values }: RecordBatch): void => {
        for (const value of values) side(name, value, node.uid)
      }
      return [name, { emit, watermark: () => {} }]
    }),
  )
