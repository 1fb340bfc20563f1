/** What the tests of the planner plan: nodes of every kind, and jobs made of them. */
import { operatorUid } from '@weir/model'
import type { GraphNode, JobDefinition, KeyedProcessNode, LogicalGraph } from './graph.ts'
import { defaultSettings } from './settings.ts'

export const node = {
  source: (uid: string): GraphNode => ({
    kind: 'source',
    uid: operatorUid(uid),
    descriptor: { connector: 'kafka', topic: uid },
    decode: () => null,
    timestamp: null,
    outOfOrderMs: 0,
    recordsPerSecond: null,
  }),
  filter: (uid: string): GraphNode => ({ kind: 'filter', uid: operatorUid(uid), test: () => true }),
  keyBy: (uid: string): GraphNode => ({ kind: 'keyBy', uid: operatorUid(uid), key: () => 'k' }),
  keyedBySource: (uid: string): GraphNode => ({ kind: 'keyedBySource', uid: operatorUid(uid), key: () => 'k' }),
  reduce: (uid: string, initial: unknown = 0): GraphNode => ({
    kind: 'reduce',
    uid: operatorUid(uid),
    initial,
    reduce: (a) => a,
  }),
  window: (uid: string, sizeMs = 10_000): GraphNode => ({
    kind: 'window',
    uid: operatorUid(uid),
    window: { type: 'tumbling', sizeMs },
    aggregate: { initial: 0, add: (a) => a },
    aggregateName: 'count',
  }),
  resumable: (uid: string): GraphNode => ({ kind: 'resumable', uid: operatorUid(uid), create: () => null as never }),
  process: (uid: string, over: Partial<KeyedProcessNode> = {}): GraphNode => ({
    ...{ kind: 'keyedProcess', uid: operatorUid(uid), state: {}, timers: {}, onRecord: () => {}, onTimer: () => {} },
    ...over,
  }),
  sink: (uid: string): GraphNode => ({
    kind: 'sink',
    uid: operatorUid(uid),
    descriptor: { topic: uid, connector: 'kafka' },
    encodeKey: () => null,
    encodeValue: () => null,
  }),
}
export const jobOf = (
  nodes: readonly GraphNode[],
  edges: LogicalGraph['edges'],
  over: Partial<JobDefinition> = {},
): JobDefinition => ({
  kind: 'weir.job',
  version: 1,
  name: 'settlement',
  settings: defaultSettings,
  graph: { nodes, edges },
  ...over,
})

/** Each node behind the one before. */
export const line = (...nodes: GraphNode[]): JobDefinition =>
  jobOf(
    nodes,
    nodes.slice(1).map((_, i) => [i, i + 1]),
  )

/** orders → paid → by-user → balance → balances, and by-user → per-10s → counts. */
export const settlement = (): JobDefinition =>
  jobOf(
    [
      node.source('orders'),
      node.filter('paid'),
      node.keyBy('by-user'),
      node.reduce('balance'),
      node.sink('balances'),
      node.window('per-10s'),
      node.sink('counts'),
    ],
    [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
      [2, 5],
      [5, 6],
    ],
  )

export const withDeadLetters = (job: JobDefinition, connector = 'kafka', topic: unknown = 'dead'): JobDefinition => ({
  ...job,
  settings: { ...job.settings, deadLetters: { connector, topic } },
})
