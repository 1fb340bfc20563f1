import { testJob } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import batches, { type Batch } from './03-batches.ts'

const orders = (from: number, to: number): object[] =>
  Array.from({ length: to - from }, (_, i) => ({ id: from + i, amountMinor: 10 }))

test('every order is in one batch, also of those that were open at a restart', async () => {
  const t = testJob(batches, { parallelism: 2, partitions: 4 })
  await t.feed('orders', orders(0, 230))
  await t.checkpoint()
  await t.feed('orders', orders(230, 250))
  await t.restart()
  await t.feed('orders', orders(250, 300))
  await t.restart({ parallelism: 3 })
  await t.end()
  const out = t.committed<Batch>('order-batches').map(({ value }) => value)
  expect(out.flatMap((batch) => batch.orders).sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => i))
  expect(out.every(({ orders, sumMinor }) => sumMinor === orders.length * 10)).toBe(true)
})
