/** The main job with a checkpoint every 400 ms; what a scenario wants to vary is a parameter. */
import { job, json, kafka, params, tumbling } from '@weir/sdk'
import type { Order } from '../e2e/orders.ts'

const p = params({
  orders: 'orders',
  sums: 'sums',
  counts: 'counts',
  rate: Number,
  /** Ends with the input there was at the start. */
  bounded: true,
  intervalMs: 400,
  alignTimeoutMs: 3_000,
  transactionTimeoutMs: 120_000,
  recoveryBudgetMs: 60_000,
  toleratedAborts: 3,
})

export default job(
  'chaos',
  {
    parallelism: 4,
    checkpoint: {
      intervalMs: p.intervalMs,
      minPauseMs: 100,
      everyRecords: null,
      alignTimeoutMs: p.alignTimeoutMs,
      toleratedAborts: p.toleratedAborts,
    },
    transactionTimeoutMs: p.transactionTimeoutMs,
    recoveryBudgetMs: p.recoveryBudgetMs,
  },
  (flow) => {
    const paid = flow
      .from(
        kafka.topic(p.orders, {
          value: json<Order>(),
          timestamp: (order) => order.ts,
          outOfOrder: '1s',
          until: p.bounded ? 'latest' : 'none',
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
      .to(kafka.sink(p.sums), 'sums')
    paid.window(tumbling('10s')).count('per-10s').to(kafka.sink(p.counts), 'counts')
  },
)
