/**
 * Windows and late data: payments per user and 10 s of event time. What comes out of order is waited for; what comes when its window is
 * over is not lost but told, and corrects the figure it was too late for.
 *
 *     npm run example -- 05
 */
import { datagen, job, log, params, tumbling, type Payment } from '@weir/sdk'

const p = params({ splits: 4, recordsPerSplit: Number, rate: 5_000, parallelism: 2, intervalMs: 1_000 })

const WINDOW_MS = 10_000
const OUT_OF_ORDER_MS = 2_000
/** Of the generated payments every 50th was on a phone without a network. */
const OFFLINE_MS = 30_000

export interface Correction {
  readonly user: string
  /** Of the window that was told without it. */
  readonly start: number
  readonly amountMinor: number
}

const numberOf = ({ id }: Payment): number => Number(id.split('-').at(-1))
const generated = (): ReturnType<typeof datagen.payments> => ({
  ...datagen.payments({
    recordsPerSplit: p.recordsPerSplit ?? null,
    recordsPerSecond: p.rate,
    stepMs: 100,
    splits: p.splits,
    users: 50,
  }),
  timestamp: (payment) => (numberOf(payment) % 50 === 0 ? Math.max(0, payment.ts - OFFLINE_MS) : payment.ts),
  outOfOrderMs: OUT_OF_ORDER_MS,
})

export default job(
  'windows',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: Math.floor(p.intervalMs / 2) },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const spent = flow
      .from(generated(), 'payments')
      .filter((payment) => payment.status === 'PAID', 'paid')
      .keyBy((payment) => payment.user, 'by-user')
      .window(tumbling(WINDOW_MS))
      .reduce('spent', 0, (sum, payment) => sum + payment.amountMinor)
    spent.to(log.sink('spent-per-10s'), 'windows')
    spent
      .sideOutput('late')
      .map((payment): Correction => {
        const ts = payment.ts - (numberOf(payment) % 50 === 0 ? OFFLINE_MS : 0)
        return { user: payment.user, start: ts - (ts % WINDOW_MS), amountMinor: payment.amountMinor }
      }, 'correction')
      .to(log.sink('corrections'), 'corrections')
  },
)
