/** A job's graph as text: a tree from each source; what several lead to is drawn once, and named where the others do. */
import type { GraphEdgeView, GraphNodeView, GraphView } from '@weir/job'

/** By how records go there: a call in the same chain, or to another subtask. */
const TWIGS = { chained: ['├─ ', '└─ '], exchange: ['╞═ ', '╘═ '] } as const

export function drawGraph({ name, parallelism, nodes, edges }: GraphView): string {
  const byUid = new Map(nodes.map((node) => [node.uid, node]))
  const outOf = (uid: string): readonly GraphEdgeView[] => edges.filter(({ from }) => from === uid)
  const drawn = new Set<string>()
  const lines = [`${name}, parallelism ${parallelism}`]
  const draw = (uid: string, twig: string, indent: string): void => {
    const again = drawn.has(uid)
    lines.push(`${twig}${again ? `→ ${uid}` : label(byUid.get(uid)!)}`)
    if (again) return
    drawn.add(uid)
    const edges = outOf(uid)
    for (const [i, { to, by }] of edges.entries()) {
      const isLast = i === edges.length - 1
      draw(to, `${indent}${TWIGS[by][isLast ? 1 : 0]}`, `${indent}${isLast ? '   ' : '│  '}`)
    }
  }
  const heads = nodes.filter(({ uid }) => edges.every(({ to }) => to !== uid))
  for (const { uid } of heads) draw(uid, '', '')
  if (edges.some(({ by }) => by === 'exchange')) lines.push('═ to the subtask where the key lives, or to all')
  return lines.join('\n')
}

function label({ uid, kind, connector, place, states }: GraphNodeView): string {
  const where = connector === null ? kind : `${kind}, ${connector}${place === null ? '' : ` ${place}`}`
  const kept = states.length === 0 ? '' : ` [${states.join(', ')}]`
  return `${uid} (${where})${kept}`
}
