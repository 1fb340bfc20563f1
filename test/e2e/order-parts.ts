/** The parts of the main job (apps/examples/src/01-orders.ts) that the jobs of tests share: what they vary is said in each. */
import { json, kafka, tumbling, type Flow, type KeyedStream, type SinkOptions, type Stream } from '@weir/sdk'
import type { Order } from './orders.ts'

export const paidOrders = (
  flow: Flow,
  of: { readonly orders: string; readonly rate: number | undefined; readonly bounded?: boolean },
): Stream<Order> =>
  flow
    .from(
      kafka.topic(of.orders, {
        value: json<Order>(),
        timestamp: (order) => order.ts,
        outOfOrder: '1s',
        until: (of.bounded ?? true) ? 'latest' : 'none',
        recordsPerSecond: of.rate,
      }),
      'orders',
    )
    .filter((order) => order.status === 'PAID', 'paid')

/** Of keyed paid orders: the running sum per key into one topic, the count per 10 s into the other. */
export function sumsAndCounts(
  paid: KeyedStream<Order>,
  to: { readonly sums: string; readonly counts: string; readonly onLost?: SinkOptions<unknown>['onLost'] },
): void {
  const options = to.onLost === undefined ? {} : { onLost: to.onLost }
  paid
    .reduce('balance', { sum: 0, count: 0 }, (total, order) => ({
      sum: total.sum + order.amountMinor,
      count: total.count + 1,
    }))
    .to(kafka.sink(to.sums, options), 'sums')
  paid.window(tumbling('10s')).count('per-10s').to(kafka.sink(to.counts, options), 'counts')
}
