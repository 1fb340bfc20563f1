import { testJob } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import orders from './01-orders.ts'

let id = 0
const order = (of: object): object => ({ id: ++id, user: 'ada', amountMinor: 100, status: 'PAID', ts: 1_000, ...of })

test('paid orders are summed per user, and counted when their 10 s are over', async () => {
  const t = testJob(orders)
  await t.feed('orders', [order({ amountMinor: 500 }), order({ amountMinor: 250 }), order({ status: 'FAILED' })])
  expect(t.output('order-sums').at(-1)).toEqual({ key: 'ada', value: { sum: 750, count: 2 } })

  await t.checkpoint()
  await t.restart()
  await t.feed('orders', [order({ ts: 2_000 })])
  expect(t.output('order-sums').at(-1)).toEqual({ key: 'ada', value: { sum: 850, count: 3 } })

  await t.advanceWatermark(10_000)
  expect(t.output('order-counts')).toEqual([{ key: 'ada', value: { start: 0, end: 10_000, value: 3 } }])
})

test('an order that is none stops the job, and says which', async () => {
  const t = testJob(orders)
  await expect(t.feed('orders', [order({ amountMinor: 0.5 })])).rejects.toMatchObject({
    code: 'DECODE_FAILED',
    facts: { operatorUid: 'orders', split: 0, offset: 0 },
  })
})
