/** The benched plan; nothing of it runs: its tasks are simulated. */
import { job, json, kafka, params } from '@weir/sdk'

interface Order {
  readonly user: string
  readonly amountMinor: number
}
const p = params({ subtasks: 1_000 })

export default job(
  'coordinator',
  { parallelism: p.subtasks, maxParallelism: 32_768, checkpoint: { intervalMs: 2_000, everyRecords: null } },
  (flow) =>
    flow
      .from(kafka.topic('orders', { value: json<Order>() }), 'orders')
      .keyedBySource((order) => order.user, 'by-user')
      .reduce('balance', 0, (sum, order) => sum + order.amountMinor)
      .to(kafka.sink('sums'), 'sums'),
)
