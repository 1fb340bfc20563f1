/** What comes too late for a join: out of it by its stream's side output, as in a job. */
import { expect, expectTypeOf, test } from 'vitest'
import { job, json, kafka, tumbling, type Stream } from '../index.ts'
import { testJob } from './index.ts'

interface Order {
  readonly id: string
  readonly ts: number
}
interface Payment {
  readonly id: string
  readonly minor: number
  readonly ts: number
}
const pairs = job('pairs', (flow) => {
  const orders = flow
    .from(kafka.topic('orders', { value: json<Order>(), timestamp: ({ ts }) => ts }))
    .keyBy(({ id }) => id)
  const payments = flow
    .from(kafka.topic('payments', { value: json<Payment>(), timestamp: ({ ts }) => ts }))
    .keyBy(({ id }) => id)
  const near = orders
    .intervalJoin(payments, { lower: 0, upper: '1m' })
    .inner('near', ({ id }, { minor }) => ({ id, minor }))
  near.to(kafka.sink('near'))
  const lateOrders = near.sideOutput('lateLeft')
  expectTypeOf(lateOrders).toEqualTypeOf<Stream<Order>>()
  lateOrders.to(kafka.sink('late-orders'))
  const same = orders
    .join(payments)
    .window(tumbling('10s'))
    .inner('same', ({ id }) => id)
  const latePayments = same.sideOutput('lateRight')
  expectTypeOf(latePayments).toEqualTypeOf<Stream<Payment>>()
  latePayments.to(kafka.sink('late-payments'))
})

test('late records of either stream are in the side output of their own type', async () => {
  const t = testJob(pairs)
  await t.feed<Order>('orders', [{ id: 'a', ts: 1_000 }])
  await t.feed<Payment>('payments', [{ id: 'a', minor: 5, ts: 2_000 }])
  await t.advanceWatermark(60_000)
  await t.feed<Order>('orders', [{ id: 'b', ts: 59_999 }])
  await t.feed<Payment>('payments', [{ id: 'a', minor: 7, ts: 3_000 }])
  expect(t.output('near').map(({ value }) => value)).toEqual([{ id: 'a', minor: 5 }])
  expect(t.output('late-orders').map(({ key, value }) => [key, value])).toEqual([['b', { id: 'b', ts: 59_999 }]])
  expect(t.output('late-payments').map(({ value }) => value)).toEqual([{ id: 'a', minor: 7, ts: 3_000 }])
  await t.close()
})
