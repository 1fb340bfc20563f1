import type { Payment } from '@weir/sdk'
import { testJob } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import payments from './02-payments.ts'

const payment = (of: Partial<Payment>): Payment => {
  return { id: 'p', user: 'ada', amountMinor: 100, status: 'PAID', ts: 1_000, ...of }
}

test('generated payments are fed by the name of their source', async () => {
  const t = testJob(payments, { parallelism: 2, partitions: 2 })
  await t.feed('payments', [payment({}), payment({ user: 'bob' }), payment({ status: 'FAILED' }), payment({})])
  expect(
    t
      .output('payment-sums')
      .filter(({ key }) => key === 'ada')
      .at(-1)?.value,
  ).toEqual({ sum: 200, count: 2 })
  await t.end()
  expect(t.committed('payment-counts')).toHaveLength(2)
})
