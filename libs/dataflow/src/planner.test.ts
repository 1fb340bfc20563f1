import { operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import type { GraphNode, JobDefinition } from './graph.ts'
import { planJob } from './planner.ts'
import { defaultSettings } from './settings.ts'

const source: GraphNode = {
  kind: 'source',
  uid: operatorUid('in'),
  descriptor: { connector: 'x' },
  decode: null,
  timestamp: null,
  outOfOrderMs: 0,
  recordsPerSecond: null,
}
const keyBy: GraphNode = { kind: 'keyBy', uid: operatorUid('k'), key: String }
const reduce: GraphNode = { kind: 'reduce', uid: operatorUid('r'), initial: 0, reduce: (a) => a }
const sink: GraphNode = {
  kind: 'sink',
  uid: operatorUid('out'),
  descriptor: { connector: 'x' },
  encodeKey: String,
  encodeValue: String,
}
const job = (nodes: GraphNode[], change: Partial<JobDefinition> = {}): JobDefinition => ({
  kind: 'weir.job',
  version: 1,
  name: 'j',
  settings: defaultSettings,
  graph: { nodes, edges: nodes.slice(1).map((_, i) => [i, i + 1] as const) },
  ...change,
})

test('a keyBy cuts the graph: it is computed where records leave and feeds the next stage', () => {
  expect(planJob(job([source, keyBy, reduce, sink])).stages).toEqual([
    { index: 0, head: 0, nodes: [0], outputs: [{ keyBy: 1, stage: 1 }], inputs: [] },
    { index: 1, head: 1, nodes: [2, 3], outputs: [], inputs: [0] },
  ])
})

test('the canonical plan does not depend on functions or on the order of properties', () => {
  const a = planJob(job([source, keyBy, reduce, sink])).canonical
  const b = planJob(
    job([{ ...source, descriptor: { ...source.descriptor } }, { ...keyBy, key: () => 1 }, reduce, sink]),
  ).canonical
  expect(a).toBe(b)
})

test.each([
  ['JOB_NAME_INVALID', job([source, sink], { name: 'Not A Name' })],
  ['GRAPH_NO_SOURCE', job([])],
  ['GRAPH_NO_SINK', job([source])],
  ['GRAPH_DUPLICATE_UID', job([source, { ...sink, uid: source.uid }])],
  ['GRAPH_UNKEYED_STATE', job([source, reduce, sink])],
  [
    'GRAPH_NO_SINK',
    job([source, sink, { ...keyBy }], {
      graph: {
        nodes: [source, keyBy, sink],
        edges: [
          [0, 1],
          [0, 2],
        ],
      },
    }),
  ],
  [
    'GRAPH_INPUTS',
    job([], {
      graph: {
        nodes: [source, { ...source, uid: operatorUid('b') }, sink],
        edges: [
          [0, 2],
          [1, 2],
        ],
      },
    }),
  ],
  ['GRAPH_CYCLE', job([], { graph: { nodes: [source, sink], edges: [[1, 0]] } })],
])('%s is refused', (code, definition) => {
  expect(() => planJob(definition)).toThrow(expect.objectContaining({ code, kind: 'invalid' }) as Error)
})

test('B1: a transaction timeout that cannot hold every tolerated epoch and a recovery is refused with the sum', () => {
  const settings = { ...defaultSettings, transactionTimeoutMs: 699_999 }
  expect(() => planJob(job([source, sink], { settings }))).toThrow(/at least 700000/)
})
