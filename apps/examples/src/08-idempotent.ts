/**
 * Idempotent by key: a payment counts once, however often its sender tries again. The same id with another amount is no repetition but a
 * conflict, and goes aside. What is remembered is forgotten after a day of event time.
 *
 *     npm run example -- 08
 */
import { datagen, job, log, params, sideOutput, valueState, type Out, type Payment } from '@weir/sdk'

const p = params({ recordsPerSplit: Number, rate: 5_000, parallelism: 2, intervalMs: 1_000 })

export interface Conflict {
  readonly id: string
  readonly firstMinor: number
  readonly thenMinor: number
}

/** Every third payment is sent again, and of those every tenth with another amount: an unreliable network, and a bug. */
const resent = (payment: Payment): Payment[] => {
  const number = Number(payment.id.split('-').at(-1))
  if (number % 3 !== 0) return [payment]
  const again = number % 30 === 0 ? { ...payment, amountMinor: payment.amountMinor + 1 } : payment
  return [payment, again]
}

export default job(
  'idempotent',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: Math.floor(p.intervalMs / 2) },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const once = flow
      .from(datagen.payments({ recordsPerSplit: p.recordsPerSplit ?? null, recordsPerSecond: p.rate }), 'payments')
      .flatMap(resent, 'resent')
      .keyBy((payment) => payment.id, 'by-id')
      .process('once', {
        state: { firstMinor: valueState<number>({ ttl: '1d' }) },
        sides: { conflicts: sideOutput<Conflict>() },
        onRecord({ state, sides }, payment, out: Out<Payment>) {
          const { id, amountMinor } = payment
          const firstMinor = state.firstMinor.get()
          if (firstMinor === undefined) {
            state.firstMinor.set(amountMinor)
            out.emit(payment)
          } else if (firstMinor !== amountMinor) {
            sides.conflicts.emit({ id, firstMinor, thenMinor: amountMinor })
          }
        },
      })
    once
      .filter((payment) => payment.status === 'PAID', 'paid')
      .keyBy((payment) => payment.user, 'by-user')
      .reduce('sum', 0, (sum, payment) => sum + payment.amountMinor)
      .to(log.sink('spent'), 'spent')
    once.sideOutput('conflicts').to(log.sink('conflicts'), 'conflicts')
  },
)
