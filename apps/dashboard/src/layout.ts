/** Where the nodes of a job's graph stand: sources to the left, sinks to the right. Pure. */
import { Graph, layout } from '@dagrejs/dagre'
import type { GraphNodeView, GraphView } from '@weir/job'

/** As REST has it: `GET jobs/{id}/graph`. */
export type JobGraph = Pick<GraphView, 'parallelism' | 'nodes' | 'edges'>
export interface Placed {
  readonly node: GraphNodeView
  /** Of its upper left corner, px. */
  readonly x: number
  readonly y: number
}

export const NODE_WIDTH = 184
export const NODE_HEIGHT = 72

export function placed({ nodes, edges }: JobGraph): readonly Placed[] {
  const graph = new Graph()
  graph.setGraph({ rankdir: 'LR', nodesep: 18, ranksep: 84 })
  graph.setDefaultEdgeLabel(() => ({}))
  for (const { uid } of nodes) graph.setNode(uid, { width: NODE_WIDTH, height: NODE_HEIGHT })
  for (const { from, to } of edges) graph.setEdge(from, to)
  layout(graph)
  return nodes.map((node) => {
    const { x, y } = graph.node(node.uid) as { x: number; y: number }
    return { node, x: x - NODE_WIDTH / 2, y: y - NODE_HEIGHT / 2 }
  })
}

/** What stands under the name of a node. */
export function told({ kind, connector, place, states }: GraphNodeView): string {
  const what = connector === null ? kind : `${kind}, ${connector}`
  const more = place ?? (states.length > 0 ? `keeps ${states.join(', ')}` : null)
  return more === null ? what : `${what}: ${more}`
}
