/** kill -9 at 5,000 records/s, started again at once: how long until a reader sees committed output again. */
import { systemClock } from '@weir/runtime/system'
import type { Bench } from './bench.ts'
import { flink, kafkaStreams, weir, type Contender } from './contenders.ts'
import { feed, follow, wallClock } from './paced.ts'

const INTERVAL_MS = 1_000
const WARM_UP_MS = 8_000
/** What was committed before the kill may reach the reader so much later. */
const ON_ITS_WAY_MS = 300
const LOOK_MS = 10

const CONTENDERS: readonly Contender[] = [
  // With a store on disk it knows itself again, and need not wait until the broker gives up what it has open.
  kafkaStreams('Kafka Streams, session of 6 s', { sessionMs: 6_000, store: 'rocksdb' }),
  flink('Flink'),
  weir('Weir, one process', { layout: 'one-process', onLost: 'fail' }),
  weir('Weir, fleet', { layout: 'fleet', onLost: 'fail', taskManagers: 3 }),
]

export interface Recovery {
  readonly recoveryMs: number
}

export async function recovery(bench: Bench): Promise<void> {
  await bench.rounds(CONTENDERS, 'sum', async (contender, run): Promise<Recovery> => {
    const [input] = await bench.topics(['orders'])
    const over = new AbortController()
    let lastSeenAt = 0
    let killedAt = Infinity
    let recoveredAt = 0
    try {
      const running = await bench.started(contender, { ...run, input: input!, intervalMs: INTERVAL_MS })
      follow(run.brokers, run.output, over.signal, ({ seenAt }) => {
        lastSeenAt = seenAt
        if (recoveredAt === 0 && seenAt > killedAt + ON_ITS_WAY_MS) recoveredAt = seenAt
      })
      void feed(run.brokers, input!, over.signal)
      await systemClock.sleep(WARM_UP_MS, run.signal)
      if (lastSeenAt === 0) throw new Error(`no output was visible within ${WARM_UP_MS} ms`)
      killedAt = wallClock()
      await running.crash()
      while (recoveredAt === 0) await systemClock.sleep(LOOK_MS, run.signal)
    } finally {
      over.abort()
    }
    return { recoveryMs: recoveredAt - killedAt }
  })
}
