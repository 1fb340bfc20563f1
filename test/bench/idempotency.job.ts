/** The benched work: orders that are paid, Kafka → Kafka, exactly once; each order once, where `claims` says so. */
import { job, json, kafka, params, redis, type Stream } from '@weir/sdk'

interface Order {
  readonly id: number
  readonly status: string
  readonly amountMinor: number
}
/** `claims`: none, keyed, state, source, redis */
const p = params({ orders: 'orders', paid: 'paid', claims: 'none', parallelism: 2, intervalMs: 1_000 })
const stores = { state: 'state', source: 'state', redis: redis({ url: 'env:BENCH_REDIS' }) } as const

const keyed = (orders: Stream<Order>): Stream<Order> =>
  orders.keyBy((order) => String(order.id)).process('same', { onRecord: (_, order, out) => out.emit(order) })

const claimed = (orders: Stream<Order>): Stream<Order> =>
  orders.idempotent('once', {
    bizKey: (order) => String(order.id),
    fingerprint: ({ amountMinor }) => ({ amountMinor }),
    window: '1d',
    keyedBySource: p.claims === 'source',
    store: stores[p.claims as keyof typeof stores],
  })

export default job(
  'claimed-orders',
  { parallelism: p.parallelism, checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: 0 } },
  (flow) => {
    const orders = flow.from(kafka.topic(p.orders, { value: json<Order>(), until: 'latest' }), 'orders')
    const once = p.claims === 'none' ? orders : p.claims === 'keyed' ? keyed(orders) : claimed(orders)
    once.filter((order) => order.status === 'PAID', 'paid').to(kafka.sink(p.paid), 'out')
  },
)
