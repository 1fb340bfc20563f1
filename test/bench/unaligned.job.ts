/** The benched work: a running sum whose stage is slower than its source, so that every channel is full. */
import { job, json, kafka, params } from '@weir/sdk'

interface Order {
  readonly user: string
  readonly amountMinor: number
}
/** `alignedTimeoutMs` negative: every barrier is aligned. */
const p = params({ orders: 'orders', sums: 'sums', alignedTimeoutMs: -1, slownessMs: 0.02 })

const spin = (ms: number): void => {
  for (const end = performance.now() + ms; performance.now() < end;);
}

export default job(
  'unaligned',
  {
    parallelism: 2,
    checkpoint: {
      ...{ intervalMs: 200, everyRecords: null, minPauseMs: 0 },
      ...(p.alignedTimeoutMs >= 0 && { alignedTimeoutMs: p.alignedTimeoutMs }),
    },
  },
  (flow) =>
    flow
      .from(kafka.topic(p.orders, { value: json<Order>(), until: 'latest' }), 'orders')
      .keyBy((order) => order.user, 'by-user')
      .reduce('balance', 0, (sum, order) => {
        spin(p.slownessMs)
        return sum + order.amountMinor
      })
      .to(kafka.sink(p.sums), 'sums'),
)
