import { afterEach, expect, test } from 'vitest'
import { PoolMeter, samplePools, type PoolState } from './connection-pools.ts'

const open: PoolMeter[] = []
afterEach(() => {
  for (const meter of open.splice(0)) meter.close()
})

function pool(name: string, max: number | null = 2) {
  let nowMs = 0
  let state: PoolState = { open: 0, busy: 0, waiting: 0, max }
  const meter = new PoolMeter(name, { monotonic: () => nowMs }, () => state)
  open.push(meter)
  return {
    meter,
    at(ms: number, busy: number, waiting: number): void {
      nowMs = ms
      state = { open: busy, busy, waiting, max }
    },
  }
}

test('a pool is exhausted from the look that finds somebody waiting until the one that does not', () => {
  const { meter, at } = pool('p')
  at(10, 2, 0)
  meter.look()
  at(20, 2, 1)
  meter.look()
  at(50, 2, 3)
  meter.look()
  at(60, 2, 0)
  expect(samplePools()).toEqual([{ pool: 'p', open: 2, busy: 2, waiting: 0, max: 2, exhaustedMs: 40 }])
  at(90, 0, 0)
  expect(samplePools()).toMatchObject([{ exhaustedMs: 0 }])
})

test('a call is looked at when it has begun and when it is over, also when it fails', async () => {
  const { meter, at } = pool('p')
  const call = meter.during(() => {
    at(0, 2, 1)
    return new Promise<never>((_, reject) => setImmediate(() => reject(new Error('away'))))
  })
  at(30, 1, 0)
  await expect(call).rejects.toThrow('away')
  expect(samplePools()).toMatchObject([{ busy: 1, waiting: 0, exhaustedMs: 30 }])
})

test('pools of one name are one, and one that is closed is none', () => {
  const [a, b, other] = [pool('p'), pool('p'), pool('q', null)]
  a.at(1, 1, 0)
  b.at(1, 2, 4)
  other.at(1, 1, 0)
  expect(samplePools()).toEqual([
    { pool: 'p', open: 3, busy: 3, waiting: 4, max: 4, exhaustedMs: 0 },
    { pool: 'q', open: 1, busy: 1, waiting: 0, max: null, exhaustedMs: 0 },
  ])
  b.meter.close()
  expect(samplePools()).toMatchObject([{ busy: 1, max: 2 }, { pool: 'q' }])
})
