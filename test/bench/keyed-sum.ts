/**
 * `npm run bench -- keyed-sum`: the engine (one task-manager process, two slots, shuffle, state, checkpoints to S3) beside
 * the hand-written loop, alternating on the same broker and the same input. Medians of the rounds; the ratio is the figure.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KafkaConnections } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { startProcess, stopProcess } from '../../apps/cli/src/fleet.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { clusterEnv } from './lib/cluster.ts'
import { atMost, figure, median, say } from './lib/figures.ts'
import { order } from './lib/orders.ts'

const RECORDS = Number(process.env['BENCH_RECORDS'] ?? 3_000_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const USERS = 10_000
const here = (file: string): string => new URL(file, import.meta.url).pathname

interface Round {
  readonly records: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakMiB: number
}

const stack = stackEndpoints()
const run = systemRandom.nonce().slice(0, 8)
const kafka = new KafkaConnections({ brokers: [stack.kafka], clientId: 'bench' }, { clock: systemClock })
const admin = kafka.admin()
const dir = await mkdtemp(join(tmpdir(), 'weir-bench-'))

async function topic(name: string): Promise<string> {
  const made = `${name}-${run}`
  await admin.createTopics({ topics: [{ topic: made, numPartitions: 4, replicationFactor: 1 }] })
  return made
}

function loop(orders: string, sums: string, name: string): Round {
  const args = ['--conditions=@weir/source', '--disable-warning=ExperimentalWarning', here('keyed-sum.loop.ts')]
  const out = execFileSync(process.execPath, [...args, stack.kafka, orders, sums, name], { encoding: 'utf8' })
  return JSON.parse(out) as Round
}

async function engine(orders: string, sums: string, name: string): Promise<Round> {
  const env = clusterEnv(name)
  const manager = await startProcess('job-manager', env)
  const worker = await startProcess('task-manager', {
    ...env,
    WEIR_JOB_MANAGERS: manager.ready.grpc!,
    WEIR_SLOTS: '2',
    WEIR_DATA_DIR: join(dir, name),
  })
  try {
    const pid = worker.child.pid!
    const set = { orders, sums, parallelism: '2' }
    const args = Object.entries(set).flatMap(([key, value]) => ['--set', `${key}=${value}`])
    const cpuBefore = await cpuSeconds(pid)
    execFileSync(process.execPath, [
      ...[here('../../apps/cli/dist/main.js'), 'submit', here('keyed-sum.job.ts'), '--id', name],
      ...['--job-manager', manager.ready.grpc!, ...args],
    ])
    // From "running" on, as the loop counts from its first fetch; the start-up's CPU is in, which is against us.
    const startedAt = performance.now()
    for (;;) {
      const answer = await fetch(`http://${manager.ready.http}/api/v1/jobs/${name}`)
      const view = (await answer.json()) as { state: string; recordsIn: number; error: unknown }
      if (view.state === 'FINISHED') {
        const seconds = (performance.now() - startedAt) / 1_000
        const cpu = (await cpuSeconds(pid)) - cpuBefore
        return { records: view.recordsIn, seconds, cpuSeconds: cpu, peakMiB: await peakMiB(pid) }
      }
      if (view.state === 'FAILED') throw new Error(JSON.stringify(view.error))
      await systemClock.sleep(20)
    }
  } finally {
    await stopProcess(worker)
    await stopProcess(manager)
  }
}

/** User and system time of all threads; the kernel counts in 1/100 s. */
async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
async function peakMiB(pid: number): Promise<number> {
  return Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]) / 1_024
}

await admin.connect()
const rounds: { loop: Round; engine: Round }[] = []
try {
  const orders = await topic('orders')
  for (let p = 0; p < 4; p++) {
    const input = Array.from({ length: Math.ceil(RECORDS / 4) }, (_, i) => order(i * 4 + p, USERS)).join('\n')
    execFileSync('kcat', ['-b', stack.kafka, '-P', '-t', orders, '-p', String(p), '-z', 'lz4'], { input })
  }
  for (let i = 0; i < ROUNDS; i++) {
    const a = loop(orders, await topic(`loop-${i}`), `loop-${run}-${i}`)
    const b = await engine(orders, await topic(`engine-${i}`), `engine-${run}-${i}`)
    if (a.records !== b.records) throw new Error(`the loop read ${a.records} records, the engine ${b.records}`)
    rounds.push({ loop: a, engine: b })
    const show = (r: Round): string =>
      `${Math.round(r.records / r.seconds / 1e3)} k/s, ${((r.cpuSeconds / r.records) * 1e6).toFixed(2)} CPU-s/M, ${Math.round(r.peakMiB)} MiB`
    say(`round ${i + 1}: loop ${show(a)}; engine ${show(b)}`)
  }
} finally {
  await admin.disconnect()
  await kafka.close()
  await rm(dir, { recursive: true, force: true })
}

const of = (who: 'loop' | 'engine', value: (r: Round) => number): number => median(rounds.map((r) => value(r[who])))
const cpuPerMillion = (r: Round): number => (r.cpuSeconds / r.records) * 1e6
const perSecond = (r: Round): number => r.records / r.seconds
const ratio = median(rounds.map((r) => cpuPerMillion(r.engine) / cpuPerMillion(r.loop)))
console.log(
  JSON.stringify({
    bench: 'keyed-sum',
    figures: [
      atMost('engine CPU / loop CPU', ratio, 3),
      figure('engine records/s', of('engine', perSecond)),
      figure('engine CPU-s per million records', of('engine', cpuPerMillion)),
      figure(
        'engine peak RSS MiB',
        of('engine', (r) => r.peakMiB),
      ),
      figure('loop records/s', of('loop', perSecond)),
      figure('loop CPU-s per million records', of('loop', cpuPerMillion)),
      figure(
        'loop peak RSS MiB',
        of('loop', (r) => r.peakMiB),
      ),
    ],
  }),
)
