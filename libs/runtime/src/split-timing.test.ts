/** Idle splits, aligned splits and watermarks of the job's own in a slice, and in whole fleets drawn by chance. */
import { keyedProcessOf, type CustomWatermarks, type GraphNode, type Out, type SourceNode } from '@weir/dataflow'
import { operatorUid, subtask } from '@weir/model'
import { systemClock } from './system/index.ts'
import { afterEach, expect, test } from 'vitest'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { ChanceStores, runAttempt } from './testing/chance-fleet.ts'
import { ChanceWorld } from './testing/chance.ts'
import { ALIGN_BOUND_MS_MAX } from './split-timing.ts'
import { MemoryLogSource, type MemoryRecord } from './testing/index.ts'

afterEach(stopAll)

const sourceWith = (of: Partial<SourceNode>): SourceNode => ({ ...node.source(0), ...of })
const committed = (world: World): unknown[] => world.topic('out').committed.map(({ value }) => value)

/** Splits in `closed` have no records for now. Writes down what was read, in order. */
class GatedSource extends MemoryLogSource {
  readonly closed = new Set<number>()
  readonly read: [split: number, ts: number][] = []

  override async poll(maxRecords: number, held?: ReadonlySet<number>) {
    const polled = await super.poll(maxRecords, new Set([...(held ?? []), ...this.closed]))
    if (typeof polled === 'object' && polled.kind === 'values')
      for (const ts of polled.timestamps) this.read.push([polled.split, ts])
    return polled
  }
}

const windowed = (source: SourceNode) =>
  chainOf([source, node.keyBy(() => 'all'), node.count('per-100', 100), node.sink('out')])

test('a split that has had nothing for long lets the windows of the others fire; when it is back it counts again', async () => {
  const source = new GatedSource(
    [records(['a', 10], ['a', 120], ['a', 250], ['a', 400]), records(['b', 20], ['b', 260])],
    1,
  )
  source.closed.add(1)
  source.limit = 2
  const world = new World()
  const one = world.start(windowed(sourceWith({ idleAfterMs: 100 })), source)
  await one.run()
  // Only then: should both fall idle at once, as on a slow machine, time would stand still for ever.
  await one.until('progress', (r) => r.splits?.some(({ split, state }) => split === 1 && state === 'idle') === true)
  source.limit = 3
  await one.until('progress', (r) => r.recordsIn === 3 && r.watermark >= 200)
  await one.checkpoint(1)
  await one.commit(1)
  expect(committed(world)).toEqual([
    { start: 0, end: 100, value: 1 },
    { start: 100, end: 200, value: 1 },
  ])
  source.closed.clear()
  source.limit = 4
  await one.until('input-ended')
  await one.checkpoint(2)
  await one.commit(2)
  // The record at 20 is late by now.
  expect(committed(world).slice(2)).toEqual([
    { start: 200, end: 300, value: 2 },
    { start: 400, end: 500, value: 1 },
  ])
})

test('when every split is idle, time stands still and nothing fires; a restore begins to look for itself', async () => {
  const splits = [records(['a', 10], ['a', 120]), records(['b', 20], ['b', 130])]
  const source = new GatedSource(splits, 1)
  source.limit = 1
  const world = new World()
  const job = windowed(sourceWith({ idleAfterMs: 100 }))
  const one = world.start(job, source)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 2)
  source.closed.add(0)
  source.closed.add(1)
  await one.until('progress', (r) => r.splits?.every(({ state }) => state === 'idle') === true)
  const snapshot = await one.checkpoint(1)
  await one.commit(1)
  await one.slice.stop('leave')
  expect(committed(world)).toEqual([])
  const two = world.start(job, new MemoryLogSource(splits, 1), 2)
  await two.run(JSON.parse(JSON.stringify(snapshot)) as typeof snapshot)
  await two.until('input-ended')
  await two.checkpoint(2)
  await two.commit(2)
  expect(committed(world)).toEqual([
    { start: 0, end: 100, value: 2 },
    { start: 100, end: 200, value: 2 },
  ])
})

test('a split that is aligned leads by the bound and one batch at most, whichever is full of records', async () => {
  const BATCH = 3
  const fast = records(...Array.from({ length: 300 }, (_, i): [string, number] => ['f', i]))
  const slow = records(...Array.from({ length: 100 }, (_, i): [string, number] => ['s', i * 3]))
  const source = new GatedSource([fast, slow], BATCH)
  const world = new World()
  const job = windowed(sourceWith({ alignWithinMs: 20 }))
  const one = world.start(job, source)
  await one.run()
  await one.until('input-ended')
  const at = [0, 0]
  let lead = 0
  for (const [split, ts] of source.read) {
    at[split] = ts
    if (ts < 290) lead = Math.max(lead, Math.abs(at[0]! - at[1]!))
  }
  expect(source.read).toHaveLength(400)
  expect(lead).toBeGreaterThan(5)
  expect(lead).toBeLessThanOrEqual(20 + 3 * BATCH)
})

test('a split that has nothing for a second is not waited for, though its event time still is', async () => {
  const source = new GatedSource([records(...[10, 100, 200, 300].map((ts): [string, number] => ['a', ts])), []], 1)
  source.closed.add(1)
  const world = new World()
  const one = world.start(windowed(sourceWith({ alignWithinMs: 20 })), source)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 4)
  const { watermark } = await one.until('progress', (r) => r.recordsIn === 4)
  expect(watermark).toBe(Number.MIN_SAFE_INTEGER)
})

test('splits that fall quiet at the same moment do so from the slowest on: event time comes as far as the fastest', async () => {
  const source = new GatedSource([records(['a', 10], ['a', 120], ['a', 250], ['a', 400]), records(['b', 20])], 1)
  source.closed.add(1)
  source.limit = 3
  const world = new World()
  let later = 0
  world.clock = { ...systemClock, monotonic: () => systemClock.monotonic() + later }
  const one = world.start(windowed(sourceWith({ idleAfterMs: 100_000 })), source)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 3)
  // 250 ms at most count of each poll.
  const tick = setInterval(() => (later += 1_000), 1)
  await one.until('progress', (r) => r.splits?.every(({ state }) => state === 'idle') === true && r.watermark >= 200)
  clearInterval(tick)
})

test('what others let it read holds every split; it is raised, or has expired, and nobody is held any more', async () => {
  const split = records(...Array.from({ length: 20 }, (_, i): [string, number] => ['a', i * 10]))
  const world = new World()
  let later = 0
  world.clock = { ...systemClock, monotonic: () => systemClock.monotonic() + later }
  const source = new GatedSource([split], 1)
  const one = world.start(windowed(sourceWith({ alignWithinMs: 20 })), source)
  await one.slice.recover(null)
  const in_ = operatorUid('in')
  one.slice.align([{ source: in_, atMost: Number.MIN_SAFE_INTEGER + 20 }])
  await one.slice.run([{ subtask: subtask(0), taskManagerId: 'tm', exchangeAddress: '' }])
  const held = await one.until('progress', (r) => r.splits?.[0]?.state === 'ahead')
  expect(held).toMatchObject({ recordsIn: 1, lows: [{ source: 'in', low: 0 }] })
  one.slice.align([{ source: in_, atMost: 50 }])
  await one.until('progress', (r) => r.recordsIn === 7) // up to 50, and one batch
  one.slice.align([{ source: in_, atMost: 60 }])
  await one.until('progress', (r) => r.recordsIn === 8)
  expect(source.read).toHaveLength(8)
  later = ALIGN_BOUND_MS_MAX
  await one.until('input-ended')
  expect((await one.until('progress', (r) => r.recordsIn === 20)).lows).toEqual([{ source: 'in', low: null }])
})

test('a split that is quiet, or has ended, is none that others wait for', async () => {
  const source = new GatedSource([records(['a', 10]), records(['b', 500])], 1)
  source.closed.add(0)
  const world = new World()
  const one = world.start(windowed(sourceWith({ alignWithinMs: 20, idleAfterMs: 100 })), source)
  await one.run()
  await one.until('progress', (r) => r.lows?.[0]?.low === Number.MIN_SAFE_INTEGER)
  await one.until('progress', (r) => r.lows?.[0]?.low === null)
  source.closed.clear()
  await one.until('input-ended')
})

// A marker says until when its split is complete; the times of other records say nothing.
const markers: CustomWatermarks<string, number> = {
  initial: 0,
  onEvent: (until, value) => (value.startsWith('until ') ? Number(value.slice(6)) : until),
  watermark: (until) => until || null,
}
test.each([1, 2, 3, 100])(
  'watermarks of the job itself are those of a split alone, in batches of %i, also behind a restore',
  async (batchMax) => {
    const process = keyedProcessOf({
      onRecord: ({ watermark }, value: unknown, out: Out<string>) =>
        out.emit(`${String(value)} at ${watermark < 0 ? 'none' : watermark}`),
    })
    const source = sourceWith({ watermarks: markers as unknown as CustomWatermarks<unknown, unknown> })
    const job = chainOf([source, node.keyedBySource(), { uid: operatorUid('p'), ...process }, node.sink('out')])
    const split = records(['a', 50], ['until 10', 1], ['b', 60], ['until 30', 1], ['c', 5], ['until 20', 1], ['d', 90])
    const world = new World()
    const first = new MemoryLogSource([split], batchMax)
    first.limit = 4
    const one = world.start(withCuts(job), first)
    await one.run()
    await one.until('progress', (r) => r.recordsIn === 4)
    const snapshot = await one.checkpoint(1)
    expect(snapshot.watermarkFolds).toEqual({ 'in/0': 30 })
    await one.commit(1)
    await one.slice.stop('leave')
    const two = world.start(withCuts(job), new MemoryLogSource([split], batchMax), 2)
    await two.run(JSON.parse(JSON.stringify(snapshot)) as typeof snapshot)
    await two.until('input-ended')
    await two.checkpoint(2)
    await two.commit(2)
    expect(committed(world)).toEqual([
      ...['a at none', 'until 10 at none', 'b at 10', 'until 30 at 10', 'c at 30', 'until 20 at 30', 'd at 30'],
    ])
  },
)
/** As it is: a process cuts at every millisecond. */
const withCuts = <T>(job: T): T => job

// ---- fleets by chance -----------------------------------------------------------------------------------------------

const WINDOW_MS = 100
const nodesOf = (source: SourceNode): GraphNode[] => [
  source,
  { kind: 'keyBy', uid: operatorUid('by-user'), key: (id) => `u${(id as number) % 5}` },
  node.count('per-window', WINDOW_MS),
  node.sink('counts'),
  { kind: 'reduce', uid: operatorUid('ids'), initial: [], reduce: (list, id) => [...(list as number[]), id as number] },
  node.sink('lists'),
]
// prettier-ignore
const edges = [[0, 1], [1, 2], [2, 3], [1, 4], [4, 5]] as const

test.each(Array.from({ length: 30 }, (_, seed) => seed))(
  'seed %i: aligned, idle, slow, crashed or rescaled, every record has its effect once, and nobody waits for ever',
  async (seed) => {
    const world = new ChanceWorld(seed)
    const stores = new ChanceStores()
    const splits = Array.from({ length: world.whole(2, 5) }, (_, split) =>
      Array.from({ length: world.whole(0, 40) }, (_, i): MemoryRecord => {
        return { value: i * 10 + split, ts: 1_000 + i * world.whole(1, 40) }
      }),
    )
    const mayBeLate = world.is(0.5)
    const source = sourceWith({
      outOfOrderMs: 2_000,
      alignWithinMs: world.is(0.7) ? world.whole(1, 200) : null,
      idleAfterMs: mayBeLate ? 100 : world.is(0.5) ? 600_000 : null,
    })
    for (let attempts = 1; ; attempts++) {
      const parallelism = world.whole(1, 3)
      const { settings, ...job } = chainOf(nodesOf(source), { parallelism })
      const checkpoint = { ...settings.checkpoint, unaligned: world.is(0.3) }
      const finished = await runAttempt(world, stores, {
        job: { ...job, settings: { ...settings, checkpoint }, graph: { nodes: nodesOf(source), edges } },
        ...{ splits, batchMax: 5, linkMs: 20, sinkMs: 20, inFlightBytesMax: 1 << 20 },
        crashAfterMs: attempts < 5 ? world.whole(50, 1_500) : null,
      })
      if (finished) break
      expect(attempts).toBeLessThan(40)
    }
    const all = splits.flat().map(({ value }) => value as number)
    const last = stores.committed('lists').map(({ value }) => value as number[])
    const longest = new Map<number, number[]>()
    for (const list of last) {
      const user = list[0]! % 5
      if (list.length > (longest.get(user)?.length ?? 0)) longest.set(user, list)
    }
    expect([...longest.values()].flat().sort((a, b) => a - b)).toEqual(all.sort((a, b) => a - b))
    expect(last).toHaveLength(all.length)
    const counted = stores.committed('counts').reduce((n, { value }) => n + (value as { value: number }).value, 0)
    if (mayBeLate) expect(counted).toBeLessThanOrEqual(all.length)
    else expect(counted).toBe(all.length)
  },
)
