/** Everything is in the topic when a contender starts. Contenders take turns, so that what changes on the machine meets all. */
import { say } from '../lib/figures.ts'
import { flink, kafkaStreams, loop, weir, type Contender, type Shape } from './contenders.ts'
import { watch } from './observer.ts'
import type { Bench } from './bench.ts'
import { feedAll, outputsOf, verify, type Work } from './works.ts'

const INTERVAL_MS = 1_000

const CONTENDERS: readonly Contender[] = [
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

/** @param contenders those that have the same `shape` read the same topic */
export async function throughput(bench: Bench, work: Work, contenders = CONTENDERS): Promise<void> {
  const { brokers, records: count } = bench
  const outputs = outputsOf(work, count)
  const inputs = new Map<Shape, string>()
  for (const { shape } of bench.chosen(contenders, work)) {
    if (inputs.has(shape)) continue
    const [input] = await bench.topics(['orders'], shape.partitions)
    inputs.set(shape, input!)
    say(`feeding ${count} orders of ${shape.users} users into ${shape.partitions} partitions`)
    await feedAll(brokers, input!, { count, ...shape })
  }
  await bench.rounds(contenders, work, async (contender, run): Promise<Throughput> => {
    const startedAt = performance.now()
    const input = inputs.get(contender.shape)!
    const running = await bench.started(contender, { ...run, input, intervalMs: INTERVAL_MS })
    const seen = await watch(run, outputs, () => running.pids())
    await running.stop()
    await verify(brokers, run.output, work, { count, ...contender.shape })
    const { begin, end, commits, cpuSecondsPerOutput: cpu } = seen
    const share = (end.visible - begin.visible) / outputs
    return {
      perSecond: commits > 1 ? (share * count) / ((end.at - begin.at) / 1_000) : null,
      cpuSecondsPerMillion: cpu === null ? null : cpu * (outputs / count) * 1e6,
      perSecondWithStart: count / ((end.at - startedAt) / 1_000),
      peakMiB: seen.peakMiB,
      startMs: seen.firstAt - startedAt,
      submitMs: running.submittedAt === null ? null : seen.firstAt - running.submittedAt,
      commits,
    }
  })
}
