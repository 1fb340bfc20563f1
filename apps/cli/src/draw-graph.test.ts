import type { GraphNodeView, GraphView } from '@weir/job'
import { expect, test } from 'vitest'
import { drawGraph } from './draw-graph.ts'

const node = (uid: string, kind: string, over: Partial<GraphNodeView> = {}): GraphNodeView => ({
  ...{ uid, kind, connector: null, place: null, stage: 0, states: [] },
  ...over,
})
const kafka = (place: string): Partial<GraphNodeView> => ({ connector: 'kafka', place })

test('a tree from each source; a join is drawn once, exchanges are double', () => {
  const graph: GraphView = {
    ...{ name: 'pay', parallelism: 2 },
    nodes: [
      node('orders', 'source', kafka('orders')),
      node('fees', 'source', kafka('fees')),
      node('by-user', 'keyBy', { stage: 1 }),
      node('join', 'join', { stage: 1, states: ['left', 'right'] }),
      node('out', 'sink', { ...kafka('paid'), stage: 1 }),
      node('late', 'sink', { connector: 'http', stage: 1 }),
    ],
    edges: [
      { from: 'orders', to: 'by-user', by: 'exchange' },
      { from: 'by-user', to: 'join', by: 'chained' },
      { from: 'fees', to: 'join', by: 'exchange' },
      { from: 'join', to: 'out', by: 'chained' },
      { from: 'join', to: 'late', by: 'chained' },
    ],
  }
  expect(drawGraph(graph)).toBe(
    [
      'pay, parallelism 2',
      'orders (source, kafka orders)',
      '╘═ by-user (keyBy)',
      '   └─ join (join) [left, right]',
      '      ├─ out (sink, kafka paid)',
      '      └─ late (sink, http)',
      'fees (source, kafka fees)',
      '╘═ → join',
      '═ to the subtask where the key lives, or to all',
    ].join('\n'),
  )
})
