/** Orders and payments: matched by an interval join, and counted side by side in windows. */
import { job, json, kafka, params, tumbling } from '@weir/sdk'
import { LOWER_MS, UPPER_MS, WINDOW_MS, type Payment, type Placed } from './join-parts.ts'

const p = params({ orders: 'orders', payments: 'payments', matched: 'matched', pairs: 'pairs', rate: Number })
const read = { until: 'latest', outOfOrder: '1s', recordsPerSecond: p.rate } as const

export default job(
  'join',
  {
    parallelism: 2,
    checkpoint: { intervalMs: 300, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const orders = flow
      .from(kafka.topic(p.orders, { value: json<Placed>(), timestamp: ({ ts }) => ts, ...read }), 'orders')
      .keyBy(({ orderId }) => orderId, 'orders-by-id')
    const payments = flow
      .from(kafka.topic(p.payments, { value: json<Payment>(), timestamp: ({ ts }) => ts, ...read }), 'payments')
      .keyBy(({ orderId }) => orderId, 'payments-by-order')
    orders
      .intervalJoin(payments, { lower: LOWER_MS, upper: UPPER_MS })
      .inner('match', (order, payment) => ({ order: order.orderId, payment: payment.id }))
      .to(kafka.sink(p.matched), 'matched')
    orders
      .join(payments)
      .window(tumbling(WINDOW_MS))
      .full('same-window', (order, payment, { start }) => ({
        ...{ order: order?.orderId ?? null, payment: payment?.id ?? null, start },
      }))
      .to(kafka.sink(p.pairs), 'pairs')
  },
)
