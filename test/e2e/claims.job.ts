/** Payments that come twice, and once in a while contradict an earlier one: each is to have one effect. */
import { job, json, kafka, params, redis, tiered, tikv, type Claims, type IdempotentOptions } from '@weir/sdk'
import { existsSync } from 'node:fs'

const p = params({
  ...{ payments: 'payments', out: 'out', twice: 'twice', conflicts: 'conflicts', dead: 'dead' },
  ...{ store: 'state', rate: Number, mended: 'mended', unavailable: 'block', block: 30_000, checkpointMs: Number },
  // Of tiers: folders that outlive a task-manager, and members of PD, with commas between.
  ...{ localDir: '/', pd: '' },
})

export interface Payment {
  readonly id: string
  readonly amount: number
}

const inRedis = redis({ url: 'env:WEIR_TEST_REDIS' })
const stores: Readonly<Record<string, () => 'state' | Claims>> = {
  state: () => 'state',
  redis: () => inRedis,
  'tiers-redis': () => tiered({ remote: inRedis, localDir: p.localDir }),
  // Its servers share two cores with everything else here.
  'tiers-tikv': () => tiered({ remote: tikv({ pd: p.pd.split(','), deadline: '2s' }), localDir: p.localDir }),
}

const options: IdempotentOptions<Payment> = {
  bizKey: ({ id }) => id,
  fingerprint: ({ amount }) => ({ amount }),
  store: stores[p.store]!(),
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
