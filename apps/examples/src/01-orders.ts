/**
 * The main job: paid orders per user, as a running sum and as a count per 10 s, exactly once into two topics.
 *
 *     weir submit apps/examples/src/01-orders.ts --set orders=orders --set sums=sums --set counts=counts
 */
import { job, json, kafka, log, params, tumbling } from '@weir/sdk'
import { z } from 'zod'

const p = params({
  orders: 'orders',
  sums: 'order-sums',
  counts: 'order-counts',
  parallelism: 4,
  intervalMs: 10_000,
  everyRecords: 500,
  rate: Number,
  /** Reads up to the end the topic had at the start, then finishes. */
  bounded: false,
  /** `log`: the embedded one, without any server. */
  server: 'kafka',
})

const server: typeof kafka = p.server === 'log' ? log : kafka

const Order = z.object({
  id: z.number(),
  user: z.string(),
  amountMinor: z.number().int(),
  status: z.enum(['PAID', 'FAILED']),
  ts: z.number(),
})

export default job(
  'orders',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: p.everyRecords, minPauseMs: Math.min(1_000, p.intervalMs) },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const paid = flow
      .from(
        server.topic(p.orders, {
          value: json(Order),
          timestamp: (order) => order.ts,
          outOfOrder: '1m',
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
      .to(server.sink(p.sums), 'sums')
    paid.window(tumbling('10s')).count('per-10s').to(server.sink(p.counts), 'counts')
  },
)
