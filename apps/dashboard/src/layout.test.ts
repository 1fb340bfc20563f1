import type { GraphNodeView } from '@weir/job'
import { expect, test } from 'vitest'
import { NODE_WIDTH, placed, told } from './layout.ts'

const node = (uid: string, kind: string, over: Partial<GraphNodeView> = {}): GraphNodeView => ({
  ...{ uid, kind, connector: null, place: null, stage: 0, states: [] },
  ...over,
})

test('records go from left to right, and no node lies on another', () => {
  const nodes = [node('in', 'source'), node('a', 'map'), node('b', 'map'), node('out', 'sink')]
  const edges = [
    ['in', 'a'],
    ['in', 'b'],
    ['a', 'out'],
    ['b', 'out'],
  ].map(([from, to]) => ({ from: from!, to: to!, by: 'chained' as const }))
  const at = new Map(placed({ parallelism: 1, nodes, edges }).map(({ node, x, y }) => [node.uid, { x, y }]))
  for (const { from, to } of edges) expect(at.get(to)!.x).toBeGreaterThan(at.get(from)!.x + NODE_WIDTH)
  expect(at.get('a')!.y).not.toBe(at.get('b')!.y)
})

test.each([
  ['source, kafka: orders', node('in', 'source', { connector: 'kafka', place: 'orders' })],
  ['sink, http', node('out', 'sink', { connector: 'http' })],
  ['reduce: keeps sum', node('sum', 'reduce', { states: ['sum'] })],
  ['filter', node('paid', 'filter')],
])('%s', (said, of) => expect(told(of)).toBe(said))
