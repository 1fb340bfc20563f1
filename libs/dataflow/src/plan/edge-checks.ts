/** What may stand before and behind what in a graph. */
import { checkCallsPerSplit } from '../async-map-plan.ts'
import type { ConnectNode, GraphNode, LogicalGraph, NodeKind, WithBroadcastNode } from '../graph.ts'
import type { Stage } from '../plan.ts'
import type { Links } from '../stages.ts'
import { refused } from './refused.ts'

/** Two or more, of a union. */
const TWO_INPUTS: ReadonlySet<NodeKind> = new Set(['union', 'connect', 'withBroadcast'])

export function checkEdges({ nodes, edges }: LogicalGraph): Links {
  const inputs: number[][] = nodes.map(() => [])
  const outputs: number[][] = nodes.map(() => [])
  for (const [from, to] of edges) {
    if (nodes[from] === undefined || nodes[to] === undefined) {
      throw refused('GRAPH_INPUTS', { from, to }, [`an edge [${from}, ${to}] names a node that does not exist.`])
    }
    if (from >= to) {
      throw refused('GRAPH_CYCLE', { from: nodes[from].uid, to: nodes[to].uid }, [
        `"${nodes[from].uid}" leads back to "${nodes[to].uid}": records would go round for ever. A graph has no cycles;`,
        'write to a topic and read it in another job instead.',
      ])
    }
    outputs[from]!.push(to)
    inputs[to]!.push(from)
  }
  for (const [i, node] of nodes.entries()) {
    const { length } = inputs[i]!
    const expected = node.kind === 'source' ? 0 : TWO_INPUTS.has(node.kind) ? 2 : 1
    if (node.kind === 'union' ? length < expected : length !== expected) {
      throw refused('GRAPH_INPUTS', { uid: node.uid, kind: node.kind, inputs: length, expected }, [
        `${node.kind} "${node.uid}" has ${length} inputs, expected ${expected}: a source has none, a union two or more,`,
        'a connect or join two, everything else exactly one. Put a union in front of it.',
      ])
    }
    if (node.kind === 'withBroadcast')
      checkBroadcast(
        node,
        inputs[i]!.map((input) => nodes[input]!),
      )
    else if (inputs[i]!.some((input) => nodes[input]!.kind === 'broadcast')) {
      throw refused('GRAPH_INPUTS', { uid: node.uid, kind: node.kind }, [
        `${node.kind} "${node.uid}" is behind a broadcast; only a stream that is connected with it can be:`,
        'stream.connect(rules.broadcast()).',
      ])
    }
    if (node.kind === 'connect')
      checkOperands(
        node,
        inputs[i]!.map((input) => nodes[input]!),
      )
  }
  return { inputs, outputs }
}

/** Both streams must come to where the key lives. */
function checkOperands({ uid }: ConnectNode, operands: readonly GraphNode[]): void {
  for (const { kind, uid: operand } of operands) {
    if (kind === 'keyBy') continue
    const code = kind === 'keyedBySource' ? 'GRAPH_KEYED_BY_SOURCE' : 'GRAPH_UNKEYED_STATE'
    throw refused(code, { uid, operand, kind }, [
      `connect or join "${uid}" has the ${kind} "${operand}" for an input; both must be a keyBy, which brings equal keys to one`,
      'place: write .keyBy(…) there.',
    ])
  }
}

function checkBroadcast({ uid, state, timers }: WithBroadcastNode, [stream, told]: readonly GraphNode[]): void {
  const { kind } = stream!
  if (told!.kind !== 'broadcast' || kind === 'broadcast') {
    throw refused('GRAPH_INPUTS', { uid, kinds: [kind, told!.kind] }, [
      `"${uid}" must have a stream and a broadcast for its inputs, in this order: stream.connect(rules.broadcast()).`,
    ])
  }
  if (kind === 'keyedBySource') {
    throw refused('GRAPH_KEYED_BY_SOURCE', { uid, kind }, [
      `"${uid}" keeps its state by key and keyedBySource "${stream!.uid}" by partition: write .keyBy(…) there.`,
    ])
  }
  if (kind !== 'keyBy' && Object.keys({ ...state, ...timers }).length > 0) {
    throw refused('GRAPH_UNKEYED_STATE', { uid, kind }, [
      `"${uid}" has state or timers by key and no keyBy comes right before it: write .keyBy(…).connect(…).`,
    ])
  }
}

export function checkEnds(nodes: readonly GraphNode[], links: Links): void {
  if (!nodes.some((node) => node.kind === 'source')) {
    throw refused('GRAPH_NO_SOURCE', {}, ['the job reads nothing: begin with flow.from(…).'])
  }
  if (!nodes.some((node) => node.kind === 'sink')) {
    throw refused('GRAPH_NO_SINK', {}, ['the job writes nothing: end a stream with .to(…).'])
  }
  for (const [i, node] of nodes.entries()) {
    const leads = links.outputs[i]!.length > 0
    if (node.kind === 'sink' && leads) {
      throw refused('GRAPH_INPUTS', { uid: node.uid }, [`sink "${node.uid}" has an output; a sink is an end.`])
    }
    if (node.kind !== 'sink' && !leads) {
      throw refused('GRAPH_NO_SINK', { uid: node.uid, kind: node.kind }, [
        `${node.kind} "${node.uid}" leads nowhere: end it with .to(…), or remove it.`,
      ])
    }
  }
}

export function checkState(
  nodes: readonly GraphNode[],
  links: Links,
  stages: readonly Stage[],
  stageOf: readonly number[],
): void {
  const keyed: boolean[] = []
  for (const [i, node] of nodes.entries()) {
    const input = links.inputs[i]![0]
    const before = input !== undefined && keyed[input]!
    // What a custom operator or a union emits may be of many records: it is not keyed.
    const passesKeys = node.kind !== 'resumable' && node.kind !== 'union'
    keyed[i] = node.kind === 'keyBy' || node.kind === 'keyedBySource' || (before && passesKeys)
    if (node.kind === 'keyedBySource' && stages[stageOf[i]!]!.inputs.length > 0) {
      throw refused('GRAPH_KEYED_BY_SOURCE', { uid: node.uid }, [
        `keyedBySource "${node.uid}" comes behind a keyBy or a union of several sources, which have taken the records away from`,
        'their partition: write .keyBy(…) here, or move the keyedBySource before it.',
      ])
    }
    if (['reduce', 'window', 'keyedProcess'].includes(node.kind) && !keyed[i]) {
      throw refused('GRAPH_UNKEYED_STATE', { uid: node.uid, kind: node.kind }, [
        `${node.kind} "${node.uid}" keeps state by key and no keyBy comes before it: write .keyBy(…) first, or .keyedBySource(…).`,
      ])
    }
  }
}

/** Where state is kept per split, every operator is there once per split; one with state of its own is there once. */
export function checkPerSplit(nodes: readonly GraphNode[], stage: Stage): void {
  const inStage = stage.nodes.map((i) => nodes[i]!)
  checkCallsPerSplit(inStage)
  const [own, perSplit] = [inStage.find((n) => n.kind === 'resumable'), inStage.find((n) => n.kind === 'keyedBySource')]
  if (own === undefined || perSplit === undefined) return
  throw refused('GRAPH_KEYED_BY_SOURCE', { uid: own.uid, keyedBySource: perSplit.uid }, [
    `operator "${own.uid}" has one state for all partitions of its subtask, and keyedBySource "${perSplit.uid}" keeps`,
    'everything of its stage per partition: write .keyBy(…) there, or make two jobs of it.',
  ])
}
