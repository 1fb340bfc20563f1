import type { Payment } from '@weir/sdk'
import { testJob } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import idempotent from './08-idempotent.ts'

const DAY_MS = 86_400_000
const payment = (id: string, of: Partial<Payment> = {}): Payment => {
  return { id, user: 'ada', amountMinor: 100, status: 'PAID', ts: 1_000, ...of }
}

test('a payment that comes again counts once, also behind a restart; for a day', async () => {
  const t = testJob(idempotent, { parallelism: 2 })
  await t.feed('payments', [payment('p-1'), payment('p-1'), payment('p-3')]) // the example itself sends p-3 again
  await t.checkpoint()
  await t.restart({ parallelism: 3 })
  await t.feed('payments', [payment('p-1'), payment('p-2', { ts: 2_000 })])
  expect(t.output('spent').map(({ value }) => value)).toEqual([100, 200, 300])
  await t.advanceWatermark(2 * DAY_MS)
  await t.feed('payments', [payment('p-1', { ts: 2 * DAY_MS })])
  expect(t.output('spent').at(-1)?.value).toBe(400)
  expect(t.output('conflicts')).toEqual([])
})

test('the same id with another amount is a conflict, and does not count', async () => {
  const t = testJob(idempotent)
  await t.feed('payments', [payment('p-1'), payment('p-1', { amountMinor: 999 })])
  expect(t.output('spent')).toHaveLength(1)
  const [conflict] = t.output('conflicts')
  expect(conflict).toMatchObject({
    key: 'p-1',
    value: { kind: 'CONFLICT', bizKey: 'p-1', value: { amountMinor: 999 } },
  })
})
