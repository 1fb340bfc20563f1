/** Timers of processing time in a slice: rows of a checkpoint, fired once by whoever has them when the clock is there. */
import { keyedProcessOf, type GraphNode, type Out } from '@weir/dataflow'
import { operatorUid } from '@weir/model'
import { systemClock } from './system/index.ts'
import { afterEach, expect, test } from 'vitest'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { MemoryLogSource } from './testing/index.ts'

afterEach(stopAll)

const reminders = (inMs: number): GraphNode => ({
  uid: operatorUid('reminders'),
  ...keyedProcessOf({
    timers: { remind: 'processing' },
    onRecord: ({ timers }, _value: unknown) => timers.remind.set(timers.remind.now() + inMs),
    onTimer: ({ key }, { time }, out: Out<string>) => out.emit(`${key} ${time}`),
  }),
})
const keyedBy = { keyBy: node.keyBy((v) => String(v)[0]!), keyedBySource: node.keyedBySource() }
const jobOf = (how: keyof typeof keyedBy, inMs: number) =>
  chainOf([node.source(0), keyedBy[how], reminders(inMs), node.sink('out')])
const input = [records(['a', 1], ['b', 2], ['a', 3], ['never read', 4])]
const source = (): MemoryLogSource => Object.assign(new MemoryLogSource(input, 10), { limit: 3 })
const committed = (world: World): unknown[] => world.topic('out').committed.map((r) => r.value)

test.each(['keyBy', 'keyedBySource'] as const)(
  'due while the job was down they fire once, not again after the next restart: %s',
  async (how) => {
    const world = new World()
    let now = 1_000
    world.clock = { ...systemClock, now: () => now }
    const job = jobOf(how, 500)
    const one = world.start(job, source())
    await one.run()
    await one.until('progress', (r) => r.recordsIn === 3)
    const first = await one.checkpoint(1)
    await one.commit(1)
    await one.slice.stop('leave')
    expect(committed(world)).toEqual([])

    now = 9_000
    const two = world.start(job, source(), 2)
    await two.run(first)
    await two.until('progress', (r) => r.recordsOut === 2)
    const second = await two.checkpoint(2)
    await two.commit(2)
    await two.slice.stop('leave')
    expect(committed(world)).toEqual(['a 1500', 'b 1500'])

    const three = world.start(job, source(), 3)
    await three.run(second)
    await three.checkpoint(3)
    await three.commit(3)
    expect(committed(world)).toEqual(['a 1500', 'b 1500'])
  },
)

test.each(['keyBy', 'keyedBySource'] as const)('an idle stage wakes up for them: %s', async (how) => {
  const world = new World()
  const one = world.start(jobOf(how, 30), source())
  await one.run()
  await one.until('progress', (r) => r.recordsOut >= 2)
})

test('behind the last barrier none fires: it would be in no epoch', async () => {
  const world = new World()
  let now = 1_000
  world.clock = { ...systemClock, now: () => now }
  const one = world.start(jobOf('keyBy', 500), source())
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 3)
  await one.checkpoint(1, true)
  now = 9_000
  await one.checkpoint(2)
  await one.commit(2)
  expect(committed(world)).toEqual([])
})
