import { operatorUid, type WeirError } from '@weir/model'
import { describe, expect, test } from 'vitest'
import type { GraphNode, JobDefinition, KeyedProcessNode, LogicalGraph } from './graph.ts'
import { thrown } from './operators/fixture.ts'
import { planJob, planSummaryOf } from './planner.ts'
import { defaultSettings } from './settings.ts'
import { stateSchema } from './state-schema.ts'

const node = {
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
const jobOf = (
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

/** orders → paid → by-user → balance → balances, and by-user → per-10s → counts. */
const settlement = (): JobDefinition =>
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
  expect(planSummaryOf(settlement())).toEqual(summary)
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
  ['one uid twice', 'GRAPH_DUPLICATE_UID', jobOf([source, node.sink('orders')], [[0, 1]]), { uid: 'orders' }],
  ['a uid with a slash', 'GRAPH_UID_INVALID', jobOf([source, node.sink('a/b')], [[0, 1]]), { uid: 'a/b' }],
  [
    'state without a keyBy',
    'GRAPH_UNKEYED_STATE',
    jobOf(
      [source, node.window('w'), sink],
      [
        [0, 1],
        [1, 2],
      ],
    ),
    { uid: 'w' },
  ],
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
  [
    'a window of no size',
    'WINDOW_INVALID',
    jobOf(
      [source, node.keyBy('k'), node.window('w', 0), sink],
      [
        [0, 1],
        [1, 2],
        [2, 3],
      ],
    ),
    { uid: 'w' },
  ],
])('%s is refused: %s', (_, code, job, facts) => {
  expect(thrown(() => planJob(job))).toMatchObject({ code, kind: 'invalid', facts })
})

test('a descriptor with a function in it is refused with its path', () => {
  const bad: GraphNode = { ...node.sink('out'), descriptor: { connector: 'kafka', when: () => 1 } } as GraphNode
  expect(thrown(() => planJob(jobOf([source, bad], [[0, 1]])))).toMatchObject({
    code: 'NOT_CANONICAL',
    facts: { path: '$.nodes[1].config.descriptor.when' },
  })
})

test('a keyedBySource makes no exchange: state stays in the stage of its source', () => {
  const job = jobOf(
    [node.source('orders'), node.keyedBySource('by-user'), node.reduce('balance'), node.sink('balances')],
    [
      [0, 1],
      [1, 2],
      [2, 3],
    ],
  )
  expect(planJob(job).stages).toEqual([{ index: 0, head: 0, nodes: [0, 1, 2, 3], outputs: [], inputs: [] }])
})

test('a keyedBySource behind a keyBy is refused: the partition is gone there', () => {
  const job = jobOf(
    [
      node.source('orders'),
      node.keyBy('by-user'),
      node.filter('paid'),
      node.keyedBySource('by-source'),
      node.reduce('balance'),
      node.sink('balances'),
    ],
    [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 5],
    ],
  )
  expect(thrown(() => planJob(job))).toMatchObject({
    code: 'GRAPH_KEYED_BY_SOURCE',
    kind: 'invalid',
    facts: { uid: 'by-source' },
  })
})

test('what a custom operator emits is not keyed, and no record of it is whole', () => {
  const line = (...nodes: GraphNode[]): JobDefinition =>
    jobOf(
      nodes,
      nodes.slice(1).map((_, i) => [i, i + 1]),
    )
  const job = line(node.source('in'), node.keyBy('by'), node.resumable('own'), node.reduce('sum'), node.sink('out'))
  expect(thrown(() => planJob(job))).toMatchObject({ code: 'GRAPH_UNKEYED_STATE', facts: { uid: 'sum' } })
  const unkeyed = line(node.source('in'), node.resumable('own'), node.sink('out'))
  expect(planJob(withDeadLetters(unkeyed)).deadLetters!.whole).toEqual([true, true, false])
})

test('a custom operator is refused where state is kept per partition', () => {
  const nodes = [
    node.source('in'),
    node.resumable('own'),
    node.keyedBySource('by'),
    node.reduce('sum'),
    node.sink('out'),
  ]
  const job = jobOf(
    nodes,
    [0, 1, 2, 3].map((i) => [i, i + 1]),
  )
  expect(thrown(() => planJob(job))).toMatchObject({
    code: 'GRAPH_KEYED_BY_SOURCE',
    facts: { uid: 'own', keyedBySource: 'by' },
  })
})

// ---- dead letters -----------------------------------------------------------------------------------------------------

const withDeadLetters = (job: JobDefinition, connector = 'kafka', topic: unknown = 'dead'): JobDefinition => ({
  ...job,
  settings: { ...job.settings, deadLetters: { connector, topic } },
})

test('dead letters of every stage lead to a sink; a record has had no effect up to the first branch or fold', () => {
  const { deadLetters } = planJob(withDeadLetters(settlement()))
  expect(deadLetters!.routes).toEqual([{ output: 0 }, { sink: 4 }])
  expect(deadLetters!.whole).toEqual([true, true, true, false, false, false, false])
  expect(planJob(settlement()).deadLetters).toBeNull()
})

test('on one line a record that fails in a fold or in the sink behind a filter has had no effect yet', () => {
  const nodes = [node.source('a'), node.filter('b'), node.keyBy('c'), node.reduce('d'), node.sink('e')]
  const line: LogicalGraph['edges'] = [0, 1, 2, 3].map((i) => [i, i + 1])
  expect(planJob(withDeadLetters(jobOf(nodes, line))).deadLetters!.whole).toEqual([true, true, true, true, false])
})

test.each([
  ['no topic', withDeadLetters(settlement(), 'kafka', ''), 'name a topic'],
  ['the topic of a sink', withDeadLetters(settlement(), 'kafka', 'counts'), 'sink "counts" uses this topic too'],
  ['the topic of a source', withDeadLetters(settlement(), 'kafka', 'orders'), 'source "orders" uses this topic too'],
  ['no sink of the connector', withDeadLetters(settlement(), 'log'), 'no sink behind "orders" writes to log'],
])('dead letters are refused: %s', (_, job, text) => {
  const error = thrown(() => planJob(job))
  expect(error).toMatchObject({ code: 'DEAD_LETTERS_INVALID', kind: 'invalid' })
  expect(error.message).toContain(text)
})

const line = (...nodes: GraphNode[]): JobDefinition =>
  jobOf(
    nodes,
    nodes.slice(1).map((_, i) => [i, i + 1]),
  )

test("a process's states and timers stand in the plan, without their functions", () => {
  const sum = {
    kind: 'aggregating',
    ttl: { ms: 5, update: 'write' },
    initial: 0n,
    add: () => 1n,
    result: () => 1n,
  } as const
  const process = node.process('limits', { state: { sum }, timers: { close: 'event' } })
  const { nodes } = planSummaryOf(line(node.source('in'), node.keyBy('by'), process, node.sink('out')))
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

describe('the continuous scope', () => {
  const settings = { ...defaultSettings, commit: { scope: 'continuous', intervalMs: 100 } } as const
  const refusalOf = (job: JobDefinition): WeirError => thrown(() => planJob({ ...job, settings }))

  test('takes a chain from Kafka to Kafka that is keyed by its source', () => {
    const job = jobOf(
      [node.source('orders'), node.keyedBySource('by-user'), node.reduce('balance'), node.sink('balances')],
      [
        [0, 1],
        [1, 2],
        [2, 3],
      ],
    )
    expect(planJob({ ...job, settings }).summary.settings.commit).toEqual({ scope: 'continuous', intervalMs: 100 })
  })

  test('refuses what a replay could not rebuild: a custom operator, and a source that skips', () => {
    const line = (source: GraphNode, operator: GraphNode): JobDefinition =>
      jobOf(
        [source, operator, node.sink('out')],
        [
          [0, 1],
          [1, 2],
        ],
      )
    const own = line(node.source('in'), node.resumable('own'))
    expect(refusalOf(own)).toMatchObject({ facts: { uid: 'own', reason: 'not-deterministic' } })
    const descriptor = { connector: 'kafka', topic: 'in', outOfRange: 'latest' }
    const skipping = line({ ...node.source('in'), descriptor } as GraphNode, node.filter('paid'))
    expect(refusalOf(skipping)).toMatchObject({ facts: { uid: 'in', reason: 'source' } })
  })

  test('refuses a shuffle, and says what to write instead', () => {
    expect(refusalOf(settlement())).toMatchObject({
      code: 'CONTINUOUS_SCOPE_REFUSED',
      kind: 'invalid',
      facts: { uid: 'by-user', reason: 'shuffle' },
      message: expect.stringContaining('.keyedBySource(') as string,
    })
  })

  test.each([
    ['source', 0, 'orders'],
    ['sink', 1, 'balances'],
  ] as const)('refuses a %s that is no Kafka topic', (reason, at, uid) => {
    const nodes = [node.source('orders'), node.sink('balances')]
    nodes[at] = { ...nodes[at], descriptor: { connector: 'log', topic: uid } } as GraphNode
    expect(refusalOf(jobOf(nodes, [[0, 1]])).facts).toMatchObject({ uid, reason })
  })

  test('takes a process with event timers, and refuses timers of processing time', () => {
    const job = (kind: 'event' | 'processing'): JobDefinition =>
      line(node.source('in'), node.keyedBySource('by'), node.process('p', { timers: { t: kind } }), node.sink('out'))
    expect(planJob({ ...job('event'), settings }).stages).toHaveLength(1)
    expect(refusalOf(job('processing'))).toMatchObject({
      code: 'CONTINUOUS_SCOPE_REFUSED',
      facts: { uid: 'p', reason: 'not-deterministic' },
      message: expect.stringContaining("timers: { t: 'event' }") as string,
    })
  })

  test('refuses a second source: two jobs', () => {
    const nodes = [node.source('orders'), node.source('refunds'), node.sink('a'), node.sink('b')]
    const job = jobOf(nodes, [
      [0, 2],
      [1, 3],
    ])
    expect(refusalOf(job).facts).toMatchObject({ uid: 'refunds', reason: 'sources' })
  })
})

describe('unaligned checkpoints', () => {
  const asked = { ...defaultSettings, checkpoint: { ...defaultSettings.checkpoint, unaligned: true } }
  const chain = (...nodes: GraphNode[]): JobDefinition =>
    jobOf(
      nodes,
      nodes.slice(1).map((_, i) => [i, i + 1] as const),
      { settings: asked },
    )

  test('overtake on keyed edges into an operator, after the time that was set', () => {
    const job = settlement()
    const stages = planJob(job).stages.map(({ inputs }) => inputs.length > 0)
    const timed = { ...asked.checkpoint, alignedTimeoutMs: 250 }
    expect(planJob(job).unaligned).toBeNull()
    expect(planJob({ ...job, settings: asked }).unaligned).toEqual({ afterMs: 0, stages })
    expect(planJob({ ...job, settings: { ...asked, checkpoint: timed } }).unaligned).toEqual({ afterMs: 250, stages })
    const automatic = { ...timed, unaligned: false }
    expect(planJob({ ...job, settings: { ...asked, checkpoint: automatic } }).unaligned?.afterMs).toBe(250)
  })

  test('B9: never on the edge into a sink', () => {
    const twoEdges = [node.source('in'), node.keyBy('a'), node.reduce('sum'), node.keyBy('b'), node.sink('out')]
    expect(planJob(chain(...twoEdges)).unaligned!.stages).toEqual([false, true, false])
  })

  test.each<[string, JobDefinition]>([
    ['edge-into-sink', chain(node.source('in'), node.keyBy('a'), node.sink('out'))],
    ['no-keyed-edge', chain(node.source('in'), node.filter('some'), node.sink('out'))],
    [
      'scope',
      {
        ...chain(node.source('in'), node.keyedBySource('by'), node.reduce('sum'), node.sink('out')),
        settings: { ...asked, commit: { scope: 'continuous', intervalMs: 100 } },
      },
    ],
  ])('B9: %s is refused, and what to do instead is said', (reason, job) => {
    const error = thrown(() => planJob(job)) as WeirError
    expect(error).toMatchObject({ code: 'UNALIGNED_REFUSED', kind: 'invalid', facts: { reason } })
    expect(error.message).toContain('Leave out checkpoint.unaligned')
  })
})
