/** The main job in the continuous scope: orders are partitioned by user already, and outputs are committed every 100 ms. */
import { job, json, kafka, params, tumbling } from '@weir/sdk'
import type { Order } from './orders.ts'

const p = params({ orders: 'orders', sums: 'sums', counts: 'counts', rate: Number, parallelism: 2 })

export default job(
  'continuous-orders',
  {
    parallelism: p.parallelism,
    commit: { scope: 'continuous', intervalMs: 100 },
    checkpoint: { intervalMs: 500, everyRecords: null, minPauseMs: 0 },
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
      .keyedBySource((order) => order.user, 'by-user')
    paid
      .reduce('balance', { sum: 0, count: 0 }, (total, order) => ({
        sum: total.sum + order.amountMinor,
        count: total.count + 1,
      }))
      .to(kafka.sink(p.sums), 'sums')
    paid.window(tumbling('10s')).count('per-10s').to(kafka.sink(p.counts), 'counts')
  },
)
