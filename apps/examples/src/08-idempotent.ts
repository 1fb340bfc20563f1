/**
 * Idempotent by key: a payment counts once, however often its sender tries again. The same id with another amount is no repetition but a
 * conflict, and goes aside. What is claimed is part of the job's own state, for a day of event time.
 *
 *     npm run example -- 08
 */
import { datagen, job, log, params, type Payment } from '@weir/sdk'

const p = params({ recordsPerSplit: Number, rate: 5_000, parallelism: 2, intervalMs: 1_000 })

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
      .idempotent('once', {
        bizKey: (payment) => payment.id,
        fingerprint: ({ user, amountMinor }) => ({ user, amountMinor }),
        window: '1d',
      })
    once
      .filter((payment) => payment.status === 'PAID', 'paid')
      .keyBy((payment) => payment.user, 'by-user')
      .reduce('sum', 0, (sum, payment) => sum + payment.amountMinor)
      .to(log.sink('spent'), 'spent')
    once.sideOutput('conflicts').to(log.sink('conflicts'), 'conflicts')
  },
)
