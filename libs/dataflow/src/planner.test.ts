import { expect, test } from 'vitest'
import type { GraphNode, JobDefinition, KeyedProcessNode } from './graph.ts'
import { thrown } from './operators/fixture.ts'
import { jobOf, line, node, settlement, withDeadLetters } from './planner.fixture.ts'
import { planJob } from './planner.ts'
import { defaultSettings } from './settings.ts'
import { stateSchema } from './state-schema.ts'

const keyed = (stage: number) => ({ stage, route: 'keyed', operand: 0 })

test('the graph is cut at the keyBy: two stages, one exchange for both branches', () => {
  expect(planJob(settlement()).stages).toEqual([
    { index: 0, head: 0, nodes: [0, 1], outputs: [{ node: 2, stage: 1, input: 0 }], inputs: [] },
    { index: 1, head: 2, nodes: [3, 4, 5, 6], outputs: [], inputs: [keyed(0)] },
  ])
})

test('two sources and a keyBy behind a keyBy are stages of their own', () => {
  const job = jobOf(
    [
      node.source('a'),
      node.keyBy('a1'),
      node.keyBy('a2'),
      node.sink('as'),
      node.source('b'),
      node.sink('bs'),
      node.keyBy('b1'),
      node.sink('bs2'),
    ],
    [
      [0, 1],
      [1, 2],
      [2, 3],
      [4, 5],
      [4, 6],
      [6, 7],
    ],
  )
  expect(planJob(job).stages).toEqual([
    { index: 0, head: 0, nodes: [0], outputs: [{ node: 1, stage: 1, input: 0 }], inputs: [] },
    { index: 1, head: 1, nodes: [], outputs: [{ node: 2, stage: 2, input: 0 }], inputs: [keyed(0)] },
    { index: 2, head: 2, nodes: [3], outputs: [], inputs: [keyed(1)] },
    { index: 3, head: 4, nodes: [4, 5], outputs: [{ node: 6, stage: 4, input: 0 }], inputs: [] },
    { index: 4, head: 6, nodes: [7], outputs: [], inputs: [keyed(3)] },
  ])
})

test('batches carry origins where dead letters or a sink ask for them, and trace contexts where the job does', () => {
  const carries = (settings: Partial<JobDefinition['settings']>, sink: object = {}): string => {
    const nodes = [node.source('in'), { ...node.sink('out'), ...sink }] as GraphNode[]
    return planJob(jobOf(nodes, [[0, 1]], { settings: { ...defaultSettings, ...settings } })).carries
  }
  expect([carries({}), carries({}, { origins: true }), carries({ traceContext: true })]).toEqual([
    ...['nothing', 'origins', 'traces'],
  ])
  expect(carries({ deadLetters: { connector: 'kafka', topic: 'dead' } })).toBe('origins')
  expect(() => carries({ traceContext: 'yes' as never })).toThrow('traceContext')
})

test('the summary is plain data and says where every node runs', () => {
  const { summary, canonical } = planJob(settlement())
  expect(JSON.parse(canonical)).toEqual(summary)
  expect(summary).toMatchObject({
    version: 1,
    name: 'settlement',
    stages: 2,
    sources: ['orders'],
    sinks: ['balances', 'counts'],
  })
  expect(summary.nodes.map(({ uid, kind, stage }) => [uid, kind, stage])).toEqual([
    ['orders', 'source', 0],
    ['paid', 'filter', 0],
    ['by-user', 'keyBy', 1],
    ['balance', 'reduce', 1],
    ['balances', 'sink', 1],
    ['per-10s', 'window', 1],
    ['counts', 'sink', 1],
  ])
  expect(summary.nodes[5]!.config).toEqual({
    window: { type: 'tumbling', sizeMs: 10_000 },
    aggregate: 'count',
    initial: 0,
  })
  expect(planJob(settlement()).summary).toEqual(summary)
})

test('a plan says which states there are and which versions a build reads; the graph hash follows', () => {
  const { graph, ...rest } = settlement()
  const schema = stateSchema<number>('balance', 2).next(String)
  const balance = { ...node.reduce('balance', 0), schema } as GraphNode
  const versioned = planJob({ ...rest, graph: { ...graph, nodes: graph.nodes.with(3, balance) } })
  expect(versioned.summary.nodes.map(({ states }) => states).filter((states) => states !== undefined)).toEqual([
    [{ name: 'accumulator', schema: { name: 'balance', version: 3, since: 2 } }],
    [{ name: 'window', schema: null }],
  ])
  expect(versioned.canonical).not.toBe(planJob(settlement()).canonical)
  for (const bad of [stateSchema('a b'), stateSchema('a', 0), stateSchema('a', 1.5)]) {
    const nodes = graph.nodes.with(3, { ...balance, schema: bad } as GraphNode)
    expect(thrown(() => planJob({ ...rest, graph: { ...graph, nodes } }))).toMatchObject({
      code: 'STATE_SCHEMA_INVALID',
    })
  }
})

test('two plans of one job have one canonical text; another window, accumulator or setting has another', () => {
  const text = planJob(settlement()).canonical
  expect(planJob(settlement()).canonical).toBe(text)
  const changed = (i: number, by: GraphNode): string => {
    const { nodes, edges } = settlement().graph
    return planJob(jobOf(nodes.with(i, by), edges)).canonical
  }
  expect(changed(5, node.window('per-10s', 5_000))).not.toBe(text)
  expect(changed(3, node.reduce('balance', 0n))).not.toBe(text)
  expect(planJob({ ...settlement(), settings: { ...defaultSettings, parallelism: 2 } }).canonical).not.toBe(text)
})

test('a keyedBySource makes no exchange: state stays in the stage of its source', () => {
  const job = line(node.source('orders'), node.keyedBySource('by-user'), node.reduce('balance'), node.sink('balances'))
  expect(planJob(job).stages).toEqual([{ index: 0, head: 0, nodes: [0, 1, 2, 3], outputs: [], inputs: [] }])
})

test('a keyedBySource behind a keyBy is refused: the partition is gone there', () => {
  const job = line(
    node.source('orders'),
    node.keyBy('by-user'),
    node.filter('paid'),
    node.keyedBySource('by-source'),
    node.reduce('balance'),
    node.sink('balances'),
  )
  expect(thrown(() => planJob(job))).toMatchObject({
    code: 'GRAPH_KEYED_BY_SOURCE',
    kind: 'invalid',
    facts: { uid: 'by-source' },
  })
})

test('what a custom operator emits is not keyed, and no record of it is whole', () => {
  const job = line(node.source('in'), node.keyBy('by'), node.resumable('own'), node.reduce('sum'), node.sink('out'))
  expect(thrown(() => planJob(job))).toMatchObject({ code: 'GRAPH_UNKEYED_STATE', facts: { uid: 'sum' } })
  const unkeyed = line(node.source('in'), node.resumable('own'), node.sink('out'))
  expect(planJob(withDeadLetters(unkeyed)).deadLetters!.whole).toEqual([true, true, false])
})

test('a custom operator is refused where state is kept per partition', () => {
  const job = line(
    node.source('in'),
    node.resumable('own'),
    node.keyedBySource('by'),
    node.reduce('sum'),
    node.sink('out'),
  )
  expect(thrown(() => planJob(job))).toMatchObject({
    code: 'GRAPH_KEYED_BY_SOURCE',
    facts: { uid: 'own', keyedBySource: 'by' },
  })
})

test("a process's states and timers stand in the plan, without their functions", () => {
  const sum = {
    kind: 'aggregating',
    ttl: { ms: 5, update: 'write' },
    initial: 0n,
    add: () => 1n,
    result: () => 1n,
  } as const
  const process = node.process('limits', { state: { sum }, timers: { close: 'event' } })
  const { nodes } = planJob(line(node.source('in'), node.keyBy('by'), process, node.sink('out'))).summary
  expect(nodes[2]!.config).toEqual({
    state: [{ name: 'sum', kind: 'aggregating', ttl: { ms: 5, update: 'write' }, initial: { $bigint: '0' } }],
    timers: { close: 'event' },
    onTimer: true,
  })
})

const behindKeyBy = (over: Partial<KeyedProcessNode>): JobDefinition =>
  line(node.source('in'), node.keyBy('by'), node.process('p', over), node.sink('out'))
const tooShort = { kind: 'list', ttl: { ms: 0, update: 'write' } } as const
test.each<[string, JobDefinition, string]>([
  ['no keyBy', line(node.source('in'), node.process('p'), node.sink('out')), 'write .keyBy('],
  ['a name of the engine', behindKeyBy({ state: { 'a.b': { kind: 'list', ttl: null } } }), '"a.b" names a state'],
  ['a ttl of nothing', behindKeyBy({ state: { a: tooShort } }), 'it must be a whole number'],
  ['timers nobody hears', behindKeyBy({ timers: { t: 'event' }, onTimer: null }), 'no onTimer'],
])('a process is refused: %s', (_, job, text) => {
  const error = thrown(() => planJob(job))
  expect(error).toMatchObject({ kind: 'invalid', facts: { uid: 'p' } })
  expect(error.message).toContain(text)
})
