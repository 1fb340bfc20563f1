/**
 * Payments by user: a running balance, and how many in every ten seconds of event time. Exactly once: a `kill -9` in the middle loses
 * nothing and counts nothing twice.
 *
 *     npm run dev                                         generated payments, the embedded log, no server
 *     npm run submit -- --set server=kafka                from the Kafka topic `payments` of your fleet
 */
import { datagen, job, json, kafka, log, params, tumbling } from '@weir/sdk'
import { z } from 'zod'

const p = params({ server: 'embedded', parallelism: 2, rate: 1_000, recordsPerSplit: Number })

const Payment = z.object({
  id: z.string(),
  user: z.string(),
  amountMinor: z.int(),
  status: z.enum(['PAID', 'FAILED']),
  ts: z.number(),
})

const isKafka = p.server === 'kafka'
const sinks = isKafka ? kafka : log

export default job(
  'weir-app-name',
  { parallelism: p.parallelism, checkpoint: { intervalMs: 2_000, minPauseMs: 500, everyRecords: null } },
  (flow) => {
    const payments = isKafka
      ? flow.from(
          kafka.topic('payments', { value: json(Payment), timestamp: (payment) => payment.ts, outOfOrder: '5s' }),
          'payments',
        )
      : flow.from(
          datagen.payments({ recordsPerSecond: p.rate, recordsPerSplit: p.recordsPerSplit ?? null, users: 50 }),
          'payments',
        )
    const byUser = payments
      .filter((payment) => payment.status === 'PAID', 'paid')
      .keyBy((payment) => payment.user, 'by-user')

    byUser.reduce('balance', 0, (sum, payment) => sum + payment.amountMinor).to(sinks.sink('balances'), 'balances')
    byUser.window(tumbling('10s')).count('per-10s').to(sinks.sink('counts'), 'counts')
  },
)
