/** Sums of paid orders per user, written by a version. `wrong`: it adds a little too much now and then. */
import { job, json, kafka, params } from '@weir/sdk'
import type { Order } from './orders.ts'

const p = params({ orders: 'orders', sums: 'sums', version: 1, wrong: false })

export default job(
  'canary',
  { parallelism: 2, checkpoint: { intervalMs: 300, minPauseMs: 50, everyRecords: null } },
  (flow) =>
    flow
      .from(kafka.topic(p.orders, { value: json<Order>(), timestamp: (order) => order.ts, outOfOrder: '1s' }), 'orders')
      .filter((order) => order.status === 'PAID', 'paid')
      .keyBy((order) => order.user, 'by-user')
      .reduce('balance', { sum: 0, count: 0 }, (total, order) => ({
        sum: total.sum + order.amountMinor + (p.wrong && order.id % 500 === 0 ? 1 : 0),
        count: total.count + 1,
      }))
      .map((total) => ({ ...total, version: p.version }))
      .to(kafka.sink(p.sums), 'sums'),
)
