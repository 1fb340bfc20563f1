/**
 * The builder. Streams are immutable views of a growing graph; a wrong chain does not compile. Operators are found again
 * by uid after an upgrade: give stateful ones a name; the others are numbered in the order they are written.
 */
import {
  COMMIT_INTERVAL_MS_DEFAULT,
  defaultSettings,
  restartSettings,
  type AsyncMapNode,
  type CallContext,
  keyedProcessOf,
  type ConnectNode,
  deduplicating,
  runningOf,
  sessionizing,
  type Aggregate,
  type Conflict,
  type ConnectorDescriptor,
  type CustomWatermarks,
  type Encode,
  type FoldOptions,
  type GraphNode,
  type JobDefinition,
  type JobSettings,
  type Keyed,
  type RecordContext,
  type RestartWish,
  type ResumableOperator,
  type KeyedProcess,
  type Late,
  type None,
  type SideOutputs,
  type Session,
  type SideTypes,
  type WindowSpec,
  type StateDescriptors,
  type Sync,
  type TimerKinds,
  type Transform,
  type WithBroadcastNode,
} from '@weir/dataflow'
import { WeirError, operatorUid, type Key } from '@weir/model'
import { callsOf, type CallOptions } from './calls.ts'
import type { Sink, Source } from './connectors.ts'
import { idempotent, type IdempotentOptions } from './idempotent.ts'
import type { Duration } from './duration.ts'
import {
  connected,
  intervalJoined,
  joined,
  withBroadcast,
  type BroadcastStream,
  type ConnectedStreams,
  type KeyedWithBroadcast,
  type WithBroadcastStream,
  type IntervalBounds,
  type IntervalJoin,
  type JoinedStreams,
} from './joins.ts'
import {
  spanMs,
  windowedStream,
  type GlobalWindow,
  type GlobalWindowedStream,
  type MergingWindowedStream,
  type SessionGap,
  type Sliding,
  type SlidingWindowedStream,
  type Tumbling,
  type WindowedStream,
} from './windows.ts'

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

export interface Stream<out T> {
  /**
   * Functions of filter, map and flatMap that name a second parameter are told of their record: event time, watermark, key and where
   * it was read (`context.origin`). Batches carry that then, which costs something on every record.
   */
  filter<S extends T>(test: (value: T, context: RecordContext) => value is S, uid?: string): Stream<S>
  filter(test: (value: T, context: RecordContext) => boolean, uid?: string): Stream<T>
  map<R>(map: (value: T, context: RecordContext) => Sync<R> & R, uid?: string): Stream<R>
  flatMap<R>(flatMap: (value: T, context: RecordContext) => Iterable<R>, uid?: string): Stream<R>
  /**
   * One value in, one value out, by a function that takes time: calls of a service, a database, a model.
   *
   *     .asyncMap('rate', async (order, { signal, origin }) => ({ ...order, rate: await rateOf(order.currency, signal) }),
   *               { mode: 'unordered', capacity: 200, timeout: '2s', retries: 3 })
   *
   * A barrier waits for what is open. A record is called again whenever it is read again, behind a restart, and what is called
   * then may answer otherwise: look something up, or have the other side know `origin.id` again.
   */
  asyncMap<R>(uid: string, call: (value: T, context: CallContext) => Promise<R> | R, options?: CallOptions): Stream<R>
  /**
   * Lets each event through once: of those with one business key (and event type) within `window` of event time the first. Another with the
   * same fingerprint is a duplicate, one with another a conflict, which is withheld and told of.
   *
   *     .idempotent('once', { bizKey: (p) => p.orderId, fingerprint: (p) => ({ amount: p.amount }), window: '24h' })
   *
   * Claims are the job's own state, unless `store` says otherwise. A record that goes to the dead letters behind it hands its claim on.
   */
  idempotent(
    uid: string,
    options: IdempotentOptions<T>,
  ): SidedStream<T, { readonly duplicates: T; readonly conflicts: Conflict<T> }>
  /**
   * A custom operator with state of its own, one instance per subtask; `uid` names its state. The contract, with what becomes
   * of the state on a rescale, is `ResumableOperator`. What it emits is not keyed.
   */
  process<R, S, O extends SideOutputs = None>(
    uid: string,
    create: () => ResumableOperator<T, R, S, NoInfer<O>>,
    options?: FoldOptions<NoInfer<S>> & WithSides<O> & WithOrigins,
  ): SidedStream<R, SideTypes<O>>
  /**
   * This stream and the others as one. Their records come in no order but that of each stream, event time is that of the
   * slowest; each record keeps where it was read.
   */
  union(...others: readonly [Stream<T>, ...Stream<T>[]]): Stream<T>
  /** For what every subtask has to know: small, and connected with other streams. */
  broadcast(uid?: string): BroadcastStream<T>
  /** Beside what a broadcast tells. */
  connect<B>(told: BroadcastStream<B>): WithBroadcastStream<T, B>
  /** What follows runs where the key lives. */
  keyBy<K extends Key>(key: (value: T) => K, uid?: string): KeyedStream<T, KeyKind<K>>
  /**
   * As `keyBy`, but without an exchange: the topic must be partitioned by this key already (same key, same partition).
   * State and event time are kept per partition; a key that comes in two partitions has a state in each.
   */
  keyedBySource<K extends Key>(key: (value: T) => K, uid?: string): KeyedStream<T, KeyKind<K>>
  /** Goes on with a transform composed by `andThen`. */
  apply<R, O>(transform: Transform<T, R, O>): Applied<R, O>
  to(sink: Sink<T>, uid?: string): void
}

/** Side outputs of an operator, `sides: { rejected: sideOutput<Order>() }`. */
export interface WithSides<O extends SideOutputs> {
  readonly sides?: O
}

export interface WithOrigins {
  /** `context.origin` is asked for: batches carry where their records were read, which costs something on every record. */
  readonly origins?: boolean
}

/** The output of an operator with side outputs; `O` says what they carry, by name. */
export interface SidedStream<out T, out O> extends Stream<T> {
  /**
   * What the operator puts into a side output. It has the operator's keys and watermark; records keep their event time. The output
   * itself may lead nowhere then. `uid`: default `<operator>.<name>`.
   */
  sideOutput<N extends keyof O & string>(name: N, uid?: string): Stream<O[N]>
}

/** Behind a transform that ends in a keyBy or keyedBySource the stream is keyed. */
export type Applied<R, O = None> = [R] extends [Keyed<infer K, infer V>]
  ? KeyedStream<V, KeyKind<K>>
  : [keyof O] extends [never]
    ? Stream<R>
    : SidedStream<R, O>

/** Strings and numbers are never equal keys, whatever is known of their values: streams are joined within one kind. */
export type KeyKind<K extends Key> = K extends string ? string : number

export interface KeyedStream<out T, out K extends Key = Key> {
  /** Emits the new accumulator for every record. Return new values, never change the old one. `uid` names its state. */
  reduce<A>(
    uid: string,
    initial: A,
    reduce: (accumulator: A, value: T) => A,
    options?: FoldOptions<NoInfer<A>>,
  ): Stream<A>
  /** A running aggregate: its result for every record. */
  aggregate<A, R = A>(uid: string, aggregate: Aggregate<T, A, R>): Stream<R>
  /** Windows of time, and of everything: `tumbling`, `sliding`, `session`, `globalWindow`, `countWindow`. */
  window(window: Tumbling): WindowedStream<T>
  window(window: Sliding): SlidingWindowedStream<T>
  window(window: Sliding | SessionGap): MergingWindowedStream<T>
  window(window: GlobalWindow): GlobalWindowedStream<T>
  /**
   * Lets the first record of the key through. Those that come with it within `ttl` of event time are in the side output
   * `duplicates`; they do not lengthen that time.
   */
  deduplicate(uid: string, options: { readonly ttl: Duration }): SidedStream<T, { readonly duplicates: T }>
  /**
   * The sessions of the key (records less than `gap` apart) when they are over, each as one record `{ start, end, records }` in the
   * order of event time. What comes when its session is gone is in the side output `late`. A session window keeps less.
   */
  sessionize(uid: string, gap: Duration): SidedStream<Session<T>, Late<T>>
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
  /** With another stream at the same key: your code, with state that both share. This one is the left one. */
  connect<U>(other: KeyedStream<U, K>): ConnectedStreams<T, U>
  /** Beside what a broadcast tells. */
  connect<B>(told: BroadcastStream<B>): KeyedWithBroadcast<T, B>
  /** Pairs with one key in one window. */
  join<U>(other: KeyedStream<U, K>): JoinedStreams<T, U>
  /** Pairs with one key whose event times are near each other. */
  intervalJoin<U>(other: KeyedStream<U, K>, bounds: IntervalBounds): IntervalJoin<T, U>
  /** Goes on with a transform that begins with a fold or a window. */
  apply<L extends Key, R, O>(transform: Transform<Keyed<L, T>, R, O>): Applied<R, O>
}

/** In the continuous scope a checkpoint commits nothing and only bounds what a restart replays: by time is enough. */
const CHECKPOINT_OF_CONTINUOUS = { everyRecords: null } as const

/**
 * A job: `export default job('settlement', (flow) => { … })`. Throws `BUILD_ASYNC` (invalid) for an async builder,
 * `GRAPH_FOREIGN_STREAM` (invalid) where it joins a stream of another job.
 */
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
  /** What this builder has handed out, by node. */
  readonly #streams = new WeakMap<object, number>()

  from<T>(source: Source<T>, uid?: string): Stream<T> {
    const timestamp = source.timestamp as ((value: unknown) => number) | null
    const watermarks = source.watermarks as CustomWatermarks<unknown, unknown> | null | undefined
    const encode = source.encode as Encode | undefined
    return this.#stream(this.#add([], { kind: 'source', ...source, timestamp, watermarks, encode }, uid))
  }

  #handedOut<S extends object>(at: number, stream: S): S {
    this.#streams.set(stream, at)
    return stream
  }

  #indexOf(stream: object): number {
    const index = this.#streams.get(stream)
    if (index !== undefined) return index
    throw new WeirError(
      { code: 'GRAPH_FOREIGN_STREAM', kind: 'invalid' },
      'a stream is of another job: streams are joined inside of the builder that made them. Read the source in this job, too.',
    )
  }

  #add(inputs: number | readonly number[], draft: Draft, uid: string | undefined): number {
    const nth = this.nodes.filter((n) => n.kind === draft.kind).length + 1
    const index = this.nodes.push({ ...draft, uid: operatorUid(uid ?? `${draft.kind}-${nth}`) } as GraphNode) - 1
    for (const from of [inputs].flat()) this.edges.push([from, index])
    return index
  }

  #stream<T>(at: number): Stream<T> {
    type Fn<R> = (value: unknown) => R
    return this.#handedOut<Stream<T>>(at, {
      filter: (test: (value: T, context: RecordContext) => boolean, uid?: string) =>
        this.#stream<never>(this.#add(at, { kind: 'filter', test: test as Fn<boolean> }, uid)),
      map: (map, uid) => this.#stream(this.#add(at, { kind: 'map', map: map as Fn<unknown> }, uid)),
      flatMap: (flatMap, uid) =>
        this.#stream(this.#add(at, { kind: 'flatMap', flatMap: flatMap as Fn<Iterable<unknown>> }, uid)),
      asyncMap: (uid, call, options) =>
        this.#stream(this.#add(at, { kind: 'asyncMap', call: call as AsyncMapNode['call'], ...callsOf(options) }, uid)),
      idempotent: (uid, options) => this.#sided(this.#addSteps(at, idempotent(uid, options).steps)),
      apply: (transform) => this.#apply(at, transform),
      process: (uid, create, options = {}) => {
        const { schema, sides, origins } = options as FoldOptions<unknown> & WithSides<SideOutputs> & WithOrigins
        const made = create as unknown as () => ResumableOperator<unknown, unknown, unknown, SideOutputs>
        const named = { ...(sides && { sides: Object.keys(sides) }), ...(origins && { origins }) }
        return this.#sided(this.#add(at, { kind: 'resumable', create: made, schema, ...named }, uid))
      },
      union: (...others) => {
        const inputs = [at, ...others.map((other) => this.#indexOf(other))]
        return this.#stream(this.#add(inputs, { kind: 'union' }, undefined))
      },
      broadcast: (uid) => this.#handedOut(this.#add(at, { kind: 'broadcast' }, uid), { kind: 'broadcast' as const }),
      connect: (told) => withBroadcast(this.#beside(at, told)),
      keyBy: (key, uid) => this.#keyed(this.#add(at, { kind: 'keyBy', key: key as Fn<Key> }, uid)),
      keyedBySource: (key, uid) => this.#keyed(this.#add(at, { kind: 'keyedBySource', key: key as Fn<Key> }, uid)),
      to: (sink, uid) => {
        this.#add(at, { kind: 'sink', ...sink, encodeValue: sink.encodeValue as Fn<string | Uint8Array | null> }, uid)
      },
    })
  }

  #sided<T, O>(at: number): SidedStream<T, O> {
    const sideOutput: SidedStream<T, O>['sideOutput'] = (side, uid) => this.#stream(this.#side(at, side, uid))
    return this.#handedOut(at, { ...this.#stream<T>(at), sideOutput })
  }

  /** Asked for twice it is one node, unless it is given a name of its own. */
  #side(at: number, side: string, uid: string | undefined): number {
    const name = uid ?? `${this.nodes[at]!.uid}.${side}`
    const taken = this.edges.find(([from, to]) => from === at && this.nodes[to]!.uid === name)
    return taken?.[1] ?? this.#add(at, { kind: 'sideOutput', side }, name)
  }

  #apply<A, R, O>(at: number, transform: Transform<A, R, O>): Applied<R, O> {
    const last = this.#addSteps(at, transform.steps)
    // Which of them it is, the transform's type has said: its last step decides both.
    const { kind } = this.nodes[last]!
    return (kind === 'keyBy' || kind === 'keyedBySource'
      ? this.#keyed<never, never>(last)
      : this.#sided<never, never>(last)) as unknown as Applied<R, O>
  }

  #addSteps(at: number, steps: Transform<never, unknown, unknown>['steps']): number {
    let last = at
    for (const { uid, ...draft } of steps) last = this.#add(last, draft as Draft, uid ?? undefined)
    return last
  }

  #beside(at: number, other: object) {
    return <R, O>(uid: string, node: Omit<ConnectNode, 'uid'> | Omit<WithBroadcastNode, 'uid'>): SidedStream<R, O> =>
      this.#sided(this.#add([at, this.#indexOf(other)], node, uid))
  }

  #keyed<T, K extends Key>(at: number): KeyedStream<T, K> {
    type Fold = (accumulator: unknown, value: unknown) => unknown
    return this.#handedOut<KeyedStream<T, K>>(at, {
      connect: (other: object) => {
        const add = this.#beside(at, other)
        const isBroadcast = 'kind' in other && other.kind === 'broadcast'
        return (isBroadcast ? withBroadcast(add) : connected(add)) as never
      },
      join: (other) => joined(this.#beside(at, other)),
      intervalJoin: (other, bounds) => intervalJoined(this.#beside(at, other), bounds),
      apply: (transform) => this.#apply(at, transform),
      reduce: (uid, initial, reduce, options) =>
        this.#stream(this.#add(at, { kind: 'reduce', initial, reduce: reduce as Fold, ...options }, uid)),
      process: (uid, process) => this.#sided(this.#add(at, keyedProcessOf(process), uid)),
      aggregate: (uid, aggregate) => this.#stream(this.#add(at, runningOf(aggregate), uid)),
      deduplicate: (uid, { ttl }) => this.#sided(this.#add(at, keyedProcessOf(deduplicating<T>(spanMs(ttl))), uid)),
      sessionize: (uid, gap) => this.#sided(this.#add(at, keyedProcessOf(sessionizing<T>(spanMs(gap))), uid)),
      window: (of: WindowSpec | GlobalWindow) =>
        windowedStream<T>(of, (node, uid) => this.#sided(this.#add(at, node, uid))) as never,
    })
  }
}
