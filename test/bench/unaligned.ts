/**
 * `npm run bench -- unaligned`: how long a checkpoint takes, from its trigger until it is final, while every channel is
 * full: aligned, and with barriers that overtake. Both measured in turn, each figure is the median over all rounds. The stage
 * that is too slow shares its thread with everything else a slice does, so neither can be as fast as in an idle job.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KafkaConnections } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { startProcess, stopProcess } from '../../apps/cli/src/fleet.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { clusterEnv } from './lib/cluster.ts'
import { figure, median, say } from './lib/figures.ts'

const RECORDS = Number(process.env['BENCH_RECORDS'] ?? 400_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const USERS = 1_000
const PARTITIONS = 4
const MODES = [
  { name: 'aligned', alignedTimeoutMs: -1 },
  { name: 'overtaking', alignedTimeoutMs: 0 },
] as const
const here = (file: string): string => new URL(file, import.meta.url).pathname

const stack = stackEndpoints()
const run = systemRandom.nonce().slice(0, 8)
const kafka = new KafkaConnections({ brokers: [stack.kafka], clientId: 'bench' }, { clock: systemClock })
const admin = kafka.admin()
const dir = await mkdtemp(join(tmpdir(), 'weir-bench-'))
const orders = `orders-${run}`

/** Durations of the epochs that became final while input was left, ms. */
async function measure(alignedTimeoutMs: number, name: string): Promise<number[]> {
  const env = clusterEnv(name)
  const sums = `sums-${name}`
  await admin.createTopics({ topics: [{ topic: sums, numPartitions: PARTITIONS, replicationFactor: 1 }] })
  const manager = await startProcess('job-manager', env)
  const workers = await Promise.all(
    [0, 1].map((i) =>
      startProcess('task-manager', {
        ...{ ...env, WEIR_JOB_MANAGERS: manager.ready.grpc!, WEIR_SLOTS: '1' },
        WEIR_DATA_DIR: join(dir, `${name}-${i}`),
      }),
    ),
  )
  try {
    const set = Object.entries({ orders, sums, alignedTimeoutMs }).flatMap(([k, v]) => ['--set', `${k}=${v}`])
    execFileSync(process.execPath, [
      ...[here('../../apps/cli/dist/main.js'), 'submit', here('unaligned.job.ts'), '--id', name],
      ...['--job-manager', manager.ready.grpc!, ...set],
    ])
    const ask = async <T>(what: string): Promise<T> =>
      (await (await fetch(`http://${manager.ready.http}/api/v1/jobs/${name}${what}`)).json()) as T
    for (;;) {
      const job = await ask<{ state: string; error: unknown }>('')
      if (job.state === 'FAILED') throw new Error(JSON.stringify(job.error))
      if (job.state === 'FINISHED') break
      await systemClock.sleep(50)
    }
    const checkpoints = await ask<{ status: string; durationMs: number | null }[]>('/checkpoints')
    // Newest first; the newest drains the job.
    return checkpoints.slice(1).flatMap(({ status, durationMs }) => (status === 'final' ? [durationMs!] : []))
  } finally {
    for (const process of [...workers, manager]) await stopProcess(process)
  }
}

const durations = new Map(MODES.map(({ name }) => [name as string, [] as number[]]))
await admin.connect()
try {
  await admin.createTopics({ topics: [{ topic: orders, numPartitions: PARTITIONS, replicationFactor: 1 }] })
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const lines = Array.from(
      { length: RECORDS / PARTITIONS },
      (_, i) => `{"user":"u${i % USERS}","amountMinor":${i % 100}}`,
    )
    const args = ['-b', stack.kafka, '-P', '-t', orders, '-p', String(partition), '-z', 'lz4']
    execFileSync('kcat', args, { input: lines.join('\n') })
  }
  for (let round = 1; round <= ROUNDS; round++) {
    for (const { name, alignedTimeoutMs } of MODES) {
      const found = await measure(alignedTimeoutMs, `${name}-${round}-${run}`)
      say(`${name}: ${found.map((ms) => ms.toFixed(0)).join(', ')} ms`)
      durations.get(name)!.push(...found)
    }
  }
} finally {
  await admin.disconnect()
  await kafka.close()
  await rm(dir, { recursive: true, force: true })
}
const figures = MODES.flatMap(({ name }) => {
  const found = durations.get(name)!
  return found.length === 0
    ? []
    : [figure(`${name}: median ms`, median(found)), figure(`${name}: epochs`, found.length)]
})
console.log(JSON.stringify({ bench: 'unaligned', figures }))
