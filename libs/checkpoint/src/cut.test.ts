import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CUT_LEAD_MS, chooseCut, observeReach, type SourceProgress } from './cut.ts'

const source = (low: number, high = low, rate = 0): SourceProgress => ({
  ...({ low, high } as Pick<SourceProgress, 'low' | 'high'>),
  ...{ atMs: 0, rate },
})

test('T is just in front of the fastest source, and within the bound of the slowest', () => {
  expect(chooseCut([source(100), source(400)], 1_000)).toEqual({ mode: 'watermark', time: 401 })
  expect(chooseCut([source(100), source(400)], 301)).toEqual({ mode: 'watermark', time: 401 })
  expect(chooseCut([source(100), source(400)], 300)).toMatchObject({
    mode: 'barrier',
    why: 'the slowest source is 300 ms of event time behind the fastest, which covers 0 ms while it is told: together more than the bound of 300 ms',
  })
})

test('it leads by what the fastest covers until it is told', () => {
  expect(chooseCut([source(100, 400, 2)], 5_000)).toEqual({ mode: 'watermark', time: 401 + 2 * CUT_LEAD_MS })
})

test('without an active source, or before its first record, there is no event time to cut at', () => {
  expect(chooseCut([], 1_000)).toEqual({ mode: 'barrier', why: 'no source is active' })
  expect(chooseCut([source(Number.MIN_SAFE_INTEGER, 5)], 1_000)).toMatchObject({ mode: 'barrier' })
})

test('the rate is a mean of what was seen, and never below zero', () => {
  const at = (high: number) => ({ low: high, high }) as Pick<SourceProgress, 'low' | 'high'>
  const first = observeReach(undefined, at(1_000), 0)
  expect(first.rate).toBe(0)
  const second = observeReach(first, at(2_000), 100)
  expect(second.rate).toBeCloseTo(3)
  expect(observeReach(second, at(1_500), 200).rate).toBeCloseTo(2.1)
  expect(observeReach(second, at(3_000), 100)).toMatchObject({ high: 3_000, rate: second.rate })
})

test('B2: whatever the sources, T is above all of them and never more than the bound ahead of the slowest', () => {
  const any = fc.tuple(fc.integer(), fc.nat(10_000), fc.double({ min: 0, max: 50, noNaN: true }))
  fc.assert(
    fc.property(fc.array(any, { minLength: 1 }), fc.nat(100_000), (all, boundMs) => {
      const sources = all.map(([low, spread, rate]) => source(low, low + spread, rate))
      const cut = chooseCut(sources, boundMs)
      if (cut.mode === 'barrier') return
      for (const { low, high } of sources) {
        expect(cut.time).toBeGreaterThan(high)
        expect(cut.time - low).toBeLessThanOrEqual(boundMs)
      }
    }),
  )
})
