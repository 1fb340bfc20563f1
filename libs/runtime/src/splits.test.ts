/** Chains per split: a job that is keyed by its source, against a recount of each split on its own. */
import { keyedProcessOf, type Out, type ValueDescriptor } from '@weir/dataflow'
import { operatorUid } from '@weir/model'
import { afterEach, expect, test } from 'vitest'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { MemoryLogSource } from './testing/index.ts'

afterEach(stopAll)

const committed = (world: World, uid: string): unknown[] => world.topic(uid).committed.map((r) => r.value)

test('equal keys of two splits are two keys, also behind a restore', async () => {
  const job = chainOf([node.source(0), node.keyedBySource(), node.concat('log'), node.sink('out')])
  const splits = [records(['a1', 1], ['a2', 2], ['a3', 3]), records(['a7', 1], ['b8', 2], ['a9', 3])]
  const world = new World()
  const first = new MemoryLogSource(splits, 10)
  first.limit = 2
  const one = world.start(job, first)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 4)
  const snapshot = await one.checkpoint(1)
  await one.commit(1)
  await one.slice.stop('leave')
  expect(committed(world, 'out')).toEqual(['a1 ', 'a1 a2 ', 'a7 ', 'b8 '])

  const two = world.start(job, new MemoryLogSource(splits, 10), 2)
  await two.run(snapshot)
  await two.until('input-ended')
  await two.checkpoint(2)
  await two.commit(2)
  expect(committed(world, 'out').slice(4)).toEqual(['a1 a2 a3 ', 'a7 a9 '])
})

// Out of order inside a batch: with one watermark per batch the late record would count in some batchings only.
const disordered = [
  records(['a', 5], ['a', 12], ['a', 3], ['b', 11], ['a', 31], ['a', 19], ['b', 42]),
  records(['a', 1_000], ['a', 990], ['a', 1_010], ['a', 1_001]),
]
test.each([1, 2, 3, 100])('windows of a split depend on its records alone, in batches of %i', async (batchMax) => {
  const job = chainOf([node.source(0), node.keyedBySource(), node.count('per-10', 10), node.sink('out')])
  const world = new World()
  const one = world.start(job, new MemoryLogSource(disordered, batchMax))
  await one.run()
  await one.until('input-ended')
  await one.checkpoint(1)
  await one.commit(1)
  const windows = world.topic('out').committed.map(({ key, value }) => {
    const { start, value: n } = value as { start: number; value: number }
    return [key, start, n] as const
  })
  expect(windows.filter(([, start]) => start < 100)).toEqual([
    ['a', 0, 1], // the record at 3 is late: 12 came before it
    ['a', 10, 1],
    ['b', 10, 1],
    ['a', 30, 1], // and so is the one at 19
    ['b', 40, 1],
  ])
  expect(windows.filter(([, start]) => start >= 100)).toEqual([
    ['a', 1_000, 1], // the one at 1,001 is late, and 990 before it
    ['a', 1_010, 1],
  ])
})

// Event timers and TTL are event time of the split: the continuous scope replays them.
test.each([1, 2, 3, 100])(
  "timers and state with a TTL depend on a split's records alone, in batches of %i",
  async (batchMax) => {
    const last: ValueDescriptor<number> = { kind: 'value', ttl: { ms: 10, update: 'write' }, initial: undefined }
    const process = keyedProcessOf({
      state: { last },
      timers: { later: 'event' },
      onRecord({ state, timers, timestamp, watermark, key }, _value: unknown, out: Out<string>) {
        out.emit(`${key} ${timestamp} after ${String(state.last.get())}, ${watermark < 0 ? 'none' : watermark}`)
        state.last.set(timestamp)
        timers.later.set(timestamp + 7)
      },
      onTimer: ({ state }, { time }, out: Out<string>) => out.emit(`at ${time}: ${String(state.last.get())}`),
    })
    const world = new World()
    const job = chainOf([node.source(0), node.keyedBySource(), { uid: operatorUid('p'), ...process }, node.sink('out')])
    const one = world.start(job, new MemoryLogSource(disordered.slice(0, 1), batchMax))
    await one.run()
    await one.until('input-ended')
    await one.checkpoint(1)
    await one.commit(1)
    expect(committed(world, 'out')).toEqual([
      'a 5 after undefined, none',
      'a 12 after 5, 5',
      'at 12: 12',
      'a 3 after 12, 12',
      'b 11 after undefined, 12',
      'a 31 after undefined, 12',
      'at 10: 31',
      'at 18: 11',
      'at 19: 31',
      'a 19 after 31, 31',
      'b 42 after undefined, 31',
      'at 26: 19',
      'at 38: 19',
      'at 49: 42',
    ])
  },
)

test('behind a keyBy the event time of all splits counts: a slow split is not late there', async () => {
  const job = chainOf([
    node.source(0),
    node.keyedBySource(),
    node.concat('log'),
    node.keyBy(() => 'all'),
    node.count('per-100', 100),
    node.sink('out'),
  ])
  const fast = records(['a', 10], ['a', 500], ['a', 900])
  const slow = records(['b', 20], ['b', 30])
  const world = new World()
  const one = world.start(job, new MemoryLogSource([fast, slow], 1))
  await one.run()
  await one.until('input-ended')
  await one.checkpoint(1)
  await one.commit(1)
  expect(committed(world, 'out')).toEqual([
    { start: 0, end: 100, value: 3 },
    { start: 500, end: 600, value: 1 },
    { start: 900, end: 1_000, value: 1 },
  ])
})
