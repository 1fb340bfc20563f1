/** How it must not be done, as the seed does it: who finds its message claimed skips it, also when it is read again. */
import { job, json, kafka, params } from '@weir/sdk'
import { Redis } from 'ioredis'
import type { Payment } from './claims.job.ts'

const p = params({ payments: 'payments', out: 'out', rate: Number, checkpointMs: Number })

let connected: Redis | null = null
const client = (): Redis => (connected ??= new Redis(`redis://${process.env['WEIR_TEST_REDIS_NAIVE']}`))

export default job(
  'naive',
  {
    parallelism: 2,
    checkpoint: { intervalMs: p.checkpointMs, minPauseMs: 100, everyRecords: null },
    restart: { attempts: 20, delayMs: 200 },
  },
  (flow) =>
    flow
      .from(kafka.topic(p.payments, { value: json<Payment>(), recordsPerSecond: p.rate }), 'payments')
      .asyncMap('claim', async (payment) => {
        const isFirst = (await client().set(`naive:${p.out}:${payment.id}`, '1', 'EX', 1_800, 'NX')) === 'OK'
        return { payment, isFirst }
      })
      .filter(({ isFirst }) => isFirst)
      .map(({ payment }) => payment)
      .to(kafka.sink<Payment>(p.out, { value: json() }), 'out'),
)
