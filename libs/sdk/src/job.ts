/**
 * The builder. Streams are immutable views of a growing graph; a wrong chain does not compile. Operators are found again
 * by uid after an upgrade: give stateful ones a name; the others are numbered in the order they are written.
 */
import {
  COMMIT_INTERVAL_MS_DEFAULT,
  defaultSettings,
  restartSettings,
  keyedProcessOf,
  type ConnectorDescriptor,
  type CustomWatermarks,
  type Encode,
  type FoldOptions,
  type GraphNode,
  type JobDefinition,
  type JobSettings,
  type Keyed,
  type RestartWish,
  type ResumableOperator,
  type KeyedProcess,
  type None,
  type SideOutputs,
  type SideTypes,
  type StateDescriptors,
  type Sync,
  type TimerKinds,
  type Transform,
  type WindowResult,
} from '@weir/dataflow'
import { WeirError, operatorUid, type Key } from '@weir/model'
import type { Sink, Source } from './connectors.ts'
import { durationMs, type Duration } from './duration.ts'

export type Settings = Partial<Omit<JobSettings, 'checkpoint' | 'restart' | 'commit' | 'deadLetters' | 'audit'>> & {
  /** Default `epoch`. `intervalMs`: 20 … 10,000, default 100. */
  readonly commit?: { readonly scope: 'epoch' } | { readonly scope: 'continuous'; readonly intervalMs?: number }
  readonly checkpoint?: Partial<JobSettings['checkpoint']>
  /** Default: `fixed`, 10 attempts, 1 s apart. What a strategy's settings leave out has its default. */
  readonly restart?: RestartWish
  /**
   * Where records go that cannot be decoded, processed or written, e.g. `kafka.sink('orders.dead')`: as they were read,
   * with the reason in their headers, in the same transactions as the outputs. Without it such a record stops the job.
   */
  readonly deadLetters?: Pick<Sink<never>, 'descriptor'>
  /**
   * Writes a receipt of every transaction into that transaction, for `weir verify`: to the topic of the given sink, with
   * `true` to `<name of the job>.receipts`, at the server of the job's sinks.
   */
  readonly audit?: boolean | Pick<Sink<never>, 'descriptor'>
}

export interface Flow {
  from<T>(source: Source<T>, uid?: string): Stream<T>
}

export interface Stream<T> {
  filter<S extends T>(test: (value: T) => value is S, uid?: string): Stream<S>
  filter(test: (value: T) => boolean, uid?: string): Stream<T>
  map<R>(map: (value: T) => Sync<R> & R, uid?: string): Stream<R>
  flatMap<R>(flatMap: (value: T) => Iterable<R>, uid?: string): Stream<R>
  /**
   * A custom operator with state of its own, one instance per subtask; `uid` names its state. The contract, with what becomes
   * of the state on a rescale, is `ResumableOperator`. What it emits is not keyed.
   */
  process<R, S, O extends SideOutputs = None>(
    uid: string,
    create: () => ResumableOperator<T, R, S, NoInfer<O>>,
    options?: FoldOptions<NoInfer<S>> & WithSides<O>,
  ): SidedStream<R, SideTypes<O>>
  /** What follows runs where the key lives. */
  keyBy(key: (value: T) => Key, uid?: string): KeyedStream<T>
  /**
   * As `keyBy`, but without an exchange: the topic must be partitioned by this key already (same key, same partition).
   * State and event time are kept per partition; a key that comes in two partitions has a state in each.
   */
  keyedBySource(key: (value: T) => Key, uid?: string): KeyedStream<T>
  /** Goes on with a transform composed by `andThen`. */
  apply<R>(transform: Transform<T, R>): Applied<R>
  to(sink: Sink<T>, uid?: string): void
}

/** Side outputs of an operator, `sides: { rejected: sideOutput<Order>() }`. */
export interface WithSides<O extends SideOutputs> {
  readonly sides?: O
}

/** The output of an operator with side outputs; `O` says what they carry, by name. */
export interface SidedStream<T, O> extends Stream<T> {
  /**
   * What the operator puts into a side output. It has the operator's keys and watermark; records keep their event time. The output
   * itself may lead nowhere then. `uid`: default `<operator>.<name>`.
   */
  sideOutput<N extends keyof O & string>(name: N, uid?: string): Stream<O[N]>
}

/** Behind a transform that ends in a keyBy or keyedBySource the stream is keyed. */
export type Applied<R> = [R] extends [Keyed<Key, infer V>] ? KeyedStream<V> : Stream<R>

export interface KeyedStream<T> {
  /** Emits the new accumulator for every record. Return new values, never change the old one. `uid` names its state. */
  reduce<A>(
    uid: string,
    initial: A,
    reduce: (accumulator: A, value: T) => A,
    options?: FoldOptions<NoInfer<A>>,
  ): Stream<A>
  window(window: Tumbling): WindowedStream<T>
  /**
   * Your code with state and timers by key, for what a fold or a window cannot say. `uid` names its state.
   *
   *     .process('limits', {
   *       state: { spent: valueState({ initial: 0, ttl: '1d' }) },
   *       timers: { reminder: 'event' },
   *       sides: { large: sideOutput<Payment>() },
   *       onRecord({ state, timers, timestamp, sides }, payment, out: Out<Alert>) { … },
   *       onTimer({ state, key }, timer, out) { … },
   *     })
   *
   * What a record that throws has changed and emitted is taken back; it goes where dead letters go.
   */
  process<R, S extends StateDescriptors = None, M extends TimerKinds = None, O extends SideOutputs = None>(
    uid: string,
    process: KeyedProcess<T, R, S, M, O>,
  ): SidedStream<R, SideTypes<O>>
  /** Goes on with a transform that begins with a fold or a window. */
  apply<K extends Key, R>(transform: Transform<Keyed<K, T>, R>): Applied<R>
}

export interface WindowedStream<T> {
  /** One result per key and window, when the watermark passes its end. Records that come later are in the side output `late`. */
  count(uid?: string): SidedStream<WindowResult<number>, Late<T>>
  reduce<A>(
    uid: string,
    initial: A,
    reduce: (accumulator: A, value: T) => A,
    options?: FoldOptions<NoInfer<A>>,
  ): SidedStream<WindowResult<A>, Late<T>>
}
/** Records that came when their window was gone, as they came. */
export interface Late<T> {
  readonly late: T
}

export interface Tumbling {
  readonly type: 'tumbling'
  readonly sizeMs: number
}
export const tumbling = (size: Duration): Tumbling => ({ type: 'tumbling', sizeMs: durationMs(size) })

/** In the continuous scope a checkpoint commits nothing and only bounds what a restart replays: by time is enough. */
const CHECKPOINT_OF_CONTINUOUS = { everyRecords: null } as const

/** A job: `export default job('settlement', (flow) => { … })`. Throws `BUILD_ASYNC` (invalid) for an async builder. */
export function job(name: string, build: (flow: Flow) => void): JobDefinition
export function job(name: string, settings: Settings, build: (flow: Flow) => void): JobDefinition
export function job(name: string, a: Settings | ((flow: Flow) => void), b?: (flow: Flow) => void): JobDefinition {
  const [settings, build] = typeof a === 'function' ? [{}, a] : [a, b!]
  const graph = new GraphBuilder()
  const answer = build({ from: (source, uid) => graph.from(source, uid ?? source.uid) }) as unknown
  if (answer instanceof Promise) {
    throw new WeirError(
      { code: 'BUILD_ASYNC', kind: 'invalid', job: name },
      `the builder of job "${name}" is async; a graph must be the same on every machine: build it synchronously`,
    )
  }
  return {
    kind: 'weir.job',
    version: 1,
    name,
    settings: {
      ...defaultSettings,
      ...settings,
      commit:
        settings.commit?.scope === 'continuous'
          ? { intervalMs: COMMIT_INTERVAL_MS_DEFAULT, ...settings.commit }
          : (settings.commit ?? defaultSettings.commit),
      checkpoint: {
        ...defaultSettings.checkpoint,
        ...(settings.commit?.scope === 'continuous' && CHECKPOINT_OF_CONTINUOUS),
        ...settings.checkpoint,
      },
      restart: restartSettings(settings.restart),
      deadLetters: settings.deadLetters ? topicOf(settings.deadLetters.descriptor) : null,
      audit: receiptsOf(name, settings.audit, graph.nodes),
    },
    graph: { nodes: graph.nodes, edges: graph.edges },
  }
}

const topicOf = ({ connector, topic }: ConnectorDescriptor): ConnectorDescriptor => ({ connector, topic })

function receiptsOf(name: string, audit: Settings['audit'], nodes: readonly GraphNode[]): ConnectorDescriptor | null {
  if (audit === undefined || audit === false) return null
  if (audit !== true) return topicOf(audit.descriptor)
  const connector = nodes.find((node) => node.kind === 'sink')?.descriptor.connector ?? 'kafka'
  return { connector, topic: `${name}.receipts` }
}

type Draft = GraphNode extends infer N ? (N extends GraphNode ? Omit<N, 'uid'> : never) : never

class GraphBuilder {
  readonly nodes: GraphNode[] = []
  readonly edges: [number, number][] = []

  from<T>(source: Source<T>, uid?: string): Stream<T> {
    const timestamp = source.timestamp as ((value: unknown) => number) | null
    const watermarks = source.watermarks as CustomWatermarks<unknown, unknown> | null | undefined
    const encode = source.encode as Encode | undefined
    return this.#stream(this.#add(null, { kind: 'source', ...source, timestamp, watermarks, encode }, uid))
  }

  #add(from: number | null, draft: Draft, uid: string | undefined): number {
    const nth = this.nodes.filter((n) => n.kind === draft.kind).length + 1
    const index = this.nodes.push({ ...draft, uid: operatorUid(uid ?? `${draft.kind}-${nth}`) } as GraphNode) - 1
    if (from !== null) this.edges.push([from, index])
    return index
  }

  #stream<T>(at: number): Stream<T> {
    type Fn<R> = (value: unknown) => R
    return {
      filter: (test: (value: T) => boolean, uid?: string) =>
        this.#stream<never>(this.#add(at, { kind: 'filter', test: test as Fn<boolean> }, uid)),
      map: (map, uid) => this.#stream(this.#add(at, { kind: 'map', map: map as Fn<unknown> }, uid)),
      flatMap: (flatMap, uid) =>
        this.#stream(this.#add(at, { kind: 'flatMap', flatMap: flatMap as Fn<Iterable<unknown>> }, uid)),
      apply: (transform) => this.#apply(at, transform),
      process: (uid, create, options = {}) => {
        const { schema, sides } = options as FoldOptions<unknown> & WithSides<SideOutputs>
        const made = create as unknown as () => ResumableOperator<unknown, unknown, unknown, SideOutputs>
        const draft = { kind: 'resumable', create: made, schema, ...(sides && { sides: Object.keys(sides) }) } as const
        return this.#sided(this.#add(at, draft, uid))
      },
      keyBy: (key, uid) => this.#keyed(this.#add(at, { kind: 'keyBy', key: key as Fn<Key> }, uid)),
      keyedBySource: (key, uid) => this.#keyed(this.#add(at, { kind: 'keyedBySource', key: key as Fn<Key> }, uid)),
      to: (sink, uid) => {
        this.#add(at, { kind: 'sink', ...sink, encodeValue: sink.encodeValue as Fn<string | Uint8Array | null> }, uid)
      },
    }
  }

  #sided<T, O>(at: number): SidedStream<T, O> {
    return { ...this.#stream<T>(at), sideOutput: (side, uid) => this.#stream(this.#side(at, side, uid)) }
  }

  /** Asked for twice it is one node, unless it is given a name of its own. */
  #side(at: number, side: string, uid: string | undefined): number {
    const name = uid ?? `${this.nodes[at]!.uid}.${side}`
    const taken = this.edges.find(([from, to]) => from === at && this.nodes[to]!.uid === name)
    return taken?.[1] ?? this.#add(at, { kind: 'sideOutput', side }, name)
  }

  #apply<A, R>(at: number, transform: Transform<A, R>): Applied<R> {
    let last = at
    for (const { uid, ...draft } of transform.steps) last = this.#add(last, draft as Draft, uid ?? undefined)
    // Which of the two it is, the transform's type has said: its last step decides both.
    const { kind } = this.nodes[last]!
    return (kind === 'keyBy' || kind === 'keyedBySource'
      ? this.#keyed<never>(last)
      : this.#stream<never>(last)) as unknown as Applied<R>
  }

  #keyed<T>(at: number): KeyedStream<T> {
    type Fold = (accumulator: unknown, value: unknown) => unknown
    return {
      apply: (transform) => this.#apply(at, transform),
      reduce: (uid, initial, reduce, options) =>
        this.#stream(this.#add(at, { kind: 'reduce', initial, reduce: reduce as Fold, ...options }, uid)),
      process: (uid, process) => this.#sided(this.#add(at, keyedProcessOf(process), uid)),
      window: (window) => ({
        count: (uid) =>
          this.#sided(
            this.#add(
              at,
              {
                kind: 'window',
                window,
                aggregate: { initial: 0, add: (n) => (n as number) + 1 },
                aggregateName: 'count',
              },
              uid,
            ),
          ),
        reduce: (uid, initial, reduce, options) =>
          this.#sided(
            this.#add(
              at,
              {
                kind: 'window',
                window,
                aggregate: { initial, add: reduce as Fold },
                aggregateName: 'reduce',
                ...options,
              },
              uid,
            ),
          ),
      }),
    }
  }
}
