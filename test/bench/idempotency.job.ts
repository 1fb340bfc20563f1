/** The benched work: orders that are paid, Kafka → Kafka, exactly once; each order once, where `claims` says so. */
import { job, json, kafka, params, redis } from '@weir/sdk'

interface Order {
  readonly id: number
  readonly status: string
  readonly amountMinor: number
}
/** `claims`: none, state, redis */
const p = params({ orders: 'orders', paid: 'paid', claims: 'none', parallelism: 2, intervalMs: 1_000 })
const stores = { state: 'state', redis: redis({ url: 'env:BENCH_REDIS' }) } as const

export default job(
  'claimed-orders',
  { parallelism: p.parallelism, checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: 0 } },
  (flow) => {
    const orders = flow.from(kafka.topic(p.orders, { value: json<Order>(), until: 'latest' }), 'orders')
    const store = stores[p.claims as keyof typeof stores]
    const once =
      store === undefined
        ? orders
        : orders.idempotent('once', {
            bizKey: (order) => String(order.id),
            fingerprint: ({ amountMinor }) => ({ amountMinor }),
            window: '1d',
            store,
          })
    once.filter((order) => order.status === 'PAID', 'paid').to(kafka.sink(p.paid), 'out')
  },
)
