/**
 * What checkpoints cost a running job, and how long it is without output when it moves: job-manager and task-managers as
 * processes, input and output through kcat (librdkafka, read_committed).
 *
 * - throughput: a backlog read with a checkpoint every second, beside the same without any, in turn
 * - load: 120,000 orders a second for a minute with a checkpoint every 10 s, 1 M keys
 * - moves: 1 M keys, a checkpoint every second, 20,000 orders a second; a task-manager is killed (-9); 2 → 4 subtasks
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { systemClock } from '@weir/runtime/system'
import { cpuSeconds, difference } from './lib/cpu.ts'
import { Fleet, type JobAnswer } from '../e2e/fleet.ts'
import { KEYS, ROUNDS } from './checkpoint.state.ts'
import { atLeast, atMost, figure, median, say, type Figure } from './lib/figures.ts'
import { order } from './lib/orders.ts'

const BACKLOG = Number(process.env['BENCH_RECORDS'] ?? 4_000_000)
const BACKLOG_USERS = 10_000
const NEVER_MS = 60_000
const LOAD_PER_SECOND = Number(process.env['BENCH_PER_SECOND'] ?? 120_000)
const LOAD_SECONDS = Number(process.env['BENCH_SECONDS'] ?? 60)
const MOVE_PER_SECOND = 20_000
const MOVES_SECONDS_MAX = 600
/** A job that has not come back by then does not. */
const WAIT_MS = 120_000
const BLOCK_MS = 10

const job = new URL('./checkpoint.job.ts', import.meta.url).pathname

const PARTS = { throughput, load, moves }
export type FleetPart = keyof typeof PARTS

export async function fleetFigures(parts = Object.keys(PARTS) as FleetPart[]): Promise<readonly Figure[]> {
  const fleet = new Fleet()
  await fleet.start({ managers: 1, workers: 2 })
  try {
    const figures: Figure[] = []
    for (const part of parts) figures.push(...(await PARTS[part](fleet)))
    return figures
  } finally {
    await fleet.stop()
  }
}

async function throughput(fleet: Fleet): Promise<readonly Figure[]> {
  const { backlog } = await fleet.topics(['backlog'])
  await Producer.all(fleet, backlog!, BACKLOG, BACKLOG_USERS)
  const found = { every: [] as number[], none: [] as number[] }
  for (let round = 0; round < ROUNDS; round++) {
    for (const which of ['none', 'every'] as const) {
      const id = `throughput-${which}-${round}-${fleet.run}`
      const intervalMs = which === 'none' ? NEVER_MS : 1_000
      await submit(fleet, id, { orders: backlog!, intervalMs, bounded: true })
      const from = await fleet.until(id, 'the first records', (j) => j.recordsIn >= BACKLOG / 10, WAIT_MS)
      const cpu = await cpuSeconds(fleet.workers)
      const began = performance.now()
      const to = await fleet.until(id, 'the last records', (j) => j.recordsIn >= BACKLOG, WAIT_MS)
      found[which].push(((to.recordsIn - from.recordsIn) / (performance.now() - began)) * 1_000)
      say(`${which}: CPU-s ${JSON.stringify(difference(await cpuSeconds(fleet.workers), cpu))}`)
      await fleet.until(id, 'the end', (j) => j.state === 'FINISHED', WAIT_MS)
    }
  }
  say(`throughput: ${JSON.stringify(found)}`)
  return [
    atLeast(
      'records/s with a checkpoint every second / none',
      median(found.every.map((n, i) => n / found.none[i]!)),
      0.95,
    ),
    figure('records/s with a checkpoint every second', median(found.every)),
    figure('records/s without', median(found.none)),
  ]
}

async function load(fleet: Fleet): Promise<readonly Figure[]> {
  const id = `load-${fleet.run}`
  const { load } = await fleet.topics(['load'])
  await Producer.all(fleet, load!, KEYS, KEYS)
  await submit(fleet, id, { orders: load!, intervalMs: 10_000 })
  await fleet.until(id, 'every key', (j) => j.recordsIn >= KEYS && j.finalEpoch >= 1, WAIT_MS)
  const beganAt = Date.now()
  const cpu = await cpuSeconds(fleet.workers)
  const sent = LOAD_PER_SECOND * LOAD_SECONDS
  const began = performance.now()
  await new Producer(fleet, load!, KEYS).run(LOAD_PER_SECOND, LOAD_SECONDS)
  await fleet.until(id, 'the load', (j) => j.recordsIn >= KEYS + sent, WAIT_MS)
  const seconds = (performance.now() - began) / 1_000
  await fleet.until(id, 'the last epoch', (j) => j.finalEpoch === j.publishedEpoch, WAIT_MS)
  const taken = (await fleet.checkpoints(id)).filter((c) => c.triggeredAt >= beganAt && c.status === 'final')
  const durations = taken.map((c) => c.durationMs!)
  const spent = difference(await cpuSeconds(fleet.workers), cpu)
  say(`load: ${seconds.toFixed(1)} s, checkpoints ${JSON.stringify(durations)} ms, CPU-s ${JSON.stringify(spent)}`)
  await fleet.cli('cancel', id)
  return [
    atMost(
      `${LOAD_PER_SECOND} orders/s for ${LOAD_SECONDS} s, ${KEYS} keys: s behind at the end`,
      seconds - LOAD_SECONDS,
      1,
    ),
    atMost('its checkpoints: ms, trigger to final, median', median(durations), 1_000),
    figure(
      'CPU-s of the task-managers meanwhile',
      Object.values(spent).reduce((all, s) => all + s, 0),
    ),
    figure(`the longest of ${durations.length}`, Math.max(...durations)),
  ]
}

async function moves(fleet: Fleet): Promise<readonly Figure[]> {
  const id = `moves-${fleet.run}`
  const { moves, probe } = await fleet.topics(['moves', 'probe'])
  await Producer.all(fleet, moves!, KEYS, KEYS)
  await submit(fleet, id, { orders: moves!, probe: probe!, intervalMs: 1_000 })
  await fleet.until(id, 'every key', (j) => j.recordsIn >= KEYS && j.finalEpoch >= 2, WAIT_MS)
  const output = fleet.follow(probe!)
  const producer = new Producer(fleet, moves!, KEYS)
  const feeding = producer.run(MOVE_PER_SECOND, MOVES_SECONDS_MAX)
  const kills: number[] = []
  const wider: number[] = []
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await steady(fleet, id)
      const { restarts } = await fleet.job(id)
      const killedAt = performance.now()
      await fleet.kill(fleet.workers[0]!)
      const back = (j: JobAnswer): boolean => j.state === 'RUNNING' && j.restarts > restarts
      await fleet.until(id, 'running again', back, WAIT_MS)
      kills.push((await output.next(performance.now())) - killedAt)
      await fleet.addWorker()
      await steady(fleet, id)
      wider.push(await withoutOutput(fleet, id, output, 4))
      await withoutOutput(fleet, id, output, 2)
    }
  } finally {
    producer.stop()
    await feeding
  }
  say(`moves: kill ${JSON.stringify(kills)} ms, 2 → 4 ${JSON.stringify(wider)} ms`)
  await fleet.cli('cancel', id)
  return [
    atMost(`kill -9 to the first output of the next attempt, s, ${KEYS} keys`, median(kills) / 1_000, 5),
    atMost(`2 → 4 subtasks: s without output, ${KEYS} keys, checkpoints every second`, median(wider) / 1_000, 3),
  ]
}

/** Two epochs on: what happens next happens to a job that runs undisturbed. */
async function steady(fleet: Fleet, id: string): Promise<void> {
  const { finalEpoch } = await fleet.job(id)
  await fleet.until(id, 'two more epochs', (j) => j.finalEpoch >= finalEpoch + 2, WAIT_MS)
}

/** The longest time between two outputs, from the wish for another parallelism until there was output of it, ms. */
async function withoutOutput(
  fleet: Fleet,
  id: string,
  output: ReturnType<Fleet['follow']>,
  parallelism: number,
): Promise<number> {
  let last = await output.next(performance.now())
  const asked = fleet.cli('rescale', id, String(parallelism))
  const wide = (j: JobAnswer): boolean => j.state === 'RUNNING' && j.slices.length === parallelism
  const running = fleet.until(id, `${parallelism} subtasks`, wide, WAIT_MS).then(() => performance.now())
  const there = await output.next(await running)
  let longest = 0
  while (last < there) {
    const next = await output.next(last)
    longest = Math.max(longest, next - last)
    last = next
  }
  await asked
  return longest
}

async function submit(fleet: Fleet, id: string, set: Record<string, string | number | boolean>): Promise<void> {
  const [sums, probe] = Object.values(await fleet.topics([`sums-${id}`, `probe-${id}`]))
  const parameters = Object.entries({ sums, probe, ...set }).flatMap(([k, v]) => ['--set', `${k}=${String(v)}`])
  const { status, stderr } = await fleet.cli('submit', job, '--id', id, ...parameters)
  if (status !== 0) throw new Error(stderr)
}

/** Feeds orders through kcat, which spreads them over the partitions. */
class Producer {
  readonly #kcat: ChildProcess
  readonly #users: number
  #sent = 0
  #stopped = false

  constructor(fleet: Fleet, topic: string, users: number) {
    const args = ['-b', fleet.servers.kafka, '-P', '-t', topic, '-z', 'lz4', '-X', 'linger.ms=5']
    this.#kcat = spawn('kcat', args, { stdio: ['pipe', 'ignore', 2] })
    this.#users = users
  }

  /** As fast as it goes. */
  static async all(fleet: Fleet, topic: string, orders: number, users: number): Promise<void> {
    const producer = new Producer(fleet, topic, users)
    while (producer.#sent < orders) await producer.#send(Math.min(10_000, orders - producer.#sent))
    await producer.#end()
  }

  async run(perSecond: number, seconds: number): Promise<void> {
    const began = performance.now()
    const all = perSecond * seconds
    while (this.#sent < all && !this.#stopped) {
      const due = Math.min(all, Math.floor(((performance.now() - began) * perSecond) / 1_000))
      if (due > this.#sent) await this.#send(due - this.#sent)
      await systemClock.sleep(BLOCK_MS)
    }
    await this.#end()
  }

  stop(): void {
    this.#stopped = true
  }

  async #send(count: number): Promise<void> {
    let lines = ''
    for (let i = 0; i < count; i++) lines += `${order(this.#sent++, this.#users)}\n`
    if (!this.#kcat.stdin!.write(lines)) await once(this.#kcat.stdin!, 'drain')
  }

  async #end(): Promise<void> {
    this.#kcat.stdin!.end()
    const [code] = (await once(this.#kcat, 'exit')) as [number]
    if (code !== 0) throw new Error(`kcat ended with ${code}`)
  }
}
