/** What claims cost inside a pipeline: one task-manager process, two slots, Kafka → Kafka, with and without, in turn on one topic. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KafkaConnections } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/model'
import { startProcess, stopProcess } from '../../apps/cli/src/fleet.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { clusterEnv } from './lib/cluster.ts'
import { atLeast, figure, median, say, type Figure } from './lib/figures.ts'
import { order } from './lib/orders.ts'

const RECORDS = Number(process.env['BENCH_RECORDS'] ?? 1_000_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const PARTITIONS = 4
const RATIO_MIN = 0.6
const WAYS = ['none', 'state', 'redis'] as const
type Way = (typeof WAYS)[number]
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
  const rates: Record<Way, number[]> = { none: [], state: [], redis: [] }
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
        const rate = await perSecond({ name, dir: join(dir, name), set: { orders, paid: await topic(name), claims } })
        rates[claims].push(rate)
        say(`round ${i + 1}, claims ${claims}: ${Math.round(rate / 1e3)} k records/s`)
      }
    }
  } finally {
    await admin.disconnect()
    await kafka.close()
    await rm(dir, { recursive: true, force: true })
  }
  const without = median(rates.none)
  return [
    figure('pipeline: records/s without claims', without),
    ...(['state', 'redis'] as const).flatMap((way) => [
      figure(`pipeline: records/s with claims in ${way}`, median(rates[way])),
      atLeast(`pipeline: with claims in ${way} over without`, median(rates[way]) / without, RATIO_MIN),
    ]),
  ]
}

interface Round {
  readonly name: string
  readonly dir: string
  readonly set: Readonly<Record<string, string>>
}

/** From "running" to the end of the input, committed. */
async function perSecond({ name, dir, set }: Round): Promise<number> {
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
    const began = performance.now()
    for (;;) {
      const answer = await fetch(`http://${manager.ready.http}/api/v1/jobs/${name}`)
      const view = (await answer.json()) as { state: string; recordsIn: number; error: unknown }
      if (view.state === 'FINISHED') return (view.recordsIn / (performance.now() - began)) * 1_000
      if (view.state === 'FAILED') throw new Error(JSON.stringify(view.error))
      await systemClock.sleep(20)
    }
  } finally {
    await stopProcess(worker)
    await stopProcess(manager)
  }
}
