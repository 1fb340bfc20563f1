/** The main job without a server: generated payments into the embedded log. `weir dev apps/examples/src/02-payments.ts` */
import { datagen, job, log, params, tumbling } from '@weir/sdk'

const p = params({
  splits: 4,
  recordsPerSplit: Number,
  rate: 20_000,
  users: 1_000,
  parallelism: 4,
  intervalMs: 1_000,
  sums: 'payment-sums',
  counts: 'payment-counts',
})

export default job(
  'payments',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: Math.floor(p.intervalMs / 2) },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const { splits, users, rate: recordsPerSecond } = p
    const paid = flow
      .from(
        datagen.payments({ splits, recordsPerSplit: p.recordsPerSplit ?? null, users, recordsPerSecond }),
        'payments',
      )
      .filter((payment) => payment.status === 'PAID', 'paid')
      .keyBy((payment) => payment.user, 'by-user')
    paid
      .reduce('balance', { sum: 0, count: 0 }, (total, payment) => ({
        sum: total.sum + payment.amountMinor,
        count: total.count + 1,
      }))
      .to(log.sink(p.sums), 'sums')
    paid.window(tumbling('10s')).count('per-10s').to(log.sink(p.counts), 'counts')
  },
)
