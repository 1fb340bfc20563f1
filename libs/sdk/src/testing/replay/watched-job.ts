/**
 * A job as it is replayed: the same operators, and its functions tell that they were called. Side outputs that nobody takes are
 * taken, so that what goes into them is seen; calls outside are left out unless they are allowed.
 */
import {
  sidesOf,
  type AsyncMapNode,
  type FlatMapNode,
  type GraphNode,
  type JobDefinition,
  type NodeKind,
  type SideOutputNode,
  type SinkNode,
  type SourceNode,
} from '@weir/dataflow'
import { operatorUid } from '@weir/model'
import { encodeJson } from '../../codecs/json.ts'
import { entered } from './entered.ts'

/** A function of the job that was called for the record. */
export interface Step {
  readonly operator: string
  /** As it stands in the node: `map`, `key`, `onRecord`… */
  readonly call: string
  /** Undefined: nothing, or nothing that could be shown without changing it (a promise, an iterator). */
  readonly returned: unknown
  /** What it threw; null: nothing. */
  readonly threw: string | null
}

export interface Watch {
  /** Called before a function of the job: does a debugger stop there? */
  stops(): boolean
  told(step: Step): void
  /** A call that was not made. Null: calls are made. */
  readonly suppressed: ((operator: string, value: unknown) => void) | null
}

type Call = (this: unknown, ...args: readonly unknown[]) => unknown

/** Where functions of the job stand in a node. Codecs are not among them: they are called where nothing can be seen of a record. */
const FUNCTIONS: Partial<Record<NodeKind, readonly string[]>> = {
  source: ['timestamp'],
  filter: ['test'],
  map: ['map'],
  flatMap: ['flatMap'],
  asyncMap: ['call'],
  idempotent: ['claimOf'],
  keyBy: ['key'],
  keyedBySource: ['key'],
  reduce: ['reduce', 'result'],
  window: ['process'],
  keyedProcess: ['onRecord', 'onTimer'],
  connect: ['onLeft', 'onRight', 'onTimer'],
  withBroadcast: ['onRecord', 'onBroadcast', 'onTimer'],
}
const OF_AGGREGATES = ['add', 'merge', 'result']

/** A side output that only a replay takes: its sink's uid, and its name for people. */
export interface TakenSide {
  readonly sink: string
  readonly name: string
}

export interface WatchedJob {
  readonly job: JobDefinition
  readonly sides: readonly TakenSide[]
}

export function watchedJob(job: JobDefinition, watch: Watch): WatchedJob {
  const nodes = job.graph.nodes.map((node) => watchedNode(node, watch))
  const edges = [...job.graph.edges]
  const sides: TakenSide[] = []
  const connector = String(job.settings.deadLetters?.['connector'] ?? 'log') // dead letters pass it by like any sink
  for (const [i, node] of job.graph.nodes.entries()) {
    const isTaken = (side: string): boolean =>
      edges.some(([from, to]) => from === i && sideOf(job.graph.nodes[to]) === side)
    for (const side of sidesOf(node).filter((name) => !isTaken(name))) {
      const name = `${node.uid}.${side}`
      const uid = operatorUid(`weir-debug-side-${sides.length}`)
      const sink = operatorUid(`${uid}-out`)
      edges.push([i, nodes.push(taking(uid, side)) - 1])
      edges.push([nodes.length - 1, nodes.push(showing(sink, { connector, topic: name })) - 1])
      sides.push({ sink, name })
    }
  }
  return { job: { ...job, graph: { nodes, edges } }, sides }
}

const sideOf = (node: GraphNode | undefined): string | null => (node?.kind === 'sideOutput' ? node.side : null)
const taking = (uid: SideOutputNode['uid'], side: string): SideOutputNode => ({ kind: 'sideOutput', uid, side })
const showing = (uid: SinkNode['uid'], descriptor: SinkNode['descriptor']): SinkNode => ({
  ...{ kind: 'sink', uid, descriptor },
  encodeKey: (key) => (key === null ? null : String(key)),
  encodeValue: encodeJson,
})

function watchedNode(node: GraphNode, watch: Watch): GraphNode {
  if (node.kind === 'asyncMap' && watch.suppressed !== null) return suppressedCall(node, watch.suppressed)
  const functions = watchedFunctions(node, FUNCTIONS[node.kind] ?? [], node.uid, watch)
  if (node.kind === 'window') {
    const aggregate = { ...node.aggregate, ...watchedFunctions(node.aggregate, OF_AGGREGATES, node.uid, watch) }
    return { ...node, ...functions, aggregate }
  }
  // Neither a rate nor a slow partition holds one record up.
  const unpaced: Partial<SourceNode> =
    node.kind === 'source' ? { recordsPerSecond: null, alignWithinMs: null, alignGroup: null } : {}
  return { ...node, ...unpaced, ...functions } as GraphNode
}

/** The record comes no further: what the call would have answered nobody knows. */
const suppressedCall = (
  { uid }: AsyncMapNode,
  suppressed: (operator: string, value: unknown) => void,
): FlatMapNode => ({
  ...{ kind: 'flatMap', uid },
  flatMap: (value) => {
    suppressed(uid, value)
    return []
  },
})

function watchedFunctions(
  of: object,
  names: readonly string[],
  operator: string,
  watch: Watch,
): Readonly<Record<string, Call>> {
  const found = names.flatMap((name) => {
    const call = (of as Readonly<Record<string, unknown>>)[name]
    return typeof call === 'function' ? [[name, watched(call as Call, operator, name, watch)] as const] : []
  })
  return Object.fromEntries(found)
}

function watched(call: Call, operator: string, name: string, watch: Watch): Call {
  const watching: Call = function (this: unknown, ...args) {
    try {
      const returned = entered(() => call.apply(this, [...args]), watch.stops())
      watch.told({ operator, call: name, returned: shown(returned), threw: null })
      return returned
    } catch (error) {
      watch.told({ operator, call: name, returned: undefined, threw: String(error) })
      throw error
    }
  }
  // Whether a function looks at its second parameter is seen by its length.
  return Object.defineProperty(watching, 'length', { value: call.length })
}

/** An iterator can be walked once, and a promise is its stage's to wait for. */
const shown = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && ('then' in value || ('next' in value && Symbol.iterator in value))
    ? undefined
    : value
