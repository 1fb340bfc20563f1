import { LATENCY_BOUNDS_MS } from '@weir/dataflow'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CommitLatency } from './commit-latency.ts'

/** Upper bound → records; beyond the last: Infinity. */
const told = (latency: CommitLatency): Record<string, number> =>
  Object.fromEntries(
    (latency.take()?.counts ?? []).flatMap((n, i) => (n > 0 ? [[LATENCY_BOUNDS_MS[i] ?? Infinity, n]] : [])),
  )

test('records count when the barrier behind them is committed, by their age then', () => {
  const latency = new CommitLatency()
  latency.read(1_000, 5)
  latency.seal(1)
  latency.read(1_900, 2)
  latency.committed(1, 2_000)
  expect(told(latency)).toEqual({ 1000: 5 })
  latency.seal(2)
  latency.committed(2, 2_000)
  expect(told(latency)).toEqual({ 100: 2 })
})

test('what an epoch that was given up had prepared is committed with the next', () => {
  const latency = new CommitLatency()
  latency.read(1_000, 1)
  latency.seal(1)
  latency.read(1_400, 1)
  latency.seal(2)
  latency.committed(2, 1_500)
  expect(told(latency)).toEqual({ 100: 1, 500: 1 })
})

test('a record from a clock that is ahead is no older than nothing, one that does not say when it was written does not count', () => {
  const latency = new CommitLatency()
  latency.read(5_000, 1)
  latency.read(-1, 1)
  latency.seal(1)
  latency.committed(1, 4_000)
  expect(latency.take()).toMatchObject({ sumMs: 0, counts: [1, ...LATENCY_BOUNDS_MS.map(() => 0)] })
})

test('it is told once', () => {
  const latency = new CommitLatency()
  expect(latency.take()).toBeUndefined()
  latency.read(1, 1)
  latency.seal(1)
  expect(latency.take()).toBeUndefined()
  latency.committed(1, 2)
  expect(latency.take()).toBeDefined()
  expect(latency.take()).toBeUndefined()
})

test('however many times of writing and cuts there are, no record is lost or counted twice, and ages are off by little', () => {
  const step = fc.oneof(
    fc.record({ read: fc.integer({ min: 1, max: 10_000_000 }), records: fc.integer({ min: 1, max: 100 }) }),
    fc.constant('seal' as const),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 3_000, size: 'max' }), (steps) => {
      const latency = new CommitLatency()
      let [epoch, records] = [0, 0]
      for (const of of steps) {
        if (of === 'seal') latency.seal(++epoch)
        else {
          latency.read(of.read, of.records)
          records += of.records
        }
      }
      latency.seal(++epoch)
      latency.committed(epoch, 20_000_000)
      const counts = latency.take()?.counts ?? []
      expect(counts.reduce((sum, n) => sum + n, 0)).toBe(records)
    }),
    { numRuns: 30 },
  )
})
