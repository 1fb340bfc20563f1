/** The main job with transactions that expire soon: nothing tolerated, short timeouts. */
import { job, json, kafka, params, tumbling } from '@weir/sdk'
import type { Order } from './orders.ts'

const p = params({
  orders: 'orders',
  sums: 'sums',
  counts: 'counts',
  rate: Number,
  transactionTimeoutMs: 6_000,
  alignTimeoutMs: 2_500,
  onLost: 'heal',
})
const onLost = p.onLost as 'heal' | 'fail'

export default job(
  'expiring',
  {
    parallelism: 2,
    checkpoint: {
      intervalMs: 500,
      minPauseMs: 100,
      everyRecords: null,
      alignTimeoutMs: p.alignTimeoutMs,
      toleratedAborts: 0,
    },
    transactionTimeoutMs: p.transactionTimeoutMs,
    recoveryBudgetMs: 3_000,
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const paid = flow
      .from(
        kafka.topic(p.orders, {
          value: json<Order>(),
          timestamp: (order) => order.ts,
          outOfOrder: '1s',
          until: 'latest',
          recordsPerSecond: p.rate,
        }),
        'orders',
      )
      .filter((order) => order.status === 'PAID', 'paid')
      .keyBy((order) => order.user, 'by-user')
    paid
      .reduce('balance', { sum: 0, count: 0 }, (total, order) => ({
        sum: total.sum + order.amountMinor,
        count: total.count + 1,
      }))
      .to(kafka.sink(p.sums, { onLost }), 'sums')
    paid.window(tumbling('10s')).count('per-10s').to(kafka.sink(p.counts, { onLost }), 'counts')
  },
)
