/**
 * `npm run bench -- continuous`: from a record's hand-over to a producer until its output reaches an outside reader with
 * `read_committed`, at 5,000 records/s through the whole fleet (job-manager, task-manager with two slots, checkpoints to S3).
 * Producer and reader are kcat (librdkafka). Every interval is measured three times in turn, each figure is the median:
 * the first round meets a broker that has just started.
 */
import { spawn, execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { KafkaConnections } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { startProcess, stopProcess } from '../../apps/cli/src/fleet.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { clusterEnv } from './lib/cluster.ts'
import { atMost, figure, median, say } from './lib/figures.ts'

const RATE = Number(process.env['BENCH_RATE'] ?? 5_000)
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 20)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const WARM_UP_SECONDS = 10
const USERS = 10_000
/** Commit interval, ms → goal for p99, ms. */
const GOALS: readonly (readonly [intervalMs: number, p99Ms: number])[] = [
  [100, 115],
  [20, 50],
]
const here = (file: string): string => new URL(file, import.meta.url).pathname

const stack = stackEndpoints()
const run = systemRandom.nonce().slice(0, 8)
const kafka = new KafkaConnections({ brokers: [stack.kafka], clientId: 'bench' }, { clock: systemClock })
const admin = kafka.admin()
const dir = await mkdtemp(join(tmpdir(), 'weir-bench-'))
const wallClock = (): number => performance.timeOrigin + performance.now()

interface Latencies {
  readonly sent: number
  /** ms, ascending. */
  readonly sorted: readonly number[]
}

async function measure(intervalMs: number, round: number): Promise<Latencies> {
  const name = `continuous-${intervalMs}-${round}-${run}`
  const [orders, sums] = [`orders-${name}`, `sums-${name}`]
  await admin.createTopics({
    topics: [orders, sums].map((topic) => ({ topic, numPartitions: 4, replicationFactor: 1 })),
  })
  const env = clusterEnv(name)
  const manager = await startProcess('job-manager', env)
  const worker = await startProcess('task-manager', {
    ...env,
    WEIR_JOB_MANAGERS: manager.ready.grpc!,
    WEIR_SLOTS: '2',
    WEIR_DATA_DIR: join(dir, name),
  })
  const broker = ['-b', stack.kafka]
  const reader = spawn('kcat', [
    ...[...broker, '-C', '-t', sums, '-u', '-q', '-o', 'beginning', '-f', '%s\n'],
    ...['-X', 'isolation.level=read_committed'],
  ])
  // The default partitioner hashes keys: a user's orders are in one partition.
  const producer = spawn('kcat', [...broker, '-P', '-t', orders, '-K', '|'])
  try {
    const set = Object.entries({ orders, sums, commitMs: intervalMs }).flatMap(([k, v]) => ['--set', `${k}=${v}`])
    execFileSync(process.execPath, [
      ...[here('../../apps/cli/dist/main.js'), 'submit', here('continuous.job.ts'), '--id', name],
      ...['--job-manager', manager.ready.grpc!, ...set],
    ])
    await running(manager.ready.http, name)
    const latencies: number[] = []
    const measuredFrom = wallClock() + WARM_UP_SECONDS * 1_000
    createInterface({ input: reader.stdout }).on('line', (line) => {
      const { sentAt } = JSON.parse(line) as { sentAt: number }
      if (sentAt >= measuredFrom) latencies.push(wallClock() - sentAt)
    })
    let sent = 0
    let measured = 0
    const startedAt = wallClock()
    for (let now = startedAt; now < measuredFrom + SECONDS * 1_000; now = wallClock()) {
      let lines = ''
      for (const due = ((now - startedAt) * RATE) / 1_000; sent < due; sent++) {
        const sentAt = wallClock()
        if (sentAt >= measuredFrom) measured++
        const user = `user-${(sent * 7_919) % USERS}`
        lines += `${user}|${JSON.stringify({ user, amountMinor: sent % 1_000, sentAt })}\n`
      }
      producer.stdin.write(lines)
      await systemClock.sleep(2)
    }
    producer.stdin.end() // kcat keeps the last lines to itself until then
    for (const deadline = performance.now() + 10_000; latencies.length < measured;) {
      if (performance.now() > deadline) throw new Error(`${measured} records sent, ${latencies.length} outputs seen`)
      await systemClock.sleep(20)
    }
    return { sent: measured, sorted: latencies.sort((a, b) => a - b) }
  } finally {
    producer.kill('SIGKILL')
    reader.kill('SIGKILL')
    await stopProcess(worker)
    await stopProcess(manager)
  }
}

async function running(http: string, name: string): Promise<void> {
  for (;;) {
    const view = (await (await fetch(`http://${http}/api/v1/jobs/${name}`)).json()) as { state: string; error: unknown }
    if (view.state === 'RUNNING') return
    if (view.state === 'FAILED') throw new Error(JSON.stringify(view.error))
    await systemClock.sleep(20)
  }
}

/** interval, ms → its p50 and p99 of every round, ms. */
const measured = new Map(GOALS.map(([intervalMs]) => [intervalMs, { p50: [] as number[], p99: [] as number[] }]))
await admin.connect()
try {
  for (let round = 1; round <= ROUNDS; round++) {
    for (const [intervalMs] of GOALS) {
      const { sorted, sent } = await measure(intervalMs, round)
      const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!
      const show = [0.5, 0.9, 0.99, 0.999].map((q) => `p${q * 100} ${at(q).toFixed(1)}`).join(', ')
      say(`every ${intervalMs} ms: ${show}, highest ${sorted.at(-1)!.toFixed(1)} ms; ${sent} records`)
      measured.get(intervalMs)!.p50.push(at(0.5))
      measured.get(intervalMs)!.p99.push(at(0.99))
    }
  }
} finally {
  await admin.disconnect()
  await kafka.close()
  await rm(dir, { recursive: true, force: true })
}
const figures = GOALS.flatMap(([intervalMs, goal]) => {
  const { p50, p99 } = measured.get(intervalMs)!
  const name = `interval ${intervalMs} ms`
  return [figure(`${name}: p50 ms`, median(p50)), atMost(`${name}: p99 ms`, median(p99), goal)]
})
console.log(JSON.stringify({ bench: 'continuous', figures }))
