import { expect, test } from 'vitest'
import type { GraphNode, JobDefinition } from './graph.ts'
import { thrown } from './operators/fixture.ts'
import { jobOf, line, node, settlement } from './planner.fixture.ts'
import { planJob } from './planner.ts'
import { defaultSettings } from './settings.ts'

const source = node.source('orders')
const sink = node.sink('out')
test.each<[string, string, JobDefinition, Record<string, unknown>]>([
  ['a name that cannot be an id', 'JOB_NAME_INVALID', { ...settlement(), name: 'Not A Name' }, { name: 'Not A Name' }],
  ['bad settings', 'SETTINGS_INVALID', { ...settlement(), settings: { ...defaultSettings, parallelism: 0 } }, {}],
  ['an empty graph', 'GRAPH_NO_SOURCE', jobOf([], []), {}],
  ['no sink', 'GRAPH_NO_SINK', jobOf([source], []), {}],
  [
    'a branch that leads nowhere',
    'GRAPH_NO_SINK',
    jobOf(
      [source, sink, node.filter('f')],
      [
        [0, 1],
        [0, 2],
      ],
    ),
    { uid: 'f' },
  ],
  ['one uid twice', 'GRAPH_DUPLICATE_UID', line(source, node.sink('orders')), { uid: 'orders' }],
  ['a uid with a slash', 'GRAPH_UID_INVALID', line(source, node.sink('a/b')), { uid: 'a/b' }],
  ['state without a keyBy', 'GRAPH_UNKEYED_STATE', line(source, node.window('w'), sink), { uid: 'w' }],
  [
    'a cycle',
    'GRAPH_CYCLE',
    jobOf(
      [source, node.filter('f'), node.filter('g'), sink],
      [
        [0, 1],
        [1, 2],
        [2, 1],
        [2, 3],
      ],
    ),
    { from: 'g', to: 'f' },
  ],
  [
    'an edge to itself',
    'GRAPH_CYCLE',
    jobOf(
      [source, node.filter('f'), sink],
      [
        [0, 1],
        [1, 1],
        [1, 2],
      ],
    ),
    {},
  ],
  ['an edge to nowhere', 'GRAPH_INPUTS', jobOf([source, sink], [[0, 7]]), {}],
  [
    'an operator with two inputs',
    'GRAPH_INPUTS',
    jobOf(
      [source, node.source('b'), sink],
      [
        [0, 2],
        [1, 2],
      ],
    ),
    { uid: 'out', inputs: 2 },
  ],
  [
    'an operator with no input',
    'GRAPH_INPUTS',
    jobOf([source, sink, node.filter('f')], [[0, 1]]),
    { uid: 'f', inputs: 0 },
  ],
  ['a window of no size', 'WINDOW_INVALID', line(source, node.keyBy('k'), node.window('w', 0), sink), { uid: 'w' }],
])('%s is refused: %s', (_, code, job, facts) => {
  expect(thrown(() => planJob(job))).toMatchObject({ code, kind: 'invalid', facts })
})

test('a descriptor with a function in it is refused with its path', () => {
  const bad: GraphNode = { ...node.sink('out'), descriptor: { connector: 'kafka', when: () => 1 } } as GraphNode
  expect(thrown(() => planJob(line(source, bad)))).toMatchObject({
    code: 'NOT_CANONICAL',
    facts: { path: '$.nodes[1].config.descriptor.when' },
  })
})
