/** Sums of paid orders per user; `changed`: the same with another keyed branch in front, which moves the sums to another stage. */
import { job, json, kafka, params } from '@weir/sdk'
import type { Order } from './orders.ts'

const p = params({ orders: 'orders', sums: 'sums', statuses: 'statuses', rate: Number, changed: false, parallelism: 2 })
const counted = (total: { count: number }): { count: number } => ({ count: total.count + 1 })

export default job(
  'savepoint',
  { parallelism: p.parallelism, checkpoint: { intervalMs: 500, minPauseMs: 100, everyRecords: null } },
  (flow) => {
    const orders = flow.from(
      kafka.topic(p.orders, {
        value: json<Order>(),
        timestamp: (order) => order.ts,
        outOfOrder: '1s',
        recordsPerSecond: p.rate,
      }),
      'orders',
    )
    if (p.changed) {
      orders
        .keyBy((order) => order.status, 'by-status')
        .reduce('per-status', { count: 0 }, counted)
        .to(kafka.sink(p.statuses), 'statuses')
    }
    orders
      .filter((order) => order.status === 'PAID', 'paid')
      .keyBy((order) => order.user, 'by-user')
      .reduce('balance', { sum: 0, count: 0 }, (total, order) => ({
        sum: total.sum + order.amountMinor,
        count: total.count + 1,
      }))
      .to(kafka.sink(p.sums), 'sums')
  },
)
