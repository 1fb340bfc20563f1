/**
 * Enrichment: every payment with the exchange rate of its day, from a service that takes its time and sometimes fails. A bounded number of
 * calls is open at once, each is tried again, and what fails for good goes where dead letters go.
 *
 *     npm run example -- 07
 */
import { datagen, job, log, params, type Payment } from '@weir/sdk'

const p = params({ recordsPerSplit: Number, rate: 2_000, parallelism: 2, intervalMs: 1_000 })

export interface Converted {
  readonly id: string
  readonly amountMinor: number
  /** In the other currency, rounded down: money is never a fraction. */
  readonly convertedMinor: number
}

/** What a service would be asked for: a rate in parts of a million, the same whenever it is asked for the same day. */
export const service = {
  /** Rejects while the service is away. */
  async ratePerMillion(day: number, signal: AbortSignal): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, 1))
    signal.throwIfAborted()
    return 900_000 + (day % 50_000)
  },
}

const DAY_MS = 86_400_000

export default job(
  'enrichment',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: Math.floor(p.intervalMs / 2) },
    restart: { attempts: 10, delayMs: 200 },
    deadLetters: log.sink('not-converted'),
  },
  (flow) => {
    flow
      .from(datagen.payments({ recordsPerSplit: p.recordsPerSplit ?? null, recordsPerSecond: p.rate }), 'payments')
      .filter((payment) => payment.status === 'PAID', 'paid')
      .asyncMap(
        'rate',
        async ({ id, amountMinor, ts }: Payment, { signal }): Promise<Converted> => {
          const rate = await service.ratePerMillion(Math.floor(ts / DAY_MS), signal)
          return { id, amountMinor, convertedMinor: Math.floor((amountMinor * rate) / 1_000_000) }
        },
        { mode: 'unordered', capacity: 50, timeout: '2s', retries: 2, backoff: '100ms' },
      )
      .to(log.sink('converted'), 'converted')
  },
)
