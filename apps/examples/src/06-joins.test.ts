import type { Payment } from '@weir/sdk'
import { testJob } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import joins, { type Matched, type Pair } from './06-joins.ts'

const payment = (id: string, ts: number, user = 'ada'): Payment => ({ id, user, amountMinor: 500, status: 'PAID', ts })

test('an order and its payment find each other in either order, also across a restart', async () => {
  const t = testJob(joins, { parallelism: 2 })
  await t.feed('orders', [payment('a', 1_000)])
  await t.feed('payments', [payment('b', 1_500)])
  await t.checkpoint()
  await t.restart({ parallelism: 3 })
  await t.feed('payments', [payment('a', 2_000)])
  await t.feed('orders', [payment('b', 3_000)])
  const ids = t.output<Matched>('matched').map(({ value }) => value)
  expect(ids.map(({ kind, id }) => `${kind} ${id}`).sort()).toEqual(['paid a', 'paid b'])
})

test('who waits in vain is told when its time is over', async () => {
  const t = testJob(joins)
  await t.feed('orders', [payment('a', 1_000)])
  await t.feed('payments', [{ ...payment('a', 1_000), status: 'FAILED' }, payment('c', 2_000)])
  await t.advanceWatermark(12_000)
  const told = t.output<Matched>('matched').map(({ value }) => value)
  expect(told).toEqual(
    expect.arrayContaining([
      { kind: 'not-paid', id: 'a' },
      { kind: 'not-ordered', id: 'c' },
    ]),
  )
  expect(told).toHaveLength(2)
})

test('a user who orders and pays for something else within 2 s is a pair', async () => {
  const t = testJob(joins)
  await t.feed('orders', [payment('a', 1_000), payment('b', 9_000)])
  await t.feed('payments', [payment('a', 1_000), payment('x', 3_000), payment('y', 3_001), payment('z', 3_000, 'bob')])
  const pairs = t.output<Pair>('near').map(({ value }) => value)
  expect(pairs).toEqual([{ user: 'ada', ids: ['x', 'a'], apartMs: 2_000 }])
})
