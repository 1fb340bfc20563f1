/**
 * Files: payments per user and 10 s as NDJSON in a folder. A file appears whole and once, when its checkpoint is published; whoever
 * reads the folder never sees half of one, or the output of a run that was killed.
 *
 *     npm run example -- 09
 */
import { datagen, job, ndjson, params, tumbling } from '@weir/sdk'

const p = params({
  recordsPerSplit: Number,
  rate: 5_000,
  parallelism: 2,
  intervalMs: 1_000,
  /** `file:///FOLDER/` that every task-manager sees, or `s3://BUCKET/FOLDER/`. */
  folder: 'file:///tmp/weir-example-files/',
})

export interface Spending {
  readonly user: string
  readonly start: number
  readonly sumMinor: number
}

export default job(
  'files',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: Math.floor(p.intervalMs / 2) },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    flow
      .from(datagen.payments({ recordsPerSplit: p.recordsPerSplit ?? null, recordsPerSecond: p.rate }), 'payments')
      .filter((payment) => payment.status === 'PAID', 'paid')
      .keyBy((payment) => payment.user, 'by-user')
      .window(tumbling('10s'))
      .reduce('spent', { user: '', sumMinor: 0 }, ({ sumMinor }, { user, amountMinor }) => ({
        user,
        sumMinor: sumMinor + amountMinor,
      }))
      .map(({ start, value }): Spending => ({ ...value, start }), 'row')
      .to(ndjson.sink(p.folder), 'files')
  },
)
