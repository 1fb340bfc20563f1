/** Rates of a running slice: changed while its source waits, lowered by what lies behind, and told. */
import type { SourceNode } from '@weir/dataflow'
import { operatorUid } from '@weir/model'
import { systemClock } from './system/index.ts'
import { afterEach, expect, test } from 'vitest'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { SourcePace } from './source-pace.ts'
import { MemoryLogSource } from './testing/index.ts'

afterEach(stopAll)

const RECORDS = 5_000
const source = () =>
  new MemoryLogSource([records(...Array.from({ length: RECORDS }, (_, i): [string, number] => [`r${i}`, i]))], 2_000)
const limited = (of: Partial<SourceNode>): SourceNode => ({ ...node.source(0), ...of })
const job = (of: Partial<SourceNode>) => chainOf([limited(of), node.sink('out')])

test('a source that waits minutes for its next record hears of a new limit at once', async () => {
  const one = new World().start(job({ recordsPerSecond: 0.01 }), source())
  await one.run()
  const { rates } = await one.until('progress', (r) => r.rates !== undefined)
  expect(rates).toEqual([
    {
      source: 'in',
      limit: { recordsPerSecond: 0.01, minRecordsPerSecond: null },
      ...{ current: 0.01, reason: null },
    },
  ])
  one.slice.adjustRates({ in: { recordsPerSecond: null, minRecordsPerSecond: null } })
  await one.until('input-ended')
  await one.until('progress', (r) => r.rates?.[0]?.current === null)
})

test('a source that was not limited is, from then on', async () => {
  const read = source()
  read.limit = 10
  const one = new World().start(job({}), read)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 10)
  one.slice.adjustRates({
    in: { recordsPerSecond: 0.01, minRecordsPerSecond: null },
    other: { recordsPerSecond: 1, minRecordsPerSecond: null },
  })
  await one.until('progress', (r) => r.rates?.[0]?.current === 0.01)
  read.limit = RECORDS
  const { recordsIn } = await one.checkpoint(1)
  // What a poll had been granted before and did not use is a burst at most.
  expect(recordsIn).toBeLessThanOrEqual(11)
})

test('an event loop that hangs lowers the rate of a source that may be lowered, and says why', async () => {
  const world = new World()
  // Two seconds pass whenever a timer fires, as in a process that is starved.
  let later = 0
  world.clock = {
    ...systemClock,
    monotonic: () => systemClock.monotonic() + later,
    after: (ms, call) =>
      systemClock.after(ms, () => {
        later += 2_000
        call()
      }),
  }
  const one = world.start(job({ recordsPerSecond: 1, minRecordsPerSecond: 0.5 }), source())
  await one.run()
  const { rates } = await one.until('progress', (r) => (r.rates?.[0]?.current ?? 1) < 1)
  expect(rates).toMatchObject([{ reason: 'event-loop-lag', limit: { recordsPerSecond: 1 } }])
})

test('a subtask has its part of the limit, and of the minimum', () => {
  let now = 0
  const pace = new SourcePace(operatorUid('in'), { recordsPerSecond: 4_000, minRecordsPerSecond: 400 }, 4, () => now)
  pace.begin()
  now = 10_000
  expect(pace.take(2_000)).toBe(20)
  expect(pace.shown).toMatchObject({ limit: { recordsPerSecond: 1_000, minRecordsPerSecond: 100 }, current: 1_000 })
})
