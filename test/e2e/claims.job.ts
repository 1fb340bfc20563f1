/** Payments that come twice, and once in a while contradict an earlier one: each is to have one effect. */
import { job, json, kafka, params, redis, type IdempotentOptions } from '@weir/sdk'
import { existsSync } from 'node:fs'

const p = params({
  ...{ payments: 'payments', out: 'out', twice: 'twice', conflicts: 'conflicts', dead: 'dead' },
  ...{ store: 'state', rate: Number, mended: 'mended', unavailable: 'block', block: 30_000, checkpointMs: Number },
})

export interface Payment {
  readonly id: string
  readonly amount: number
}

const options: IdempotentOptions<Payment> = {
  bizKey: ({ id }) => id,
  fingerprint: ({ amount }) => ({ amount }),
  store: p.store === 'state' ? 'state' : redis({ url: 'env:WEIR_TEST_REDIS' }),
  onDuplicate: 'sideOutput',
  onUnavailable: p.unavailable === 'local' ? 'local' : { block: p.block },
}

export default job(
  'claims',
  {
    parallelism: 2,
    checkpoint: { intervalMs: p.checkpointMs, minPauseMs: 100, everyRecords: null },
    restart: { attempts: 20, delayMs: 200 },
    deadLetters: kafka.sink(p.dead),
  },
  (flow) => {
    const once = flow
      .from(kafka.topic(p.payments, { value: json<Payment>(), recordsPerSecond: p.rate }), 'payments')
      .idempotent('once', options)
    once
      .map((payment) => {
        if (payment.amount === 13 && !existsSync(p.mended)) throw new RangeError('thirteen')
        return payment
      }, 'checked')
      .to(kafka.sink<Payment>(p.out, { value: json() }), 'out')
    once.sideOutput('duplicates').to(kafka.sink<Payment>(p.twice, { value: json() }), 'twice')
    once.sideOutput('conflicts').to(kafka.sink(p.conflicts, { value: json() }), 'conflicts')
  },
)
