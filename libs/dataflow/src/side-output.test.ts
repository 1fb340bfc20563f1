import { operatorUid, type RecordBatch, type Watermark } from '@weir/model'
import { expect, test } from 'vitest'
import { fanOut, type Input } from './chain.ts'
import type { GraphNode, JobDefinition, LogicalGraph } from './graph.ts'
import type { KeyedProcess, None, Out } from './keyed-state.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './operators/fixture.ts'
import { KeyedProcessOperator } from './operators/keyed-process.ts'
import { planJob } from './planner.ts'
import { defaultSettings } from './settings.ts'
import { sideOutput, withSides } from './side-output.ts'
import { filter, keyBy, keyedProcess, keyedProcessOf, run } from './transform.ts'

const sides = { odd: sideOutput<number>(), large: sideOutput<string>() }
const sort: KeyedProcess<number, number, None, None, typeof sides> = {
  sides,
  onRecord({ sides: { odd, large } }, n, out: Out<number>) {
    if (n > 100) large.emit(`${n}`, 77)
    if (n % 2 === 1) odd.emit(n)
    else out.emit(n)
    if (n < 0) throw new RangeError('negative')
  },
}
const open = (over: Parameters<typeof contextOf>[0]): KeyedProcessOperator => {
  const operator = new KeyedProcessOperator({ uid, ...keyedProcessOf(sort) })
  operator.open(contextOf(over))
  return operator
}

test('what is put into a side output has the key and time of its record, or the time it is given', () => {
  const [out, odd, large] = [new Catch(), new Catch(), new Catch()]
  const taken = new Map([
    ['odd', odd],
    ['large', large],
  ])
  open({ sides: taken }).onBatch(batchOf(['a', 1, 10], ['b', 2, 11], ['a', 101, 12]), out)
  expect(out.seen).toEqual([['b', 2, 11]])
  expect(odd.seen).toEqual([
    ['a', 1, 10],
    ['a', 101, 12],
  ])
  expect(large.seen).toEqual([['a', '101', 77]])
})

test('one that nobody takes leads nowhere', () => {
  const [out, large] = [new Catch(), new Catch()]
  open({ sides: new Map([['large', large]]) }).onBatch(batchOf(['a', 1, 10], ['a', 103, 12]), out)
  expect([out.seen, large.seen]).toEqual([[], [['a', '103', 77]]])
})

test('what a record that fails has put aside is taken back with its outputs', () => {
  const [out, odd, refused] = [new Catch(), new Catch(), [] as unknown[]]
  const operator = open({ sides: new Map([['odd', odd]]), refuse: ({ values }, i) => void refused.push(values[i]) })
  operator.onBatch(batchOf(['a', 1, 10], ['a', -2, 11], ['a', 3, 12], ['a', -1, 13], ['a', 4, 14]), out)
  expect(refused).toEqual([-2, -1])
  expect(out.seen).toEqual([['a', 4, 14]])
  expect(odd.seen).toEqual([
    ['a', 1, 10],
    ['a', 3, 12],
  ])
})

test('outputs of a record are numbered over all ways out: no two have one name', () => {
  const seen: Record<string, readonly string[] | null> = {}
  const into = (name: string) => ({
    emit: ({ origins }: RecordBatch) => void (seen[name] = origins!.ordinals),
    watermark: () => {},
  })
  const taken = new Map(['odd', 'large'].map((name) => [name, into(name)]))
  const origins = { places: [0, 0], offsets: [7, 8], ordinals: null }
  open({ sides: taken }).onBatch({ ...batchOf(['a', 101, 1], ['a', 102, 2]), origins }, into('main'))
  expect(seen).toEqual({ large: ['0', '0'], odd: ['1'], main: ['1'] })
})

test('side outputs have the watermark and the end of the output', () => {
  const told: string[] = []
  const into = (name: string): Input => ({
    emit: () => void told.push(name),
    watermark: (timestamp: Watermark) => void told.push(`${name} ${timestamp}`),
    end: () => void told.push(`${name} ends`),
  })
  const all = withSides(into('main'), new Map([['odd', fanOut([into('a'), into('b')])]]))
  all.emit(batchOf(['a', 1, 1]))
  all.watermark(5)
  all.end()
  expect(told).toEqual(['main', 'main 5', 'a 5', 'b 5', 'main ends', 'a ends', 'b ends'])
})

test('a transform tells what goes into side outputs', () => {
  const told: unknown[] = []
  const sorted = keyBy((n: number) => n % 3)
    .andThen(keyedProcess('sort', sort))
    .andThen(filter((n) => n > 2))
  const outputs = run(sorted, [1, 2, 4, 101], { side: (name, value, of) => void told.push([of, name, value]) })
  expect(outputs).toEqual([4])
  expect(told).toEqual([
    ['sort', 'odd', 1],
    ['sort', 'odd', 101],
    ['sort', 'large', '101'],
  ])
})

// ---- in a graph -------------------------------------------------------------------------------------------------------

const source: GraphNode = {
  kind: 'source',
  uid: operatorUid('numbers'),
  descriptor: { connector: 'kafka', topic: 'numbers' },
  decode: null,
  timestamp: null,
  outOfOrderMs: 0,
  recordsPerSecond: null,
}
const sink = (name: string): GraphNode => ({
  ...{ kind: 'sink', uid: operatorUid(name), descriptor: { connector: 'kafka', topic: name } },
  ...{ encodeKey: () => null, encodeValue: () => null },
})
const byKey: GraphNode = { kind: 'keyBy', uid: operatorUid('by-key'), key: () => 'k' }
const side = (name: string, of = 'sort'): GraphNode => ({
  ...{ kind: 'sideOutput', uid: operatorUid(`${of}.${name}`), side: name },
})
const sorts: GraphNode = { uid: operatorUid('sort'), ...keyedProcessOf(sort) }
const jobOf = (nodes: GraphNode[], edges: LogicalGraph['edges'], settings = {}): JobDefinition => ({
  ...{ kind: 'weir.job', version: 1, name: 'sides', settings: { ...defaultSettings, ...settings } },
  graph: { nodes, edges },
})
const through = (...nodes: GraphNode[]): JobDefinition =>
  jobOf(
    nodes,
    nodes.slice(1).map((_, i) => [i, i + 1] as const),
  )

test('a side output is a node of its operator’s stage; the output itself may lead nowhere', () => {
  const { stages, summary } = planJob(through(source, byKey, sorts, side('odd'), sink('out')))
  expect(stages.map(({ nodes }) => nodes)).toEqual([[0], [2, 3, 4]])
  expect(summary.nodes[3]).toEqual({ uid: 'sort.odd', kind: 'sideOutput', config: { side: 'odd' }, stage: 1 })
  expect(summary.nodes[2]!.config).toMatchObject({ sides: ['odd', 'large'] })
})

test('behind one, keyed operators and a keyBy may follow; dead letters and receipts find their way', () => {
  const count: GraphNode = { kind: 'reduce', uid: operatorUid('count'), initial: 0, reduce: (n) => (n as number) + 1 }
  const again: GraphNode = { ...byKey, uid: operatorUid('again') }
  const nodes = [source, byKey, sorts, side('odd'), count, sink('odds'), side('large'), again, count, sink('counts')]
  nodes[8] = { ...count, uid: operatorUid('count-large') }
  const edges = [
    [0, 1],
    [1, 2],
    [2, 3],
    [3, 4],
    [4, 5],
    [2, 6],
    [6, 7],
    [7, 8],
    [8, 9],
  ] as const
  const asides = {
    deadLetters: { connector: 'kafka', topic: 'dead' },
    audit: { connector: 'kafka', topic: 'receipts' },
  }
  const unaligned = { ...defaultSettings.checkpoint, unaligned: true }
  const plan = planJob(jobOf(nodes, edges, { ...asides, checkpoint: unaligned }))
  expect(plan.stages.map(({ nodes }) => nodes)).toEqual([[0], [2, 3, 4, 5, 6], [8, 9]])
  expect(plan.deadLetters!.routes).toEqual([{ output: 0 }, { sink: 5 }, { sink: 9 }])
  // A record behind the process has had effects there.
  expect(plan.deadLetters!.whole.map((whole, i) => (whole ? i : -1)).filter((i) => i >= 0)).toEqual([0, 1, 2])
  expect([...plan.audit!.sources]).toEqual([
    [5, [0]],
    [9, [0]],
  ])
  expect(plan.unaligned!.stages).toEqual([false, true, true])
})

test.each<[name: string, nodes: GraphNode[], side: string, says: string]>([
  ['one that the operator has not', [source, byKey, sorts, side('even'), sink('out')], 'even', '"odd", "large"'],
  ['one of an operator without any', [source, side('odd', 'numbers'), sink('out')], 'odd', 'no side outputs'],
  [
    'a name that fits into no uid',
    [source, byKey, { ...sorts, sides: ['no good'] } as GraphNode, sink('out')],
    'no good',
    'beginning with a letter',
  ],
])('refused: %s', (_name, nodes, name, says) => {
  expect(thrown(() => planJob(through(...nodes)))).toMatchObject({
    ...{ code: 'GRAPH_SIDE_OUTPUT', kind: 'invalid', facts: { side: name } },
    message: expect.stringContaining(says) as string,
  })
})
