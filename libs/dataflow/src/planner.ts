/** Cuts a graph into stages at every keyBy, and refuses graphs that cannot run, saying what to change. */
import { WeirError, isJobId } from '@weir/model'
import { canonicalJson } from './canonical.ts'
import type { GraphNode, JobDefinition } from './graph.ts'
import type { Plan, PlanSummary, Stage } from './plan.ts'
import { validateSettings } from './settings.ts'

/**
 * Throws WeirError (invalid): `JOB_NAME_INVALID`, `SETTINGS_INVALID`, `GRAPH_NO_SOURCE`, `GRAPH_NO_SINK`,
 * `GRAPH_DUPLICATE_UID`, `GRAPH_CYCLE`, `GRAPH_UNKEYED_STATE`, `GRAPH_DEAD_END`, `GRAPH_MERGE`.
 */
export function planJob(job: JobDefinition): Plan {
  if (!isJobId(job.name)) {
    throw refuse('JOB_NAME_INVALID', `"${job.name}" is no job name: use a-z, 0-9 and "-", at most 63 characters`, {})
  }
  validateSettings(job.settings)
  const { nodes, edges } = job.graph
  validateShape(nodes, edges)

  const before = nodes.map((_, i) => edges.filter(([, to]) => to === i).map(([from]) => from))
  // A stage begins at a source or at a keyBy; every other node runs in the stage of what feeds it.
  const heads = nodes.flatMap((node, i) => (node.kind === 'source' || node.kind === 'keyBy' ? [i] : []))
  const stageOf: number[] = []
  nodes.forEach((_, i) => {
    const head = heads.indexOf(i)
    stageOf[i] = head >= 0 ? head : stageOf[before[i]![0]!]!
  })
  const stages: Stage[] = heads.map((head, index) => ({
    index,
    head,
    nodes: nodes.flatMap((_, i) => (stageOf[i] === index ? [i] : [])),
    outputs: heads.flatMap((keyBy, stage) =>
      before[keyBy]!.some((from) => stageOf[from] === index) ? [{ keyBy, stage }] : [],
    ),
    inputs: [...new Set(before[head]!.map((from) => stageOf[from]!))],
  }))

  nodes.forEach((node, i) => {
    if ((node.kind === 'reduce' || node.kind === 'window') && nodes[heads[stageOf[i]!]!]!.kind !== 'keyBy') {
      throw refuse('GRAPH_UNKEYED_STATE', `${node.kind} "${node.uid}" keeps state by key: put a keyBy before it`, { uid: node.uid })
    }
  })
  const summary = summaryOf(job, stageOf, stages.length)
  return { job, stages, summary, canonical: canonicalJson(summary) }
}

function validateShape(nodes: readonly GraphNode[], edges: JobDefinition['graph']['edges']): void {
  if (!nodes.some((n) => n.kind === 'source')) throw refuse('GRAPH_NO_SOURCE', 'the job reads nothing: begin with flow.from(…)', {})
  if (!nodes.some((n) => n.kind === 'sink')) throw refuse('GRAPH_NO_SINK', 'the job writes nothing: end a stream with .to(…)', {})
  const seen = new Set<string>()
  for (const { uid } of nodes) {
    if (seen.has(uid)) throw refuse('GRAPH_DUPLICATE_UID', `two operators are called "${uid}": give one another uid`, { uid })
    seen.add(uid)
  }
  for (const [from, to] of edges) {
    if (!(from < to) || nodes[from] === undefined || nodes[to] === undefined) {
      throw refuse('GRAPH_CYCLE', `edge ${from} → ${to} does not go forward`, { from, to })
    }
  }
  nodes.forEach((node, i) => {
    const inputs = edges.filter(([, to]) => to === i).length
    if (node.kind !== 'source' && inputs !== 1) {
      throw refuse('GRAPH_MERGE', `"${node.uid}" has ${inputs} inputs; this version runs operators with exactly one`, { uid: node.uid, inputs })
    }
    if (node.kind !== 'sink' && !edges.some(([from]) => from === i)) {
      throw refuse('GRAPH_DEAD_END', `what "${node.uid}" emits goes nowhere: add .to(…) or remove it`, { uid: node.uid })
    }
  })
}

/** The part of a node that is data: functions are left out, their presence and names of aggregates are not. */
function configOf(node: GraphNode): unknown {
  switch (node.kind) {
    case 'source':
      return { descriptor: node.descriptor, outOfOrderMs: node.outOfOrderMs, recordsPerSecond: node.recordsPerSecond }
    case 'sink':
      return { descriptor: node.descriptor }
    case 'window':
      return { window: node.window, aggregate: node.aggregateName, initial: node.aggregate.initial }
    case 'reduce':
      return { initial: node.initial }
    default:
      return {}
  }
}

const summaryOf = (job: JobDefinition, stageOf: readonly number[], stages: number): PlanSummary => ({
  version: 1,
  name: job.name,
  settings: job.settings,
  nodes: job.graph.nodes.map((node, i) => ({ uid: node.uid, kind: node.kind, config: configOf(node), stage: stageOf[i]! })),
  edges: job.graph.edges,
  stages,
  sources: job.graph.nodes.flatMap((n) => (n.kind === 'source' ? [n.uid] : [])),
  sinks: job.graph.nodes.flatMap((n) => (n.kind === 'sink' ? [n.uid] : [])),
})

const refuse = (code: string, message: string, facts: Record<string, unknown>): WeirError =>
  new WeirError({ ...facts, code, kind: 'invalid' }, message)
