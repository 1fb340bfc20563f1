/** Everything is in the topic when a contender starts. Contenders take turns, so that what changes on the machine meets all. */
import { say } from '../lib/figures.ts'
import { flink, kafkaStreams, loop, weir, type Contender } from './contenders.ts'
import { watch } from './observer.ts'
import type { Bench } from './bench.ts'
import { feedAll, outputsOf, verify, type Work } from './works.ts'

const INTERVAL_MS = 1_000

export const CONTENDERS: readonly Contender[] = [
  kafkaStreams('Kafka Streams'),
  kafkaStreams('Kafka Streams, tuned', { tuned: true }),
  flink('Flink'),
  flink('Flink, tuned', { tuned: true }),
  weir('Weir, fail', { layout: 'one-process', onLost: 'fail' }),
  weir('Weir, heal', { layout: 'one-process', onLost: 'heal' }),
  weir('Weir, keyedBySource, fail', { layout: 'one-process', shuffle: false, onLost: 'fail' }),
  weir('Weir, fleet, fail', { layout: 'fleet', onLost: 'fail' }),
  loop('Node loop, one thread', '../keyed-sum.loop.ts'),
]

/** Of one run. */
export interface Throughput {
  /** Outputs between the first and the last commit, in inputs per second; null: there was one commit. */
  readonly perSecond: number | null
  /** While outputs are written, behind the start. */
  readonly cpuSecondsPerMillion: number | null
  readonly perSecondWithStart: number
  readonly peakMiB: number
  readonly startMs: number
  /** From the submit on. */
  readonly submitMs: number | null
  readonly commits: number
}

export async function throughput(bench: Bench, work: Work): Promise<void> {
  const { brokers, records } = bench
  const outputs = outputsOf(work, records)
  const [input] = await bench.topics(['orders'])
  say(`feeding ${records} orders`)
  await feedAll(brokers, input!, records)
  await bench.rounds(CONTENDERS, work, async (contender, run): Promise<Throughput> => {
    const startedAt = performance.now()
    const running = await bench.started(contender, { ...run, input: input!, intervalMs: INTERVAL_MS })
    const seen = await watch(run, outputs, () => running.pids())
    await running.stop()
    await verify(brokers, run.output, work, records)
    const { begin, end, commits, cpuSecondsPerOutput: cpu } = seen
    const share = (end.visible - begin.visible) / outputs
    return {
      perSecond: commits > 1 ? (share * records) / ((end.at - begin.at) / 1_000) : null,
      cpuSecondsPerMillion: cpu === null ? null : cpu * (outputs / records) * 1e6,
      perSecondWithStart: records / ((end.at - startedAt) / 1_000),
      peakMiB: seen.peakMiB,
      startMs: seen.firstAt - startedAt,
      submitMs: running.submittedAt === null ? null : seen.firstAt - running.submittedAt,
      commits,
    }
  })
}
