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
import type { Key, RecordBatch } from '@weir/model'
import { link, type Input } from './chain.ts'
import type { GraphNode, KeyedProcessNode } from './graph.ts'
import type { KeyedProcess, None, StateDescriptors, TimerKinds } from './keyed-state.ts'
import { MemoryKeyedStates } from './memory-state.ts'
import type { WindowResult } from './operator.ts'
import { operatorFor } from './operators/index.ts'
import type { OperatorNode } from './operators/index.ts'
import { sidesOf, type SideCollectors, type SideOutputs } from './side-output.ts'
import type { StateSchema } from './state-schema.ts'
import { isTimestamp, refuseNone, timestampInvalid } from './user-code.ts'
import { SplitWatermarks } from './watermarks.ts'

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

export interface Transform<in A, out B> {
  readonly kind: 'weir.transform'
  readonly steps: readonly Step[]
  /** First this, then `next`. A new value. */
  andThen<C>(next: Transform<B, C>): Transform<A, C>
  /** Compile-time only: holds the two types. */
  readonly types?: (input: A) => B
}

/** Size of a tumbling window, ms. */
export interface TumblingSpec {
  readonly type: 'tumbling'
  readonly sizeMs: number
}

/** A promise where a value belongs does not compile. */
export type Sync<U> = U extends PromiseLike<unknown> ? never : U

const transform = <A, B>(steps: readonly Step[]): Transform<A, B> =>
  Object.freeze({
    kind: 'weir.transform' as const,
    steps: Object.freeze([...steps]),
    andThen: <C>(next: Transform<B, C>): Transform<A, C> => transform<A, C>([...steps, ...next.steps]),
  })

const one = <A, B>(step: Step): Transform<A, B> => transform<A, B>([Object.freeze(step)])

/** Lets everything through. */
export const identity = <A>(): Transform<A, A> => transform<A, A>([])

/** Keeps what the predicate says yes to; a type guard narrows what follows. */
export function filter<A, B extends A>(test: (value: A) => value is B): Transform<A, B>
export function filter<A>(test: (value: A) => boolean): Transform<A, A>
export function filter(test: (value: never) => boolean): Transform<never, unknown> {
  return one({ kind: 'filter', uid: null, test: test as (value: unknown) => boolean })
}

export const map = <A, B>(f: (value: A) => Sync<B> & B): Transform<A, B> =>
  one({ kind: 'map', uid: null, map: f as (value: unknown) => unknown })

export const flatMap = <A, B>(f: (value: A) => Iterable<B>): Transform<A, B> =>
  one({ kind: 'flatMap', uid: null, flatMap: f as (value: unknown) => Iterable<unknown> })

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
export const windowReduce = <K extends Key, A, S>(
  window: TumblingSpec,
  initial: S,
  f: (accumulator: S, value: A) => S,
  options: FoldOptions<S> = {},
): Transform<Keyed<K, A>, WindowResult<S>> =>
  one({
    kind: 'window',
    uid: null,
    window,
    aggregate: { initial, add: f as (accumulator: unknown, value: unknown) => unknown },
    aggregateName: 'reduce',
    ...options,
  })

export const windowCount = <K extends Key, A>(window: TumblingSpec): Transform<Keyed<K, A>, WindowResult<number>> =>
  one({ kind: 'window', uid: null, window, aggregate: { initial: 0, add: count }, aggregateName: 'count' })

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
): Transform<Keyed<K, A>, B> => one({ uid, ...keyedProcessOf(process) })

/** The plain part of a node. */
export const keyedProcessOf = <A, B, S extends StateDescriptors, M extends TimerKinds, O extends SideOutputs>({
  state,
  timers,
  sides,
  onRecord,
  onTimer,
}: KeyedProcess<A, B, S, M, O>): Omit<KeyedProcessNode, 'uid'> => ({
  kind: 'keyedProcess',
  state: state ?? {},
  timers: timers ?? {},
  ...(sides && { sides: Object.keys(sides) }),
  onRecord: onRecord as unknown as KeyedProcessNode['onRecord'],
  onTimer: (onTimer ?? null) as unknown as KeyedProcessNode['onTimer'],
})

/** The aggregate of `count()`. */
export const count = (accumulator: unknown): number => (accumulator as number) + 1

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
export function run<A, B>(transform: Transform<A, B>, inputs: readonly A[], options: RunOptions<A> = {}): B[] {
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
  const sink: Input = {
    emit: (batch: RecordBatch) => void outputs.push(...(batch.values as B[])),
    watermark: () => {},
    end: () => {},
  }
  const input = operators.reduceRight((next, operator) => {
    const { processing } = operator
    timed.unshift(() => {
      while (processing && processing.nextMs <= nowMs) processing.fire(next)
    })
    return link(operator, next)
  }, sink)
  const watermarks = new SplitWatermarks({ uid: operatorUid('run'), outOfOrderMs: options.outOfOrderMs ?? 0 }, [0])
  for (const [i, value] of inputs.entries()) {
    const timestamp = options.timestamp === undefined ? i : options.timestamp(value, i)
    if (!isTimestamp(timestamp)) throw timestampInvalid(timestamp, operatorUid('run'), i)
    nowMs = Math.max(nowMs, timestamp)
    for (const fire of timed) fire()
    const before = watermarks.current
    input.emit({ keys: null, values: [value], timestamps: [timestamp] })
    const after = watermarks.observe(0, [timestamp])
    if (after > before) input.watermark(after)
  }
  input.watermark(WATERMARK_MAX)
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
