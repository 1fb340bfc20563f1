import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sampledIn } from './sampled-offsets.ts'

/** Where records lie, with gaps; cut into polls. */
const log = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 400, size: 'max' }).map((steps) => {
  let offset = 0
  return steps.map((step) => (offset += step))
})
const inPolls = (offsets: readonly number[], cuts: readonly number[], every: number): number[] => {
  const bounds = [0, ...cuts.map((cut) => cut % (offsets.length + 1)).sort((a, b) => a - b), offsets.length]
  return bounds.slice(1).flatMap((to, i) => {
    const poll = offsets.slice(bounds[i], to)
    return sampledIn(poll, poll.length, every).map((index) => poll[index]!)
  })
}

test('the same records are sampled however a log is read', () => {
  fc.assert(
    fc.property(log, fc.array(fc.nat(), { maxLength: 9 }), fc.integer({ min: 1, max: 50 }), (offsets, cuts, every) => {
      expect(inPolls(offsets, cuts, every)).toEqual(inPolls(offsets, [], every))
    }),
  )
})

test('of each run of offsets one is drawn, whatever pattern the gaps have', () => {
  const every = 100
  const all = Array.from({ length: 100_000 }, (_, i) => i)
  expect(sampledIn(all, all.length, every)).toHaveLength(1_000)
  // As a producer leaves it that ends a transaction behind every 99 records.
  for (const marker of [0, 50, 99]) {
    const records = all.filter((offset) => offset % every !== marker)
    const sampled = sampledIn(records, records.length, every).length
    expect(sampled).toBeGreaterThan(900)
    expect(sampled).toBeLessThanOrEqual(1_000)
  }
})

test('all, or none', () => {
  expect(sampledIn([3, 4, 9], 3, 1)).toEqual([0, 1, 2])
  expect(sampledIn([3, 4, 9], 3, Number.POSITIVE_INFINITY)).toEqual([])
  expect(sampledIn([], 0, 1)).toEqual([])
})
