/**
 * A job as a canary runs it: the same user code over the same input, from a savepoint of the job it is to replace, whose outputs go to
 * topics that nobody reads. What would be seen elsewhere (a table, an endpoint, claims that others share, calls) is refused.
 *
 * ```
 *   source ─ filter ─ keyBy ─ reduce ─ sink "sums"          the job
 *   source ─ filter ─ share ─ keyBy ─ reduce ─ sink "sums.canary"     its canary at 5 % of the keys
 * ```
 *
 * A share is one of keys, cut in front of the first `keyBy` of a path. All input is read and decoded, a share of it is processed. Keys
 * outside of it have what the savepoint had, so a larger share begins with a savepoint of its own.
 */
import { WeirError, operatorUid, type Key } from '@weir/model'
import type { ConnectorDescriptor, GraphNode, JobDefinition, LogicalGraph, SinkNode } from '../graph.ts'
import { inShare } from './share.ts'

/** How outputs of a key are compared. `by-key`: how many there are; what is in them depends on the order of partitions, or on a clock. */
export type CanaryCompares = 'by-value' | 'by-key'

/** Where the two sides begin: offsets by partition. */
export interface CanaryTopic {
  readonly shadow: string
  readonly liveFrom: readonly number[]
  readonly shadowFrom: readonly number[]
}

/** All that a comparison has to know, in the settings of the shadow itself: nobody else has to remember it. JSON. */
export interface CanarySettings {
  /** Id of the job that is to be replaced. */
  readonly of: string
  /** Digest of the bundle that is to replace it: what is promoted is what was looked at. */
  readonly build: string
  /** Of `of`: what the shadow started from. */
  readonly savepoint: string
  /** By topic of the job. */
  readonly topics: Readonly<Record<string, CanaryTopic>>
  /** Shadow topics that were made for it, and go with it. */
  readonly made: readonly string[]
  /** Transactions whose output lies behind `liveFrom` and in front of the savepoint: `producer:epoch`. */
  readonly before: readonly string[]
  /** Behind the name of every topic that is written. */
  readonly suffix: string
  /** Uids of operators that call something outside of the job, and may: the canary calls it too. */
  readonly calls: readonly string[]
  /** Above 0, up to 1. */
  readonly share: number
  readonly compares: CanaryCompares
  /** Fields of JSON values, at their top, that are not compared. */
  readonly ignored: readonly string[]
  /** Outputs that have to be compared before a verdict is one. */
  readonly outputsMin: number
}

/** Topics a canary of the job is compared by. Throws as `onCanary`. */
export const comparedTopics = ({ graph }: JobDefinition): readonly string[] => [
  ...new Set(graph.nodes.flatMap((node) => (node.kind === 'sink' ? [topicOf(node.uid, node.descriptor)] : []))),
]

/** Topics that are written beside those: letters of a canary are no letters of the job. */
export const asideTopics = ({ settings }: JobDefinition): readonly string[] =>
  settings.deadLetters === null ? [] : [topicOf('settings.deadLetters', settings.deadLetters)]

/** Throws `CANARY_UNSUPPORTED`, `CANARY_SHARE_UNSUPPORTED` (invalid), naming the operator and what to do. */
export function onCanary(job: JobDefinition, canary: CanarySettings): JobDefinition {
  const { settings } = job
  const { suffix } = canary
  if (settings.commit.scope !== 'epoch') {
    throw unsupported(
      'settings',
      'commits in the scope "continuous", whose output is ahead of every savepoint: try the build with `weir prove`, or give it the scope "epoch"',
    )
  }
  const graph = canary.share < 1 ? sharedGraph(job.graph, canary.share) : job.graph
  return {
    ...job,
    settings: {
      ...settings,
      deadLetters: settings.deadLetters && shadowed('settings.deadLetters', settings.deadLetters, suffix),
      audit: null,
      canary,
    },
    graph: { ...graph, nodes: graph.nodes.map((node) => nodeOn(node, canary)) },
  }
}

function nodeOn(node: GraphNode, { suffix, calls }: CanarySettings): GraphNode {
  const { uid } = node
  switch (node.kind) {
    case 'sink':
      if (node.openEncoder !== undefined)
        throw unsupported(uid, 'registers schemas under the name of its topic: a canary would register others')
      return { ...node, descriptor: shadowed(uid, node.descriptor, suffix) }
    case 'source':
      if (node.descriptor.connector === 'kafka') return node
      throw unsupported(
        uid,
        `reads from ${node.descriptor.connector}: only offsets of Kafka tell how far two jobs have come`,
      )
    case 'idempotent':
      throw unsupported(
        uid,
        `keeps its claims in ${node.claims.store}, where the canary would take them from the job: keep them in state`,
      )
    case 'asyncMap':
      if (calls.includes(uid)) return node
      throw unsupported(
        uid,
        `calls something outside of the job, and the canary would call it again: if that is harmless, say so with --allow-call ${uid}`,
      )
    default:
      return node
  }
}

function topicOf(uid: string, { connector, topic }: ConnectorDescriptor): string {
  if (connector === 'kafka') return String(topic)
  throw unsupported(
    uid,
    `writes to ${connector}, where a canary would be seen: give the job a build whose parameters put a topic there`,
  )
}

const shadowed = (uid: string, descriptor: ConnectorDescriptor, suffix: string): ConnectorDescriptor => ({
  ...descriptor,
  topic: `${topicOf(uid, descriptor)}${suffix}`,
})

// ---- a share of the keys --------------------------------------------------------------------------------------------

/** What is known of the records a node puts out. */
interface Keys {
  /** They have passed a keyBy. */
  readonly shared: boolean
  /** Each is of one key, which is the stream's (`checkState` of the planner). */
  readonly keyed: boolean
}

function sharedGraph({ nodes, edges }: LogicalGraph, share: number): LogicalGraph {
  const inputs = nodes.map((_, i) => edges.filter(([, to]) => to === i).map(([from]) => from))
  const known: Keys[] = []
  const made: GraphNode[] = []
  /** Where a node is now, by where it was. */
  const at: number[] = []
  const links: (readonly [number, number])[] = []
  for (const [i, node] of nodes.entries()) {
    const before = inputs[i]!.map((input) => known[input]!)
    known[i] = keysBehind(node, before)
    let from = inputs[i]!.map((input) => at[input]!)
    if (node.kind === 'keyBy' || node.kind === 'keyedBySource') {
      const uid = operatorUid(`canary.share-${i}`)
      made.push({ kind: 'filter', uid, test: (value) => inShare(node.key(value), share) })
      for (const input of from) links.push([input, made.length - 1])
      from = [made.length - 1]
    }
    made.push(node)
    at[i] = made.length - 1
    for (const input of from) links.push([input, at[i]])
  }
  return { nodes: made, edges: links }
}

/** Throws `CANARY_SHARE_UNSUPPORTED` (invalid) where an output would not tell whose it is. */
function keysBehind(node: GraphNode, before: readonly Keys[]): Keys {
  const shared = before.some((one) => one.shared)
  switch (node.kind) {
    case 'keyBy':
    case 'keyedBySource':
      if (shared) throw mixes(node.uid, 'is behind another keyBy: its keys are made of records of all keys there')
      return { shared: true, keyed: true }
    case 'resumable':
    case 'union':
      return { shared, keyed: false }
    case 'sink': {
      const keyed = before.every((one) => one.keyed)
      if (shared && !(keyed && node.keyOf === undefined && writesText(node)))
        throw mixes(node.uid, 'does not write the key of its stream as text')
      return { shared, keyed }
    }
    default:
      return { shared, keyed: before.every((one) => one.keyed) }
  }
}

const PROBES: readonly Key[] = ['a', 7]
function writesText({ encodeKey }: SinkNode): boolean {
  try {
    return PROBES.every((key) => encodeKey(key) === String(key))
  } catch {
    return false
  }
}

const unsupported = (uid: string, why: string): WeirError =>
  new WeirError({ code: 'CANARY_UNSUPPORTED', kind: 'invalid', uid }, `no canary of this job: "${uid}" ${why}`)
const mixes = (uid: string, why: string): WeirError =>
  new WeirError(
    { code: 'CANARY_SHARE_UNSUPPORTED', kind: 'invalid', uid },
    `"${uid}" ${why}, so no share of the keys says which outputs are to be compared: take all of them with --share 100%`,
  )
