import type { SubtaskSnapshot } from '@weir/checkpoint'
import { defaultSettings, planJob, type GraphNode, type JobSettings, type PlanSummary } from '@weir/dataflow'
import { WeirError, digest, epoch, jobId, operatorUid, subtask } from '@weir/model'
import { expect, test } from 'vitest'
import { startingSubtasks } from './first-epoch.ts'
import {
  judgeStart,
  type Accepted,
  type OutputStanding,
  type StartPoint,
  type StartProblem,
  type StartTarget,
} from './start-from.ts'

const node = {
  source: (uid: string, topic = 'orders'): GraphNode => ({
    ...{ kind: 'source', uid: operatorUid(uid), descriptor: { connector: 'kafka', topic }, decode: null },
    ...{ timestamp: null, outOfOrderMs: 0, recordsPerSecond: null },
  }),
  keyBy: (uid: string): GraphNode => ({ kind: 'keyBy', uid: operatorUid(uid), key: String }),
  keyed: (uid: string): GraphNode => ({ kind: 'keyedBySource', uid: operatorUid(uid), key: String }),
  reduce: (uid: string): GraphNode => ({ kind: 'reduce', uid: operatorUid(uid), initial: 0, reduce: (a) => a }),
  window: (uid: string, sizeMs: number): GraphNode => ({
    ...{ kind: 'window', uid: operatorUid(uid), window: { type: 'tumbling', sizeMs }, aggregateName: 'count' },
    aggregate: { initial: 0, add: (n) => n },
  }),
  sink: (uid: string, topic: string): GraphNode => ({
    ...{ kind: 'sink', uid: operatorUid(uid), descriptor: { connector: 'kafka', topic } },
    ...{ encodeKey: () => null, encodeValue: () => null },
  }),
}
/** Nodes in a row, and again from the source (`null` begins a branch). */
function plan(branches: readonly (readonly GraphNode[])[], settings: Partial<JobSettings> = {}): PlanSummary {
  const nodes = [...new Set(branches.flat())]
  const edges = branches.flatMap((branch) =>
    branch.slice(1).map((to, i): [number, number] => [nodes.indexOf(branch[i]!), nodes.indexOf(to)]),
  )
  const graph = { nodes, edges: [...new Map(edges.map((edge) => [String(edge), edge])).values()] }
  return planJob({ kind: 'weir.job', version: 1, name: 'j', settings: { ...defaultSettings, ...settings }, graph })
    .summary
}
const orders = node.source('orders')
const sums = [node.keyBy('by-user'), node.reduce('sum'), node.sink('sums', 'sums')]
const counts = [node.keyBy('by-status'), node.window('per-10s', 10_000), node.sink('counts', 'counts')]
const before = plan([
  [orders, ...sums],
  [orders, ...counts],
])

const segment = (key: string) => ({ key, bytes: 1, sha256: '' })
const at = (offset: number, sequence: number): SubtaskSnapshot => ({
  subtask: subtask(0),
  sources: { orders: { partitions: { 0: { offset: String(offset), end: null } } } },
  segments: [
    { stage: 1, chain: [segment('s1')] },
    { stage: 2, chain: [segment('s2')] },
  ],
  sinks: { sums: { sequence, handles: [{ sequence }] } },
  watermarks: { 'orders/0': 7, 'stage-0': 7, 'stage-1': 5, 'stage-2': 6 },
  recordsIn: offset,
})
const of = (n: number, offset: number, sequence: number, change: Partial<StartPoint> = {}): StartPoint => ({
  ...{ label: `epoch ${n} of job j`, jobId: jobId('j'), epoch: epoch(n), stopped: false, plan: before },
  ...{ graphHash: 'g', bundleDigest: digest('b'), parallelism: 1, maxParallelism: defaultSettings.maxParallelism },
  subtasks: [at(offset, sequence)],
  ...change,
})
const point = of(4, 40, 4)
const into = (to: PlanSummary = before, id = 'j'): StartTarget => ({
  ...{ jobId: jobId(id), plan: to, graphHash: 'g', bundleDigest: digest('b') },
})
const standing = (n: number, change: Partial<OutputStanding> = {}): OutputStanding => ({
  ...{ running: false, published: epoch(n), subtasks: [at(n * 10, n)], lost: [] },
  ...change,
})
const NOTHING_ACCEPTED: Accepted = { droppedState: [], repeatedOutput: false }

/** Codes and uids of what is wrong, or the notes. */
function judged(
  to: StartTarget,
  { from = point, accepted = NOTHING_ACCEPTED, output = standing(4) as OutputStanding | null } = {},
): unknown {
  try {
    return judgeStart(from, to, accepted, output).notes
  } catch (error) {
    const { problems } = (error as WeirError).facts as unknown as { problems: StartProblem[] }
    return problems.map(({ code, uid }) => (uid === undefined ? code : `${code} ${uid}`))
  }
}
const accept = (...droppedState: string[]): Accepted => ({ droppedState, repeatedOutput: false })

test('the same graph on top of the newest epoch: nothing to be said', () => {
  expect(judged(into())).toEqual([])
})

test('state of a removed operator is refused unless it is named; what was named for nothing is refused too', () => {
  const without = into(plan([[orders, ...sums]]))
  expect(judged(without)).toEqual(['STATE_DROPPED per-10s'])
  expect(judged(without, { accepted: accept('per-10s') })).toEqual(['state of "per-10s" is dropped'])
  expect(judged(into(), { accepted: accept('per-10s') })).toEqual(['STATE_NOT_DROPPED per-10s'])
})

test('a removed source is a stored position that nobody takes', () => {
  const two = of(4, 40, 4, {
    plan: plan([
      [orders, ...sums],
      [node.source('more', 'more'), ...counts],
    ]),
  })
  expect(judged(into(), { from: two })).toEqual(['STATE_DROPPED more'])
})

test('a new operator begins empty, a new source where it is configured to, and it is said', () => {
  const more = plan([
    [orders, ...sums],
    [orders, ...counts],
    [node.source('more', 'more'), node.keyBy('by-x'), node.reduce('x'), node.sink('xs', 'xs')],
  ])
  expect(judged(into(more))).toEqual([
    'source "more" is new: it begins where it is configured to',
    'reduce "x" is new: it begins with empty state',
  ])
})

test.each([
  ['another topic', plan([[node.source('orders', 'other'), ...sums], []]), 'SOURCE_CHANGED orders'],
  [
    'another connector',
    plan([[{ ...orders, descriptor: { connector: 'files', folder: 's3://b/orders/' } } as GraphNode, ...sums], []]),
    'SOURCE_CHANGED orders',
  ],
  [
    'another window',
    plan([[orders, node.keyBy('by-status'), node.window('per-10s', 5_000), counts[2]!]]),
    'OPERATOR_CHANGED per-10s',
  ],
  [
    'another kind',
    plan([[orders, node.keyBy('by-user'), node.window('sum', 1_000), sums[2]!]]),
    'OPERATOR_CHANGED sum',
  ],
  [
    'keyed by its source now',
    plan([[orders, node.keyed('by-user'), node.reduce('sum'), sums[2]!]]),
    'OPERATOR_CHANGED sum',
  ],
  ['other key groups', plan([[orders, ...sums]], { maxParallelism: 64 }), 'MAX_PARALLELISM_CHANGED'],
])('refused under the same uid: %s', (_, to, problem) => {
  expect(judged(into(to))).toContain(problem)
})

test.each([
  [{ connector: 'files', folder: 's3://b/orders/', splits: 4 }, { folder: 's3://b/other/' }, { splits: 2 }],
  [{ connector: 'postgres', url: 'env:DB', slot: 'weir', publication: 'p' }, { slot: 'weir2' }, { publication: 'q' }],
  [{ connector: 'postgres', url: 'env:DB', slot: 'weir', publication: 'p' }, { url: 'env:OTHER' }, { until: 'latest' }],
  [{ connector: 'log', topic: 't', startFrom: 'earliest' }, { connector: 'kafka' }, { startFrom: 'latest' }],
])('a source is another one with another place, and with nothing else: %o', (descriptor, another, same) => {
  const reading = (more: object): PlanSummary =>
    plan([[{ ...orders, descriptor: { ...descriptor, ...more } } as GraphNode, ...sums]])
  const from = of(4, 40, 4, { plan: reading({}) })
  expect(judged(into(reading(another)), { from })).toEqual(['SOURCE_CHANGED orders'])
  expect(judged(into(reading(same)), { from })).toEqual([])
})

test('another parallelism: the state is dealt out anew, but for the continuous scope, whose truth is in single subtasks', () => {
  const scope = { scope: 'continuous', intervalMs: 100 } as const
  const continuous = (parallelism: number) =>
    plan([[orders, node.keyed('by-user'), sums[1]!, sums[2]!]], { parallelism, commit: scope })
  expect(
    judged(
      into(
        plan(
          [
            [orders, ...sums],
            [orders, ...counts],
          ],
          { parallelism: 2 },
        ),
      ),
    ),
  ).toEqual(['parallelism is 2, the state is of 1: keys and splits are dealt out anew'])
  const from = of(4, 40, 4, { plan: continuous(1), stopped: true })
  expect(judged(into(continuous(2)), { from })).toEqual(['PARALLELISM_CHANGED'])
})

test('going back behind published output is refused with what would be read and written again, unless it is accepted', () => {
  const output = standing(7)
  expect(() => judgeStart(point, into(), NOTHING_ACCEPTED, output)).toThrow(
    'output of epochs 5 to 7 of job j is published already (3 transactions of sink "sums"; read again: orders/0 from 40 to 70)',
  )
  const accepted = { droppedState: [], repeatedOutput: true }
  expect(judged(into(), { output, accepted })).toMatchObject([expect.stringContaining('it will be there twice')])
  // Also where the newest manifest cannot be read.
  expect(judged(into(), { output: standing(7, { subtasks: null }) })).toEqual(['OUTPUT_REPEATED'])
})

test('a sink may go on in another topic, and it is said', () => {
  const moved = plan([
    [orders, node.keyBy('by-user'), node.reduce('sum'), node.sink('sums', 'sums-2')],
    [orders, ...counts],
  ])
  expect(judged(into(moved))).toEqual([
    'sink "sums" writes to kafka topic "sums-2" from here on, and wrote to kafka topic "sums"',
  ])
})

test('under another id output repeats only where it goes to the same topics', () => {
  const elsewhere = plan([[orders, node.keyBy('by-user'), node.reduce('sum'), node.sink('sums', 'sums-2')]])
  const accepted = accept('per-10s')
  const running = standing(4, { running: true })
  expect(judged(into(elsewhere, 'fork'), { output: running, accepted })).toHaveLength(2)
  expect(judged(into(before, 'fork'), { output: running })).toEqual(['OUTPUT_REPEATED'])
  expect(judged(into(before, 'fork'))).toEqual([])
  // Nobody here knows the job: its output cannot be judged.
  expect(judged(into(before, 'fork'), { output: null })).toEqual([])
})

test('the epoch whose output is lost is no place to go on from under the same id', () => {
  const output = standing(4, { lost: ['sums'] })
  expect(judged(into(), { output })).toEqual(['OUTPUT_LOST'])
  expect(judged(into(before, 'fork'), { output })).toEqual([])
})

test('A18: in the continuous scope a start under the same id needs c = k: the savepoint the job stopped with last', () => {
  const chain = [orders, node.keyed('k'), node.reduce('sum'), node.sink('sums', 'sums')]
  const commit = { scope: 'continuous', intervalMs: 100 } as const
  const continuous = plan([chain], { commit })
  const running = of(4, 40, 4, { plan: continuous })
  const stopped = { ...running, stopped: true }
  const changed = { ...into(continuous), bundleDigest: digest('new') }
  expect(judged(changed, { from: stopped })).toEqual([])
  expect(judged(changed, { from: running })).toEqual(['CONTINUOUS_NOT_STOPPED'])
  expect(judged(into(continuous), { from: running })).toEqual([]) // the same build, as after any restart
  expect(judged(changed, { from: stopped, output: standing(5) })).toContain('CONTINUOUS_NOT_STOPPED')
  expect(judged(into(plan([chain])), { from: stopped })).toEqual(['COMMIT_SCOPE_CHANGED'])
})

test('A23: under another id the continuous scope begins where the state is, if nobody has written on from there', () => {
  const to = (topic: string) =>
    plan([[orders, node.keyed('k'), node.reduce('sum'), node.sink('sums', topic)]], {
      commit: { scope: 'continuous', intervalMs: 100 },
      parallelism: 2,
    })
  const running = of(4, 40, 4, { plan: to('sums'), parallelism: 2 })
  const stopped = { ...running, stopped: true }
  expect(judged(into(to('sums'), 'fork'), { from: stopped })).toEqual([])
  expect(judged(into(to('sums'), 'fork'), { from: running })).toEqual(['CONTINUOUS_NOT_STOPPED'])
  expect(judged(into(to('sums-2'), 'fork'), { from: running })).toHaveLength(1) // where it writes to
  const first = (id: string): unknown =>
    startingSubtasks(stopped, into(to('sums'), id), { dropped: [] }, null, (key) => key)[0]!.sources['orders']
  expect(first('fork')).toEqual({ partitions: { 0: { offset: '40', end: null } }, takenOver: true })
  expect(first('j')).toEqual({ partitions: { 0: { offset: '40', end: null } } })
})

test('records in flight are of one graph', () => {
  const inFlight = [{ ...segment('f'), subtask: subtask(0), parallelism: 1, records: 1, hasUnsent: false }]
  const from = { ...point, subtasks: [{ ...at(40, 4), inFlight }] }
  expect(judged(into(), { from })).toEqual([])
  expect(
    judged(
      into(
        plan([
          [orders, ...counts],
          [orders, ...sums],
        ]),
      ),
      { from },
    ),
  ).toContain('IN_FLIGHT_RECORDS')
})

// ---- the first epoch ------------------------------------------------------------------------------------------------

const begin = (to: StartTarget, dropped: readonly string[] = [], output: OutputStanding | null = standing(4)) =>
  startingSubtasks(point, to, { dropped }, output, (key) => `new/${key}`)[0]!

test('state and watermarks follow their operators to other stages; without what is dropped', () => {
  const turned = begin(
    into(
      plan([
        [orders, ...counts],
        [orders, ...sums],
      ]),
    ),
  )
  expect(turned.segments).toEqual([
    { stage: 1, chain: [segment('new/s2')] },
    { stage: 2, chain: [segment('new/s1')] },
  ])
  expect(turned.watermarks).toEqual({ 'orders/0': 7, 'stage-0': 7, 'stage-1': 6, 'stage-2': 5 })
  const without = begin(into(plan([[orders, ...sums]])), ['per-10s'])
  expect(without.segments).toEqual([{ stage: 1, chain: [segment('new/s1')] }])
})

test('operators that shared a stage and do not any more: each takes the chain without the state of the other', () => {
  const together = plan([
    [orders, sums[0]!, sums[1]!, sums[2]!],
    [orders, sums[0]!, node.window('per-10s', 10_000), node.sink('counts', 'counts')],
  ])
  const from = {
    ...point,
    plan: together,
    subtasks: [{ ...at(40, 4), segments: [{ stage: 1, chain: [segment('s')] }] }],
  }
  const [first] = startingSubtasks(from, into(), { dropped: [] }, standing(4), (key) => key)
  expect(first!.segments).toEqual([
    { stage: 1, chain: [{ ...segment('s'), without: ['per-10s'] }] },
    { stage: 2, chain: [{ ...segment('s'), without: ['sum'] }] },
  ])
  const back = { ...point, subtasks: [{ ...at(40, 4), segments: first!.segments }] }
  const [again] = startingSubtasks(back, into(together), { dropped: [] }, standing(4), (key) => key)
  expect(again!.segments).toHaveLength(1)
})

test('A10: under the same id a sink goes on above every sequence it has published, whatever epoch the state is of', () => {
  expect(begin(into(), [], standing(7)).sinks).toEqual({ sums: { sequence: 7, handles: [] } })
  // The newest manifest cannot be read: at most one transaction per epoch.
  expect(begin(into(), [], standing(9, { subtasks: null })).sinks).toEqual({ sums: { sequence: 9, handles: [] } })
  // Its cluster is not this one: what the savepoint says.
  expect(begin(into(), [], null).sinks).toEqual({ sums: { sequence: 4, handles: [] } })
})

test('B4: sinks of subtasks a wider run had stay in somebody’s care, above what they have published', () => {
  const other = (sequence: number): SubtaskSnapshot => ({ ...at(0, sequence), subtask: subtask(1) })
  const wide = standing(7, { subtasks: [at(70, 7), other(6)] })
  expect(begin(into(), [], wide).retired).toEqual({ 1: { sums: { sequence: 6, handles: [] } } })
  const narrow = standing(7, { subtasks: [{ ...at(70, 7), retired: { 1: { sums: { sequence: 5, handles: [] } } } }] })
  expect(begin(into(), [], narrow).retired).toEqual({ 1: { sums: { sequence: 5, handles: [] } } })
  expect(begin(into(before, 'fork'), [], null).retired).toBeUndefined()
})

test('A23: under another id sinks begin anew, and no handle is taken over', () => {
  expect(begin(into(before, 'fork')).sinks).toEqual({})
})
