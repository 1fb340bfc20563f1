/** The job a simulation runs, and what its output must be: numbered records, keyed sums. */
import { createHash } from 'node:crypto'
import {
  planJob,
  type BroadcastState,
  type ConnectNode,
  type LogicalGraph,
  type Out,
  type ValueState,
  type ExecuteContext,
  type GraphNode,
  type JobDefinition,
  type JobSettings,
  type Plan,
  type ResumableOperator,
} from '@weir/dataflow'
import { operatorUid, type Key } from '@weir/model'

export const IN = 'in'
/** The second source's topic, in shapes with two. */
const MORE = 'more'
export const OUT = 'out'
export const PARALLELISM = 2
export const KEYS = 5
/** Of event time, from record to record. */
const STEP_MS = 50

/**
 * `exchange`: a keyBy between source and sum, so the slices are one pipeline region. `regions`: the topic is partitioned by key
 * already, and each slice is a region of its own. The others have two sources, each with every other record: `union` merges them in
 * front of the keyBy, `forward` in a stage of its own, which only then leads to the keyBy;
 * `connect` sums both up in one operator with two inputs; `broadcast` sums one of them up, and tells every subtask of the other.
 */
export type Shape = 'exchange' | 'regions' | 'broadcast' | TwoSources
export type TwoSources = (typeof TWO_SOURCES)[number]
export const TWO_SOURCES = ['union', 'forward', 'connect'] as const
const isJoined = (shape: Shape): shape is TwoSources => TWO_SOURCES.includes(shape as TwoSources)

export interface Numbered {
  readonly id: number
  readonly key: string
}
/** The accumulator, written to the sink after every record: names the record, and all that the state holds of the key. */
export interface Sum {
  readonly key: string
  readonly count: number
  readonly sum: number
  readonly id: number
}

const keyOf = (id: number): number => (id * 7) % KEYS
export const recordAt = (id: number): Numbered => ({ id, key: `k${keyOf(id)}` })
export const topicsOf = (shape: Shape): readonly string[] =>
  isJoined(shape) || shape === 'broadcast' ? [IN, MORE] : [IN]
/** Where a record is fed. */
export function placeOf(id: number, shape: Shape, parallelism: number): { topic: string; partition: number } {
  const topics = topicsOf(shape)
  const nth = Math.floor(id / topics.length)
  return { topic: topics[id % topics.length]!, partition: (shape === 'regions' ? keyOf(id) : nth) % parallelism }
}

/** Of which records there is an output: what is broadcast is only told. */
export const outputsOf = (records: number, shape: Shape): number[] =>
  Array.from({ length: records }, (_, id) => id).filter(
    (id) => shape !== 'broadcast' || placeOf(id, shape, 1).topic === IN,
  )

const NO_SUM: Sum = { key: '', count: 0, sum: 0, id: -1 }
const added = ({ count, sum }: Sum, { id, key }: Numbered): Sum => ({ key, count: count + 1, sum: sum + id, id })

/** Lets everything through, once. */
class Seen implements ResumableOperator<unknown, unknown, unknown> {
  readonly #ids = new Set<number>()
  prepare(): void {}
  execute(value: unknown, out: ExecuteContext<unknown>): void {
    const { id } = value as Numbered
    if (this.#ids.has(id)) throw new Error(`record ${id} came twice`)
    this.#ids.add(id)
    out.emit(value)
  }
  snapshotState(): unknown[] {
    return [...this.#ids]
  }
  restoreState(ids: readonly unknown[]): void {
    for (const id of ids) this.#ids.add(id as number)
  }
}

const text = (buffer: Buffer, start: number, end: number): unknown => JSON.parse(buffer.toString('utf8', start, end))

/** Every subtask hears every record of the broadcast's partitions once, in their order: the state says which was the last one. */
function inTurn(last: BroadcastState<Key, unknown>, id: number, parallelism: number): void {
  const { partition } = placeOf(id, 'broadcast', parallelism)
  const before = last.get(partition) ?? null
  const expected = id - 2 * parallelism < 0 ? null : id - 2 * parallelism
  if (before !== expected) throw new Error(`partition ${partition}: record ${id} is behind ${String(before)}`)
  last.set(partition, id)
}

/** A random job of this shape: settings within the rules (PROTOCOL B1 holds for some, heals the others). */
export function jobOf(
  settings: JobSettings,
  recordsPerSecond: number,
  onLost: 'heal' | 'fail' = 'heal',
  shape: Shape = 'exchange',
  alignWithinMs: number | null = null,
): { plan: Plan; graphHash: string } {
  const isTimed = settings.checkpoint.mode === 'watermark' || alignWithinMs !== null
  const sources = topicsOf(shape).map((topic, _, { length }): GraphNode => ({
    kind: 'source',
    uid: operatorUid(topic),
    descriptor: { connector: 'log', topic, until: 'latest' },
    decode: text,
    timestamp: isTimed ? (v) => (v as Numbered).id * STEP_MS : null,
    outOfOrderMs: 0,
    ...(alignWithinMs !== null && { alignWithinMs, alignGroup: 'all' }),
    recordsPerSecond: recordsPerSecond / length,
  }))
  const sink: GraphNode = {
    kind: 'sink',
    uid: operatorUid('out'),
    descriptor: { connector: 'log', topic: OUT, onLost },
    encodeKey: String,
    encodeValue: (v) => JSON.stringify(v),
  }
  const job: JobDefinition = {
    ...{ kind: 'weir.job', version: 1, name: 'sums', settings },
    graph: graphOf(shape, sources, sink, settings.parallelism),
  }
  const plan = planJob(job)
  return { plan, graphHash: createHash('sha256').update(plan.canonical).digest('hex') }
}

function graphOf(shape: Shape, sources: readonly GraphNode[], sink: GraphNode, parallelism: number): LogicalGraph {
  if (shape === 'connect') return connected(sources, sink)
  if (shape === 'broadcast') return broadcast(sources, sink, parallelism)
  const union: GraphNode = { kind: 'union', uid: operatorUid('both') }
  const same: GraphNode = { kind: 'resumable', uid: operatorUid('seen'), create: () => new Seen() }
  const between = isJoined(shape) ? [union, ...(shape === 'forward' ? [same] : [])] : []
  const reduce: GraphNode = {
    kind: 'reduce',
    uid: operatorUid('sum'),
    initial: NO_SUM,
    reduce: (a, v) => added(a as Sum, v as Numbered),
  }
  const nodes = [...sources, ...between, keyed(shape === 'regions' ? 'keyedBySource' : 'keyBy'), reduce, sink]
  const line = nodes.slice(sources.length).map((_, i) => [sources.length - 1 + i, sources.length + i] as const)
  const joins = sources.slice(1).map((_, i) => [i, sources.length] as const)
  return { nodes, edges: [...line, ...joins] }
}

const keyed = (kind: 'keyBy' | 'keyedBySource', uid = 'by-key'): GraphNode => ({
  kind,
  uid: operatorUid(uid),
  key: (v) => (v as Numbered).key,
})

/** Where state is the operator's own. */
const SUM_STATE = { sum: { kind: 'value', ttl: null, initial: NO_SUM } } as const
const sum = (context: Parameters<ConnectNode['onLeft']>[0], value: unknown, out: Out<unknown>): void => {
  const state = context.state['sum'] as ValueState<Sum, Sum>
  state.set(added(state.get(), value as Numbered))
  out.emit(state.get())
}

const TWO_INPUTS: LogicalGraph['edges'] = [
  [0, 2],
  [1, 3],
  [2, 4],
  [3, 4],
  [4, 5],
]

function connected(sources: readonly GraphNode[], sink: GraphNode): LogicalGraph {
  const sides = sources.map(({ uid }) => keyed('keyBy', `${uid}-by-key`))
  const connect: GraphNode = {
    ...{ kind: 'connect', uid: operatorUid('sum'), of: { type: 'process' }, timers: {}, onTimer: null },
    ...{ state: SUM_STATE, onLeft: sum, onRight: sum },
  }
  return { nodes: [...sources, ...sides, connect, sink], edges: TWO_INPUTS }
}

function broadcast(sources: readonly GraphNode[], sink: GraphNode, parallelism: number): LogicalGraph {
  const told: GraphNode = {
    ...{ kind: 'withBroadcast', uid: operatorUid('sum'), timers: {}, onTimer: null, onRecord: sum, state: SUM_STATE },
    broadcast: { last: { kind: 'broadcast' } },
    onBroadcast: ({ broadcast }, value) => inTurn(broadcast['last']!, (value as Numbered).id, parallelism),
  }
  const all: GraphNode = { kind: 'broadcast', uid: operatorUid('all') }
  return { nodes: [...sources, keyed('keyBy'), all, told, sink], edges: TWO_INPUTS }
}
