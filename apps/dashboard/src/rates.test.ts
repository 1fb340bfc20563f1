import { expect, test } from 'vitest'
import { NO_RATES, SLIDER_MAX, limitOf, rateAt, rateIn, sampled, stepOf } from './rates.ts'
import type { Rate } from './view.ts'

const none = { rates: [] }
const limited = (recordsPerSecond: number | null, over: Partial<Rate> = {}): Rate => ({
  ...{ source: 'in', recordsPerSecond, minRecordsPerSecond: null, current: null, reason: null },
  ...over,
})

test('a rate is what was read between two looks; a restart begins anew', () => {
  let rates = sampled(NO_RATES, 1_000, { attempt: 1, recordsIn: 100, ...none })
  rates = sampled(rates, 3_000, { attempt: 1, recordsIn: 1_100, ...none })
  expect(rates).toMatchObject({ at: [3], perSecond: [500] })
  rates = sampled(rates, 5_000, { attempt: 2, recordsIn: 5_000, ...none })
  expect(rates.perSecond).toEqual([500])
  rates = sampled(rates, 6_000, { attempt: 2, recordsIn: 5_200, ...none })
  expect(rates).toMatchObject({ at: [3, 6], perSecond: [500, 200] })
  for (let i = 1; i <= 700; i++)
    rates = sampled(rates, 6_000 + i * 1_000, { attempt: 2, recordsIn: 5_200 + i, ...none })
  expect(rates.at.length).toBe(600)
  const soon = sampled(rates, 6_000 + 700_999, { attempt: 2, recordsIn: 1e9, ...none })
  expect(soon, 'what comes sooner is part of the next one').toBe(rates)
})

test('a change of the limit is seen when it is told, also between two samples, and forgotten with what stands beside it', () => {
  const look = (at: number, limit: number | null) => ({
    at,
    job: { attempt: 1, recordsIn: at, rates: [limited(limit)] },
  })
  let rates = NO_RATES
  for (const { at, job } of [look(1_000, null), look(2_000, null), look(2_100, 500), look(3_000, 500)])
    rates = sampled(rates, at, job)
  expect(rates.changes).toEqual([{ at: 2.1, from: null, to: 500 }])
  expect([rates.at, rates.limit]).toEqual([
    [2, 2.1, 3],
    [null, 500, 500],
  ])
  expect(rates.perSecond).toEqual([1_000, null, 1_000])
  for (let i = 1; i <= 600; i++) rates = sampled(rates, 3_000 + i * 1_000, look(3_000 + i * 1_000, 500).job)
  expect(rates.changes).toEqual([])
})

test('limits of several sources add up, and with one that has none there is none', () => {
  expect(limitOf([limited(100), limited(50)])).toBe(150)
  expect(limitOf([limited(100), limited(null)])).toBeNull()
  expect(limitOf([])).toBeNull()
})

test('a rate that was lowered stands beside its limit', () => {
  const slow = [limited(100, { current: 60, reason: 'slow-reads' }), limited(50)]
  let rates = sampled(NO_RATES, 0, { attempt: 1, recordsIn: 0, rates: slow })
  rates = sampled(rates, 1_000, { attempt: 1, recordsIn: 0, rates: slow })
  expect([rates.limit, rates.lowered]).toEqual([[150], [110]])
})

test('every step of the slider is a rate that leads back to it, its last is no limit, and what lies beyond is at an end', () => {
  for (let step = 0; step <= SLIDER_MAX; step++) expect(stepOf(rateAt(step))).toBe(step)
  expect([rateAt(0), rateAt(SLIDER_MAX - 1), rateAt(SLIDER_MAX)]).toEqual([10, 10_000_000, null])
  expect([stepOf(1), stepOf(1e9)]).toEqual([0, SLIDER_MAX - 1])
})

test('an empty rate is no limit', () => expect([rateIn(' '), rateIn('500')]).toEqual([null, 500]))
