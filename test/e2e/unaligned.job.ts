/** The main job with a stage that is slower than its source: its channels are always full. */
import { job, json, kafka, params, tumbling } from '@weir/sdk'
import type { Order } from './orders.ts'

const p = params({ orders: 'orders', sums: 'sums', counts: 'counts', alignedTimeoutMs: 0, slownessMs: 0.04 })

const spin = (ms: number): void => {
  for (const end = performance.now() + ms; performance.now() < end;);
}

export default job(
  'unaligned',
  {
    parallelism: 2,
    checkpoint: { intervalMs: 200, everyRecords: null, minPauseMs: 0, alignedTimeoutMs: p.alignedTimeoutMs },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const paid = flow
      .from(
        kafka.topic(p.orders, {
          value: json<Order>(),
          timestamp: (order) => order.ts,
          outOfOrder: '1m',
          until: 'latest',
        }),
        'orders',
      )
      .filter((order) => order.status === 'PAID', 'paid')
      .keyBy((order) => order.user, 'by-user')
    paid
      .reduce('balance', { sum: 0, count: 0 }, (total, order) => {
        spin(p.slownessMs)
        return { sum: total.sum + order.amountMinor, count: total.count + 1 }
      })
      .to(kafka.sink(p.sums), 'sums')
    paid.window(tumbling('10s')).count('per-10s').to(kafka.sink(p.counts), 'counts')
  },
)
