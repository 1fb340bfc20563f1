/**
 * The same accident on Flink, Kafka Streams and Weir. Each counts paid orders per user, exactly once, from Kafka to Kafka, with a checkpoint (commit) every 2 s and a
 * transaction timeout of 10 s. The first EndTxn after a while is kept on the wire, its sender is killed (-9), the request
 * is lost: killed between checkpoint and commit. Then it stays away
 *
 *   expired-transaction  until the broker has aborted what was open, longer than the timeout;
 *   in-time              not at all: it is started again at once.
 *
 * An outside reader (librdkafka, read_committed) counts what is missing and what is there twice.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KafkaConnections, listTransactions } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { NoDuplicate, NoLoss, StuckReader } from '../../checkers/index.ts'
import { request } from '../../chaos/points.ts'
import { jobFile } from '../../chaos/round.ts'
import { World, proxiedKafka } from '../../chaos/world.ts'
import { readCommitted, stuckReaders } from '../../e2e/judge.ts'
import { createTopics } from '../../e2e/fleet.ts'
import { expectation, orderAt } from '../../e2e/orders.ts'
import type { Toxic } from '../../e2e/toxic.ts'
import { build, newestCheckpoint, startJvm, type Jvm } from './jvm.ts'

export const ACCIDENTS = ['expired-transaction', 'in-time']
/** Fed after the restart. */
const AFTER = 10_000
/** Whoever is not warm by then is not going to be. */
const BEFORE_MAX = 400_000
const RATE = 2_000
const PARTITIONS = 4
const INTERVAL_MS = 2_000
const TRANSACTION_TIMEOUT_MS = 10_000
/** Outputs that were visible before the accident is prepared. */
const WARM = 8_000
const WARM_TIMEOUT_MS = 60_000
/** Nothing new for this long: nothing more will come. */
const QUIET_MS = 12_000
const END_TXN = 26

const say = (text: string): void => console.error(`[peers] ${text}`)

/** One engine with one job. */
interface Engine {
  /** What its transactional ids begin with. */
  readonly prefix: string
  start(): Promise<void>
  kill(): Promise<void>
  /** Does the job still run, and what did it say about lost output? */
  state(): Promise<string>
  close(): Promise<void>
}
interface Site {
  /** Direct, and through the proxy. */
  readonly kafka: string
  readonly proxied: string
  readonly input: string
  readonly output: string
  readonly run: string
}

/** A JVM with one of the peers; see test/bench/peers. */
class Peer implements Engine {
  readonly prefix: string
  readonly #name: 'flink' | 'kafka-streams'
  readonly #options: (dir: string) => Promise<Readonly<Record<string, string>>>
  readonly #dir: string
  #jvm: Jvm | null = null

  constructor(
    name: 'flink' | 'kafka-streams',
    prefix: string,
    dir: string,
    options: (dir: string) => Promise<Readonly<Record<string, string>>>,
  ) {
    this.prefix = prefix
    this.#name = name
    this.#dir = dir
    this.#options = options
  }

  async start(): Promise<void> {
    this.#jvm = startJvm(this.#name, await this.#options(this.#dir), join(this.#dir, 'log'))
  }

  async kill(): Promise<void> {
    const exited = once(this.#jvm!, 'exit')
    this.#jvm!.kill('SIGKILL')
    await exited
  }

  async state(): Promise<string> {
    const { exitCode, signalCode } = this.#jvm!
    const log = await readFile(join(this.#dir, 'log'), 'utf8')
    const errors = log.split('\n').filter((line) => /\bERROR\b/.test(line))
    const loss = errors.filter((line) => /data loss/i.test(line)).length
    const running = exitCode === null && signalCode === null ? 'running' : `ended with ${exitCode ?? signalCode}`
    return `${running}; log: ${loss} lines "data loss"`
  }

  async close(): Promise<void> {
    if (this.#jvm?.exitCode === null && this.#jvm.signalCode === null) await this.kill()
    await rm(this.#dir, { recursive: true, force: true })
  }
}

class Weir implements Engine {
  readonly prefix: string
  readonly #world: World
  readonly #jobId: string
  readonly #site: Site
  #submitted = false

  constructor(world: World, site: Site) {
    this.#world = world
    this.#site = site
    this.#jobId = `peer-${site.run}`
    this.prefix = `weir.${this.#jobId}.`
  }

  async start(): Promise<void> {
    await this.#world.heal()
    if (this.#submitted) return
    this.#submitted = true
    const { input, output, run } = this.#site
    const counts = Object.values(await this.#world.fleet.topics([`counts-${run}`], PARTITIONS))[0]
    const parameters = {
      ...{ orders: input, sums: output, counts, bounded: false, rate: 1_000_000, intervalMs: INTERVAL_MS },
      ...{ transactionTimeoutMs: TRANSACTION_TIMEOUT_MS, alignTimeoutMs: 4_000, toleratedAborts: 0 },
      recoveryBudgetMs: 3_000,
    }
    const set = Object.entries(parameters).flatMap(([k, v]) => ['--set', `${k}=${v}`])
    const { status, stderr } = await this.#world.fleet.cli('submit', jobFile, '--id', this.#jobId, ...set)
    if (status !== 0) throw new Error(stderr)
  }

  async kill(): Promise<void> {
    const { jobManagers, taskManagers } = this.#world
    await Promise.all([...jobManagers, ...taskManagers].map((p) => this.#world.kill(p.process)))
  }

  async state(): Promise<string> {
    const job = await this.#world.fleet.look(this.#jobId)
    return job === null
      ? 'unreachable'
      : `${job.state.toLowerCase()}; REST: ${job.healedTransactions} transactions healed`
  }

  async close(): Promise<void> {
    await this.#world.fleet.cli('cancel', this.#jobId)
  }
}

const optionsOf = ({ proxied, input, output }: Site, id: string): Readonly<Record<string, string>> => ({
  ...{ work: 'paid', tuned: 'false', store: 'memory', brokers: proxied, input, output, id },
  ...{ transactionTimeoutMs: String(TRANSACTION_TIMEOUT_MS), intervalMs: String(INTERVAL_MS) },
})

const ENGINES: Readonly<Record<string, (site: Site, dir: string, world: World | null) => Engine>> = {
  flink: (site, dir) =>
    new Peer('flink', `peer-flink-${site.run}`, dir, async (folder) => {
      const checkpoints = join(folder, 'checkpoints')
      return {
        ...optionsOf(site, `peer-flink-${site.run}`),
        ...{ folder: checkpoints, restore: await newestCheckpoint(checkpoints) },
      }
    }),
  'kafka-streams': (site, dir) =>
    new Peer('kafka-streams', `peer-streams-${site.run}`, dir, (folder) =>
      Promise.resolve({
        ...optionsOf(site, `peer-streams-${site.run}`),
        // Else the group waits 45 s for its dead members.
        ...{ folder: join(folder, 'state'), sessionMs: '6000', store: 'rocksdb' },
      }),
    ),
  weir: (site, _dir, world) => new Weir(world!, site),
}

interface Result {
  readonly lost: number
  readonly duplicates: number
  readonly stuckReaders: number
  readonly outputs: number
  readonly awayMs: number
  readonly state: string
}

async function accident(
  engine: Engine,
  site: Site,
  kafka: KafkaConnections,
  proxy: Toxic,
  scenario: string,
): Promise<Result> {
  const feed = new Feed(site.kafka, site.input)
  const open = async (): Promise<number> =>
    (await kafka.anyBroker(listTransactions())).transactions.filter(
      (t) => t.transactionalId.startsWith(engine.prefix) && !/^(Empty|Complete)/.test(t.state),
    ).length
  const visible = async (): Promise<number> => (await readCommitted(site.kafka, site.output)).length
  await engine.start()
  const fed = feed.upTo(BEFORE_MAX)
  for (const deadline = performance.now() + WARM_TIMEOUT_MS; (await visible()) < WARM;) {
    if (performance.now() > deadline)
      throw new Error(`${WARM} outputs were not visible in time: ${await engine.state()}`)
    await systemClock.sleep(500)
  }
  say('warm; waiting for an EndTxn')
  // Whatever version of EndTxn the client speaks.
  const requests = [1, 2, 3, 4, 5].map((version) => request(END_TXN, version, engine.prefix))
  await proxy.holdFrom((bytes) => requests.some((is) => (is as (b: Buffer) => boolean)(bytes)))
  await engine.kill()
  proxy.drop()
  feed.pause()
  say('killed')
  const killedAt = performance.now()
  if ((await open()) === 0) throw new Error('no transaction was open when it was killed')
  await fed
  if (scenario === 'expired-transaction') while ((await open()) > 0) await systemClock.sleep(200)
  say('starting again')
  const awayMs = Math.round(performance.now() - killedAt)
  await engine.start()
  const orders = feed.count + AFTER
  await feed.upTo(orders)
  feed.close()
  const { names, sums } = expectation(orders)
  const expected = [...names].filter((name) => name.startsWith('sums'))
  let last = -1
  for (let quietSince = performance.now(); performance.now() - quietSince < QUIET_MS;) {
    const now = await visible()
    if (now !== last) quietSince = performance.now()
    if (now >= expected.length && now === last) break
    last = now
    await systemClock.sleep(1_000)
  }
  const state = await engine.state()
  await engine.close()
  while ((await open()) > 0) await systemClock.sleep(200) // whoever is killed leaves some to expire
  const [loss, duplicate] = [new NoLoss(new Set(expected)), new NoDuplicate(new Set(expected))]
  for (const [user, value] of await readCommitted(site.kafka, site.output)) {
    const { sum, count } = value as { sum: number; count: number }
    const name = `sums ${user} #${count}${sums.get(user)?.count === count ? ` = ${sum}` : ''}`
    loss.saw(name)
    duplicate.saw(name)
  }
  const readers: StuckReader = await stuckReaders(kafka, [site.output])
  return {
    lost: loss.verdict().violations,
    duplicates: duplicate.verdict().violations,
    stuckReaders: readers.verdict().violations,
    outputs: expected.length,
    awayMs,
    state,
  }
}

/** Orders at a steady rate, as they would come. */
class Feed {
  readonly #producers: ChildProcess[]
  #next = 0
  #paused = false

  constructor(brokers: string, topic: string) {
    this.#producers = Array.from({ length: PARTITIONS }, (_, p) =>
      spawn('kcat', ['-b', brokers, '-P', '-t', topic, '-p', String(p)], { stdio: ['pipe', 'ignore', 'inherit'] }),
    )
  }

  get count(): number {
    return this.#next
  }

  /** Ends the `upTo` under way. */
  pause(): void {
    this.#paused = true
  }

  async upTo(count: number): Promise<void> {
    this.#paused = false
    const [began, from] = [performance.now(), this.#next]
    while (this.#next < count && !this.#paused) {
      const due = Math.min(count, from + Math.ceil(((performance.now() - began) / 1_000) * RATE))
      for (; this.#next < due; this.#next++)
        this.#producers[this.#next % PARTITIONS]!.stdin!.write(`${JSON.stringify(orderAt(this.#next))}\n`)
      await systemClock.sleep(50)
    }
  }

  close(): void {
    for (const producer of this.#producers) producer.stdin!.end()
  }
}

/** @returns what the bench says at its end */
export async function accidents(scenario: string, engine: string | null, count: number): Promise<object> {
  const chosen = engine === null ? Object.keys(ENGINES) : [engine]
  const results: Record<string, Result[]> = {}
  for (const name of chosen) {
    const make = ENGINES[name]
    if (make === undefined) throw new Error(`no engine "${name}"; there are: ${Object.keys(ENGINES).join(', ')}`)
    if (name !== 'weir') await build(name as 'flink' | 'kafka-streams')
    const world = name === 'weir' ? await World.start() : null
    const { kafka: server, proxy } = world ? { kafka: world.kafka, proxy: world.toKafka } : await proxiedKafka()
    const kafka = new KafkaConnections({ brokers: [server.endpoint], clientId: 'peers' }, { clock: systemClock })
    const admin = kafka.admin()
    await admin.connect()
    try {
      for (let i = 1; i <= count; i++) {
        const run = systemRandom.nonce().slice(0, 8)
        const [input, output] = [`orders-${run}`, `sums-${run}`]
        await createTopics(admin, [input, output], PARTITIONS)
        const site = { kafka: server.endpoint, proxied: proxy.address, input, output, run }
        const dir = await mkdtemp(join(tmpdir(), `weir-peer-${name}-`))
        const result = await accident(make(site, dir, world), site, kafka, proxy, scenario)
        ;(results[name] ??= []).push(result)
        say(`${name} ${i}/${count}: ${JSON.stringify(result)}`)
      }
    } finally {
      await admin.disconnect()
      await kafka.close()
      if (world) await world.close(false)
      else {
        await proxy.close()
        await server.close()
      }
    }
  }
  const table = Object.entries(results).map(([engine, runs]) => ({
    engine,
    runs: runs.length,
    lost: runs.map((r) => r.lost),
    duplicates: runs.map((r) => r.duplicates),
    stuckReaders: runs.map((r) => r.stuckReaders),
    outputs: runs.map((r) => r.outputs),
    state: [...new Set(runs.map((r) => r.state))],
  }))
  return { scenario, results: table }
}
