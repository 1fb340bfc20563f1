/** The benched work: running sum per user, Kafka → Kafka, exactly once. */
import { job, json, kafka, params } from '@weir/sdk'

interface Order {
  readonly user: string
  readonly amountMinor: number
}
const p = params({ orders: 'orders', sums: 'sums', parallelism: 2, intervalMs: 1_000 })

export default job(
  'keyed-sum',
  { parallelism: p.parallelism, checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: 0 } },
  (flow) =>
    flow
      .from(kafka.topic(p.orders, { value: json<Order>(), until: 'latest' }), 'orders')
      .keyBy((order) => order.user, 'by-user')
      .reduce('balance', 0, (sum, order) => sum + order.amountMinor)
      .to(kafka.sink(p.sums), 'sums'),
)
