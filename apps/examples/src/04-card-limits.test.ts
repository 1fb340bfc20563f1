import type { Payment } from '@weir/sdk'
import { testJob, testProcess } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import cardLimits, { limits, type Decision } from './04-card-limits.ts'

const DAY_MS = 86_400_000
let id = 0
const payment = (ts: number, amountMinor = 100): Payment => {
  return { id: `p${++id}`, user: 'ada', amountMinor, status: 'PAID', ts }
}

test('the process alone: the limit is of one day, and a quiet card is reported', () => {
  const p = testProcess(limits)
  p.record('ada', payment(1_000, 900_000), 1_000)
  p.record('ada', payment(2_000, 900_000), 2_000)
  expect(p.emitted.map(({ value }) => value.kind)).toEqual(['approved', 'over-limit'])
  expect(p.state('ada').spent.get()).toBe(900_000)
  p.advanceWatermark(DAY_MS)
  expect(p.emitted.at(-1)).toMatchObject({ value: { kind: 'quiet', payments: 2 }, timestamp: 62_000 })
  expect(p.state('ada').spent.get()).toBe(0)
})

test('in its job: a burst is seen across a restart', async () => {
  const t = testJob(cardLimits, { parallelism: 2 })
  await t.feed('payments', [payment(1_000), payment(1_100), payment(1_200)])
  await t.checkpoint()
  await t.restart()
  await t.feed('payments', [payment(1_300), payment(1_400), payment(9_000)])
  const kinds = t.output<Decision>('card-decisions').map(({ value }) => value.kind)
  expect(kinds).toEqual(['approved', 'approved', 'approved', 'approved', 'burst', 'approved'])
})
