/**
 * What claims cost inside a pipeline: one task-manager process, two slots, Kafka → Kafka, in turn on one topic.
 *
 *     none     a filter; nothing leaves its thread
 *     keyed    the filter behind a keyBy and a process that hands on what it is given: what claims in state have to do besides
 *     state    claims in keyed state, which key the stream
 *     source   claims in state per partition of the source: keys without an exchange
 *     redis    claims in Redis
 *
 * From the first record to the end of the input, committed: how long a job takes to start is no matter of claims. Claims of a round are
 * gone before the next one.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KafkaConnections } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { startProcess, stopProcess } from '../../apps/cli/src/fleet.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { forgetClaims } from './lib/claims-in-redis.ts'
import { clusterEnv } from './lib/cluster.ts'
import { cpuSecondsOf } from './lib/cpu.ts'
import { atLeast, figure, median, say, type Figure } from './lib/figures.ts'
import { order } from './lib/orders.ts'

const RECORDS = Number(process.env['BENCH_RECORDS'] ?? 1_000_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const PARTITIONS = 4
const RATIO_MIN = 0.6
const ALL = ['none', 'keyed', 'state', 'source', 'redis'] as const
type Way = (typeof ALL)[number]
/** Some of them: BENCH_WAYS=none,redis. */
const WAYS = ALL.filter((way) => (process.env['BENCH_WAYS'] ?? ALL.join()).split(',').includes(way))
const here = (file: string): string => new URL(file, import.meta.url).pathname

export async function pipelineFigures(): Promise<readonly Figure[]> {
  const { kafka: broker } = stackEndpoints()
  const run = systemRandom.nonce().slice(0, 8)
  const kafka = new KafkaConnections({ brokers: [broker], clientId: 'bench' }, { clock: systemClock })
  const admin = kafka.admin()
  const dir = await mkdtemp(join(tmpdir(), 'weir-bench-'))
  const topic = async (name: string): Promise<string> => {
    await admin.createTopics({ topics: [{ topic: name, numPartitions: PARTITIONS, replicationFactor: 1 }] })
    return name
  }
  const runs: Record<Way, Run[]> = { none: [], keyed: [], state: [], source: [], redis: [] }
  try {
    await admin.connect()
    const orders = await topic(`orders-${run}`)
    for (let p = 0; p < PARTITIONS; p++) {
      const input = Array.from({ length: RECORDS / PARTITIONS }, (_, i) => order(i * PARTITIONS + p, 10_000)).join('\n')
      execFileSync('kcat', ['-b', broker, '-P', '-t', orders, '-p', String(p), '-z', 'lz4'], { input })
    }
    for (let i = 0; i < ROUNDS; i++) {
      for (const claims of WAYS) {
        const name = `claims-${claims}-${run}-${i}`
        const ran = await runOf({ name, dir: join(dir, name), set: { orders, paid: await topic(name), claims } })
        runs[claims].push(ran)
        await forgetClaims(name)
        const { perSecond, cpuPerMillion } = ran
        say(
          `round ${i + 1}, ${claims}: ${Math.round(perSecond / 1e3)} k records/s, ${cpuPerMillion.toFixed(2)} CPU-s per million`,
        )
      }
    }
  } finally {
    await admin.disconnect()
    await kafka.close()
    await rm(dir, { recursive: true, force: true })
  }
  const rate = (way: Way): number => median(runs[way].map(({ perSecond }) => perSecond))
  const over = (base: Way, ways: readonly Way[], named: string): [name: string, ratio: number][] =>
    ways
      .filter((way) => WAYS.includes(way) && WAYS.includes(base))
      .map((way) => [`pipeline, ${way}: claims over ${named}`, rate(way) / rate(base)])
  return [
    ...WAYS.flatMap((way) => [
      figure(`pipeline, ${way}: records/s`, rate(way)),
      figure(`pipeline, ${way}: CPU-s per million`, median(runs[way].map(({ cpuPerMillion }) => cpuPerMillion))),
    ]),
    ...over('none', ['state', 'source', 'redis'], 'without').map(([name, ratio]) => atLeast(name, ratio, RATIO_MIN)),
    // What the claim itself costs: the stream is keyed by what is claimed in both.
    ...over('keyed', ['state'], 'keyed without').map(([name, ratio]) => atLeast(name, ratio, RATIO_MIN)),
  ]
}

interface Run {
  readonly perSecond: number
  /** Of the task-manager: user and system time. */
  readonly cpuPerMillion: number
}

interface Round {
  readonly name: string
  readonly dir: string
  readonly set: Readonly<Record<string, string>>
}

async function runOf({ name, dir, set }: Round): Promise<Run> {
  const env = { ...clusterEnv(name), BENCH_REDIS: `redis://${stackEndpoints().redis}` }
  const manager = await startProcess('job-manager', env)
  const more = { WEIR_JOB_MANAGERS: manager.ready.grpc!, WEIR_SLOTS: '2', WEIR_DATA_DIR: dir }
  const worker = await startProcess('task-manager', { ...env, ...more })
  try {
    execFileSync(process.execPath, [
      ...[here('../../apps/cli/dist/main.js'), 'submit', here('idempotency.job.ts'), '--id', name],
      ...['--job-manager', manager.ready.grpc!],
      ...Object.entries(set).flatMap(([key, value]) => ['--set', `${key}=${value}`]),
    ])
    let first: { readonly atMs: number; readonly records: number; readonly cpu: number } | null = null
    for (;;) {
      const answer = await fetch(`http://${manager.ready.http}/api/v1/jobs/${name}`)
      const { state, recordsIn, error } = (await answer.json()) as { state: string; recordsIn: number; error: unknown }
      if (state === 'FAILED') throw new Error(JSON.stringify(error))
      if (recordsIn > 0) first ??= { atMs: performance.now(), records: recordsIn, cpu: await cpuSecondsOf(worker) }
      if (state === 'FINISHED') {
        const { atMs, records, cpu } = first!
        const count = recordsIn - records
        return {
          perSecond: (count / (performance.now() - atMs)) * 1_000,
          cpuPerMillion: ((await cpuSecondsOf(worker)) - cpu) / (count / 1e6),
        }
      }
      await systemClock.sleep(20)
    }
  } finally {
    await stopProcess(worker)
    await stopProcess(manager)
  }
}
