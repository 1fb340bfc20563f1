/** Windows in a slice: a split's results depend on its records alone, and what survives a restart. */
import {
  countWindow,
  everyCount,
  everyEventTime,
  keyedProcessOf,
  sessionizing,
  windowCountOf,
  windowProcessOf,
  type GraphNode,
  type Windowing,
} from '@weir/dataflow'
import { operatorUid } from '@weir/model'
import { afterEach, expect, test } from 'vitest'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { MemoryLogSource, type MemoryRecord } from './testing/index.ts'

afterEach(stopAll)

const windowOf = (windowing: Windowing): GraphNode => ({ uid: operatorUid('w'), ...windowCountOf(windowing) })
const late: GraphNode = { kind: 'sideOutput', uid: operatorUid('w.late'), side: 'late' }
/** in → by-first → w → out, and what is late → late. */
const jobOf = (window: GraphNode, keyed: GraphNode = node.keyedBySource()) => {
  const job = chainOf([node.source(3), keyed, window, node.sink('out'), late, node.sink('late')])
  return {
    ...job,
    graph: {
      ...job.graph,
      edges: [
        [0, 1],
        [1, 2],
        [2, 3],
        [2, 4],
        [4, 5],
      ] as const,
    },
  }
}
const recordsOf = (...rows: [string, number][]): MemoryRecord[] =>
  records(...rows.map(([key, ts]): [string, number] => [`${key} ${ts}`, ts]))
const input: MemoryRecord[][] = [
  recordsOf(['a', 5], ['a', 12], ['a', 3], ['b', 11], ['a', 31], ['a', 19], ['b', 42], ['a', 26], ['a', 90], ['b', 70]),
  recordsOf(['a', 1_000], ['a', 990], ['a', 1_010], ['a', 1_001], ['b', 1_030], ['a', 1_000]),
]
const kinds: [name: string, GraphNode][] = [
  ['tumbling, offset', windowOf({ window: { type: 'tumbling', sizeMs: 10, offsetMs: 4 } })],
  ['tumbling, lateness', windowOf({ window: { type: 'tumbling', sizeMs: 10 }, allowedLatenessMs: 7 })],
  ['tumbling, early', windowOf({ window: { type: 'tumbling', sizeMs: 20 }, trigger: everyEventTime(6) })],
  ['sliding', windowOf({ window: { type: 'sliding', sizeMs: 20, slideMs: 5 } })],
  ['sliding, lateness', windowOf({ window: { type: 'sliding', sizeMs: 10, slideMs: 4 }, allowedLatenessMs: 3 })],
  ['sliding, by count', windowOf({ window: { type: 'sliding', sizeMs: 20, slideMs: 5 }, trigger: everyCount(2) })],
  ['session', windowOf({ window: { type: 'session', gapMs: 8 } })],
  ['session, by count', windowOf({ window: { type: 'session', gapMs: 8 }, trigger: everyCount(2) })],
  [
    'handed over whole',
    {
      uid: operatorUid('w'),
      ...windowProcessOf<string, unknown>({ type: 'sliding', sizeMs: 20, slideMs: 5 }, (values, { window }, out) =>
        out.emit({ ...window, value: values.join() }),
      ),
    },
  ],
  ['session, lateness', windowOf({ window: { type: 'session', gapMs: 8 }, allowedLatenessMs: 9 })],
  ['count', { ...windowOf(countWindow(2)) }],
  ['global', windowOf({ window: { type: 'global' }, trigger: everyEventTime(15) })],
  ['sessionize', { uid: operatorUid('w'), ...keyedProcessOf(sessionizing<string>(8)) }],
]
const hasLate = (window: GraphNode): boolean => window.kind !== 'window' || window.window.type !== 'global'

async function committedOf(job: ReturnType<typeof jobOf>, batchMax: number, stopAfter: number | null) {
  const world = new World()
  let snapshot: Parameters<Awaited<ReturnType<World['start']>>['run']>[0] = null
  if (stopAfter !== null) {
    const source = Object.assign(new MemoryLogSource(input, batchMax), { limit: stopAfter })
    const one = world.start(job, source)
    await one.run()
    await one.until(
      'progress',
      (r) => r.recordsIn === input.reduce((n, split) => n + Math.min(stopAfter, split.length), 0),
    )
    snapshot = await one.checkpoint(1)
    await one.commit(1)
    await one.slice.stop('leave')
  }
  const two = world.start(job, new MemoryLogSource(input, batchMax), 2)
  await two.run(snapshot)
  await two.until('input-ended')
  await two.checkpoint(2)
  await two.commit(2)
  const of = (uid: string) => world.topic(uid).committed.map(({ key, value }) => [key, value] as const)
  const timeOf = (value: unknown): number =>
    typeof value === 'string' ? Number(value.slice(2)) : (value as { start: number }).start
  // Splits take turns: each alone is in order.
  const bySplit = (rows: ReturnType<typeof of>) =>
    [0, 1].map((split) => rows.filter(([, value]) => split === Number(timeOf(value) > 500)))
  return { out: bySplit(of('out')), late: bySplit(of('late')) }
}

test.each(kinds)('%s: the same in any batches, and over a restart at any record', async (_name, window) => {
  const { graph, ...rest } = jobOf(window)
  const job = hasLate(window) ? { ...rest, graph } : chainOf([...graph.nodes.slice(0, 4)])
  const expected = await committedOf(job as never, 1, null)
  expect(expected.out.flat().length).toBeGreaterThan(4)
  for (const batchMax of [2, 3, 100]) expect(await committedOf(job as never, batchMax, null)).toEqual(expected)
  for (const stop of [1, 4, 7]) expect(await committedOf(job as never, 3, stop)).toEqual(expected)
})

test('late records are counted by operator, those of all splits together, and told with the progress', async () => {
  const world = new World()
  const window = windowOf({ window: { type: 'tumbling', sizeMs: 10 } })
  const splits = [recordsOf(['a', 50], ['a', 1], ['a', 60]), recordsOf(['b', 90], ['b', 2], ['b', 3], ['b', 99])]
  const one = world.start(jobOf(window), new MemoryLogSource(splits, 1))
  await one.run()
  const { late } = await one.until('progress', (r) => (r.late?.[0]?.records ?? 0) === 3)
  expect(late).toEqual([{ operator: 'w', records: 3 }])
})
