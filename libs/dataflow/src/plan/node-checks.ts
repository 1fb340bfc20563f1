/** What a node of a graph must be, whatever stands beside it. */
import { WeirError } from '@weir/model'
import { checkAsyncMap } from '../async-map-plan.ts'
import { checkIdempotent } from '../claim-node.ts'
import type { ConnectNode, GraphNode, KeyedProcessNode, SourceNode, WithBroadcastNode } from '../graph.ts'
import { rateLimitOf, rateProblem } from '../rate.ts'
import { statesOf } from '../state-schema.ts'
import { checkWindow } from '../window.ts'
import { refused } from './refused.ts'

/** Names in object keys, transactional ids and consumer groups: bounded, and safe in all of them. */
const UID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** Rows of its own make the engine, with other characters: `name[key]`, `name.touched`, `@event[]`. */
const STATE_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/

/** A graph somebody wrote by hand is far smaller; a loop that builds one for ever is stopped here. */
const GRAPH_NODES_MAX = 1_000

/** Farther apart in event time records are not joined. */
const JOIN_BOUND_MS_MAX = 10 * 366 * 86_400_000

/** Shorter, a poll that waits for its server would make a split idle. */
const IDLE_AFTER_MS_MIN = 100

export function checkNodes(nodes: readonly GraphNode[]): void {
  if (nodes.length > GRAPH_NODES_MAX) {
    throw refused('GRAPH_TOO_LARGE', { nodes: nodes.length, bound: GRAPH_NODES_MAX }, [
      `the graph has ${nodes.length} nodes, more than ${GRAPH_NODES_MAX}: is a stream built in a loop?`,
    ])
  }
  const seen = new Map<string, number>()
  for (const [i, node] of nodes.entries()) {
    if (!UID.test(node.uid)) {
      throw refused('GRAPH_UID_INVALID', { uid: node.uid }, [
        `uid ${JSON.stringify(node.uid)} of a ${node.kind}: use 1 to 63 of A-Z, a-z, 0-9, ".", "_", "-", beginning with a`,
        'letter or digit.',
      ])
    }
    const other = seen.get(node.uid)
    if (other !== undefined) {
      throw refused('GRAPH_DUPLICATE_UID', { uid: node.uid, kinds: [nodes[other]!.kind, node.kind] }, [
        `two operators are called "${node.uid}" (a ${nodes[other]!.kind} and a ${node.kind}). State and transactions`,
        'are found again by uid: give one of them another uid.',
      ])
    }
    seen.set(node.uid, i)
    checkNode(node)
  }
}

function checkNode(node: GraphNode): void {
  const invalid = (text: string): WeirError =>
    refused('GRAPH_NODE_INVALID', { uid: node.uid, kind: node.kind }, [`${node.kind} "${node.uid}": ${text}`])
  if (node.kind === 'window') checkWindow(node)
  if (node.kind === 'keyedProcess' || node.kind === 'connect' || node.kind === 'withBroadcast')
    checkKeyedProcess(node, invalid)
  if (node.kind === 'connect') checkJoin(node, invalid)
  if (node.kind === 'asyncMap') checkAsyncMap(node, invalid)
  if (node.kind === 'idempotent') checkIdempotent(node, invalid)
  if (node.kind === 'source') {
    if (!(Number.isSafeInteger(node.outOfOrderMs) && node.outOfOrderMs >= 0)) {
      throw invalid(`outOfOrderMs is ${node.outOfOrderMs}; it must be a whole number of milliseconds, 0 or more.`)
    }
    checkSourceTime(node, invalid)
    const problem = rateProblem(rateLimitOf(node))
    if (problem !== null) throw invalid(problem)
  }
  for (const { name: state, schema } of statesOf(node)) {
    if (schema === null) continue
    const { name, since } = schema
    if (!UID.test(name) || !(Number.isSafeInteger(since) && since > 0)) {
      throw refused('STATE_SCHEMA_INVALID', { uid: node.uid, state, name, since }, [
        `the schema of state "${state}" of ${node.kind} "${node.uid}" is called ${JSON.stringify(name)} and begins at version ${since}: use 1 to 63 of`,
        'A-Z, a-z, 0-9, ".", "_", "-" for its name and a whole number above 0 for its first version.',
      ])
    }
  }
}

function checkSourceTime(node: SourceNode, invalid: (text: string) => WeirError): void {
  const { idleAfterMs: idle = null, alignWithinMs: align = null, alignGroup: group = null } = node
  if (idle !== null && !(Number.isFinite(idle) && idle >= IDLE_AFTER_MS_MIN)) {
    throw invalid(`idleAfter is ${idle} ms; it must be ${IDLE_AFTER_MS_MIN} ms or more.`)
  }
  if (align !== null && !(Number.isFinite(align) && align > 0)) {
    throw invalid(`alignWithin is ${align} ms; it must be above 0.`)
  }
  if (group !== null && (align === null || typeof group !== 'string' || group === '')) {
    throw invalid(
      `alignGroup is ${JSON.stringify(group)}; it is the name of sources that wait for each other, and says nothing without alignWithin.`,
    )
  }
}

function checkKeyedProcess(
  node: KeyedProcessNode | ConnectNode | WithBroadcastNode,
  invalid: (text: string) => WeirError,
): void {
  const broadcast = node.kind === 'withBroadcast' ? node.broadcast : {}
  for (const name of Object.keys({ ...node.state, ...node.timers, ...broadcast })) {
    if (!STATE_NAME.test(name)) {
      throw invalid(
        `"${name}" names a state or timer; use 1 to 63 of A-Z, a-z, 0-9, "_", "-", beginning with a letter.`,
      )
    }
  }
  for (const [name, { ttl }] of Object.entries(node.state)) {
    if (ttl !== null && !(Number.isSafeInteger(ttl.ms) && ttl.ms > 0)) {
      throw invalid(`the ttl of state "${name}" is ${ttl.ms} ms; it must be a whole number above 0.`)
    }
  }
  if (Object.keys(node.timers).length > 0 && node.onTimer === null) {
    throw invalid('it has timers and no onTimer: nobody would hear them.')
  }
}

function checkJoin({ of }: ConnectNode, invalid: (text: string) => WeirError): void {
  if (of.type === 'interval-join') {
    const { lowerMs, upperMs } = of
    if (![lowerMs, upperMs].every((ms) => Number.isSafeInteger(ms) && Math.abs(ms) <= JOIN_BOUND_MS_MAX))
      throw invalid(`its bounds are ${lowerMs} and ${upperMs} ms; each must be a whole number of at most 10 years.`)
    if (lowerMs > upperMs) throw invalid(`its lower bound, ${lowerMs} ms, is above the upper one, ${upperMs} ms.`)
  }
  if (of.type === 'window-join') {
    const { sizeMs, slideMs } = of.window
    if (![sizeMs, slideMs].every((ms) => Number.isSafeInteger(ms) && ms > 0))
      throw invalid(`its window's size is ${sizeMs} ms, its slide ${slideMs} ms; both must be whole numbers above 0.`)
  }
}
