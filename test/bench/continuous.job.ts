/** The benched work: running sum per user without a shuffle, in the continuous scope. */
import { job, json, kafka, params } from '@weir/sdk'

interface Order {
  readonly user: string
  readonly amountMinor: number
  /** ms since 1970: carried through, so that the reader knows how long it took. */
  readonly sentAt: number
}
const p = params({ orders: 'orders', sums: 'sums', commitMs: 100 })

export default job('continuous', { parallelism: 2, commit: { scope: 'continuous', intervalMs: p.commitMs } }, (flow) =>
  flow
    .from(kafka.topic(p.orders, { value: json<Order>() }), 'orders')
    .keyedBySource((order) => order.user, 'by-user')
    .reduce('balance', { sum: 0, sentAt: 0 }, ({ sum }, order) => ({
      sum: sum + order.amountMinor,
      sentAt: order.sentAt,
    }))
    .to(kafka.sink(p.sums), 'sums'),
)
