/** From a record's hand-over to its producer until its output is visible to a reader with read_committed, at 5,000 records/s. */
import { systemClock } from '@weir/runtime/system'
import type { Bench } from './bench.ts'
import { flink, kafkaStreams, weir, type Contender } from './contenders.ts'
import { RATE, feed, follow, wallClock } from './paced.ts'

const WARM_UP_MS = 8_000
const MEASURED_MS = 8_000
/** Behind it nothing more is waited for. */
const REST_MS = 2_000
/** Of what was sent, so much must have been seen. */
const SEEN_SHARE_MIN = 0.99

const CONTENDERS: readonly Contender[] = [
  kafkaStreams('Kafka Streams'),
  flink('Flink'),
  weir('Weir, epoch', { layout: 'one-process', shuffle: true, onLost: 'fail' }),
  weir('Weir, continuous', { layout: 'one-process', shuffle: false, onLost: 'fail', scope: 'continuous' }),
]

export interface Latency {
  /** ms */
  readonly p50: number
  readonly p99: number
  readonly records: number
}

export async function latency(bench: Bench, intervalMs: number): Promise<void> {
  await bench.rounds(CONTENDERS, 'sum', async (contender, run): Promise<Latency> => {
    const [input] = await bench.topics(['orders'])
    const over = new AbortController()
    const taken: number[] = []
    try {
      await bench.started(contender, { ...run, input: input!, intervalMs })
      const from = wallClock() + WARM_UP_MS
      const until = from + MEASURED_MS
      follow(run.brokers, run.output, over.signal, ({ sentAt, seenAt }) => {
        if (sentAt >= from && sentAt < until) taken.push(seenAt - sentAt)
      })
      const fed = feed(run.brokers, input!, over.signal)
      await Promise.race([systemClock.sleep(WARM_UP_MS + MEASURED_MS + REST_MS, run.signal), fed])
    } finally {
      over.abort()
    }
    const sent = (MEASURED_MS * RATE) / 1_000
    if (taken.length < sent * SEEN_SHARE_MIN) throw new Error(`of ${sent} outputs ${taken.length} were seen in time`)
    taken.sort((a, b) => a - b)
    const at = (q: number): number => taken[Math.floor(taken.length * q)]!
    return { p50: at(0.5), p99: at(0.99), records: taken.length }
  })
}
