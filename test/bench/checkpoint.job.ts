/** Running sum per user, Kafka → Kafka, exactly once; one output of a thousand goes to a topic of its own too, to be watched. */
import { job, json, kafka, params } from '@weir/sdk'

interface Order {
  readonly id: number
  readonly user: string
  readonly amountMinor: number
}
const p = params({ orders: 'orders', sums: 'sums', probe: 'probe', parallelism: 2, intervalMs: 1_000, bounded: false })

export default job(
  'checkpoint',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 100 },
  },
  (flow) => {
    const sums = flow
      .from(kafka.topic(p.orders, { value: json<Order>(), until: p.bounded ? 'latest' : 'none' }), 'orders')
      .keyBy((order) => order.user, 'by-user')
      .reduce('balance', { sum: 0, last: 0 }, ({ sum }, order) => ({ sum: sum + order.amountMinor, last: order.id }))
    sums.to(kafka.sink(p.sums), 'sums')
    sums.filter(({ last }) => last % 1_000 === 0, 'sampled').to(kafka.sink(p.probe), 'probe')
  },
)
