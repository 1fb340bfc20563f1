/**
 * Joins: payments with the orders they are for. Either may come first; what has no partner after a while is told too.
 *
 *     npm run example -- 06
 */
import { datagen, job, log, params, valueState, type Out, type Payment } from '@weir/sdk'

const p = params({ recordsPerSplit: Number, rate: 5_000, parallelism: 2, intervalMs: 1_000 })

const PATIENCE_MS = 10_000
const NEAR = { lower: '-2s', upper: '2s' } as const

export type Matched =
  | { readonly kind: 'paid'; readonly id: string; readonly user: string; readonly amountMinor: number }
  | { readonly kind: 'not-paid' | 'not-ordered'; readonly id: string }

/** Two payments of one user, at most 2 s apart, of different orders. */
export interface Pair {
  readonly user: string
  readonly ids: readonly [string, string]
  readonly apartMs: number
}

export default job(
  'joins',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: Math.floor(p.intervalMs / 2) },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const of = { recordsPerSplit: p.recordsPerSplit ?? null, recordsPerSecond: p.rate, users: 500 }
    // Both are generated alike: every order has its payment, unless the payment failed.
    const orders = flow.from(datagen.payments(of), 'orders')
    const payments = flow.from(datagen.payments(of), 'payments').filter((payment) => payment.status === 'PAID', 'paid')

    // Your own code over both, with state and timers they share.
    orders
      .keyBy((order) => order.id, 'order-id')
      .connect(payments.keyBy((payment) => payment.id, 'payment-id'))
      .process('match', {
        state: { order: valueState<Payment>(), payment: valueState<Payment>() },
        timers: { giveUp: 'event' },
        onLeft({ state, timers, timestamp }, order, out: Out<Matched>) {
          const payment = state.payment.get()
          if (payment !== undefined) {
            out.emit(matched(payment))
            return state.payment.clear()
          }
          state.order.set(order)
          timers.giveUp.set(timestamp + PATIENCE_MS)
        },
        onRight({ state, timers, timestamp }, payment, out: Out<Matched>) {
          if (state.order.get() !== undefined) {
            out.emit(matched(payment))
            return state.order.clear()
          }
          state.payment.set(payment)
          timers.giveUp.set(timestamp + PATIENCE_MS)
        },
        onTimer({ key, state }, _timer, out) {
          if (state.order.get() !== undefined) out.emit({ kind: 'not-paid', id: String(key) })
          if (state.payment.get() !== undefined) out.emit({ kind: 'not-ordered', id: String(key) })
          state.order.clear()
          state.payment.clear()
        },
      })
      .to(log.sink('matched'), 'matched')

    // What is near each other in event time, without a line of state.
    const byUser = payments.keyBy((payment) => payment.user, 'payer')
    byUser
      .intervalJoin(
        orders.keyBy((order) => order.user, 'buyer'),
        NEAR,
      )
      .inner('near', (payment, order): Pair | null =>
        payment.id === order.id
          ? null
          : { user: payment.user, ids: [payment.id, order.id], apartMs: Math.abs(payment.ts - order.ts) },
      )
      .filter((pair): pair is Pair => pair !== null, 'others')
      .to(log.sink('near'), 'pairs')
  },
)

const matched = ({ id, user, amountMinor }: Payment): Matched => ({ kind: 'paid', id, user, amountMinor })
