import type { Payment } from '@weir/sdk'
import { testJob } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import windows from './05-windows.ts'

const payment = (number: number, ts: number, amountMinor: number): Payment => {
  return { id: `p-0-${number}`, user: 'ada', amountMinor, status: 'PAID', ts }
}

test('a window is told when event time has passed its end, out of order or not', async () => {
  const t = testJob(windows)
  await t.feed('payments', [payment(1, 9_000, 100), payment(2, 11_000, 1), payment(3, 8_000, 20)])
  await t.feed('payments', [payment(4, 11_999, 5)])
  expect(t.output('spent-per-10s')).toEqual([])
  await t.feed('payments', [payment(5, 12_000, 7)])
  expect(t.output('spent-per-10s')).toEqual([{ key: 'ada', value: { start: 0, end: 10_000, value: 120 } }])
})

test('what is too late for its window corrects it, once, also behind a restart', async () => {
  const t = testJob(windows, { parallelism: 2 })
  await t.feed('payments', [payment(1, 40_000, 100)])
  await t.checkpoint()
  await t.feed('payments', [payment(50, 41_000, 30)]) // made 30 s earlier, and offline since
  await t.restart({ parallelism: 3 })
  await t.end()
  expect(t.committed('corrections')).toEqual([{ key: 'ada', value: { user: 'ada', start: 10_000, amountMinor: 30 } }])
  expect(t.committed('spent-per-10s')).toHaveLength(1)
})
