/** One bench of all contenders: topics, rounds with a bound for every run and for all, what came out. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KafkaConnections } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { createTopics } from '../../e2e/fleet.ts'
import { say } from '../lib/figures.ts'
import { buildOneProcess, type Contender, type Running, type Shape, type Site } from './contenders.ts'
import { JVM_PEERS, build } from './jvm.ts'
import { USUAL, type Work } from './works.ts'

const connect = (brokers: string): KafkaConnections =>
  new KafkaConnections({ brokers: [brokers], clientId: 'bench' }, { clock: systemClock })

export interface BenchOptions {
  readonly brokers: string
  readonly records: number
  readonly runs: number
  /** Of one run, its start and verification included. */
  readonly timeoutMs: number
  /** No run is begun behind it, performance.now(); what there is until then is reported. */
  readonly deadline: number
  /** Only whose name has one of them in it; empty: all. */
  readonly only: readonly string[]
}

/** By contender: what its runs measured, or why one failed. */
export type Outcome<T> = { readonly ok: T } | { readonly failed: string }

export interface Run extends Omit<Site, 'input' | 'intervalMs'> {
  /** Its own: a client refuses everything once a topic it has heard of is gone. */
  readonly kafka: KafkaConnections
  readonly shape: Shape
  readonly signal: AbortSignal
}

export class Bench {
  readonly brokers: string
  readonly records: number
  readonly runs: number
  /** In the order in which contenders take their turns. */
  readonly outcomes = new Map<string, Outcome<object>[]>()
  readonly #options: BenchOptions
  readonly #admin: ReturnType<KafkaConnections['admin']>
  readonly #topics: string[] = []
  #running: Running | null = null

  constructor(options: BenchOptions) {
    const { brokers, records, runs } = options
    this.#options = options
    this.brokers = brokers
    this.records = records
    this.runs = runs
    this.#admin = connect(brokers).admin()
  }

  async open(): Promise<void> {
    await this.#admin.connect()
  }

  async close(): Promise<void> {
    await this.#delete(this.#topics.splice(0))
    await this.#admin.disconnect()
  }

  /** Deleted at the end. */
  async topics(names: readonly string[], partitions = USUAL.partitions): Promise<readonly string[]> {
    const made = names.map((name) => `${name}-${systemRandom.nonce().slice(0, 8)}`)
    await createTopics(this.#admin, made, partitions)
    this.#topics.push(...made)
    return made
  }

  async started(contender: Contender, site: Site): Promise<Running> {
    return (this.#running = await contender.start(site))
  }

  /** Each contender once per round. What a run throws is what is reported of it, and the next one goes on. */
  async rounds(
    contenders: readonly Contender[],
    work: Work,
    once: (contender: Contender, run: Run) => Promise<object>,
  ): Promise<void> {
    const chosen = this.chosen(contenders, work)
    for (const { name } of contenders) this.outcomes.set(name, [])
    for (const peer of JVM_PEERS) if (chosen.some(({ engine }) => engine === peer)) await build(peer)
    if (chosen.some(({ engine }) => engine === 'weir')) await buildOneProcess()
    for (let round = 1; round <= this.runs; round++) {
      for (const contender of chosen) {
        if (performance.now() > this.#options.deadline) return say('the time is over: no further run is begun')
        const outcome = await this.#run(contender, work, once)
        this.outcomes.get(contender.name)!.push(outcome)
        say(
          `${round}/${this.runs} ${contender.name}: ${JSON.stringify('ok' in outcome ? outcome.ok : outcome, rounded)}`,
        )
      }
    }
  }

  chosen(contenders: readonly Contender[], work: Work): readonly Contender[] {
    const { only } = this.#options
    const has = (name: string, part: string): boolean => name.toLowerCase().includes(part.toLowerCase())
    const isNamed = (name: string): boolean => only.length === 0 || only.some((part) => has(name, part))
    return contenders.filter(({ name, works }) => isNamed(name) && works.includes(work))
  }

  async #run(
    contender: Contender,
    work: Work,
    once: (contender: Contender, run: Run) => Promise<object>,
  ): Promise<Outcome<object>> {
    const dir = await mkdtemp(join(tmpdir(), 'weir-peers-'))
    const signal = AbortSignal.timeout(this.#options.timeoutMs)
    const topics: string[] = []
    const kafka = connect(this.brokers)
    try {
      topics.push(...(await this.topics(['outputs'], contender.shape.partitions)))
      await kafka.connect()
      const names = { brokers: this.brokers, output: topics[0]!, dir, run: systemRandom.nonce().slice(0, 8) }
      const late = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error(`not done after ${this.#options.timeoutMs} ms`)))
      })
      return {
        ok: await Promise.race([once(contender, { ...names, work, kafka, shape: contender.shape, signal }), late]),
      }
    } catch (error) {
      const log = (await this.#running?.log().catch(() => '')) ?? ''
      return { failed: `${error instanceof Error ? error.message : String(error)} ${log}`.trim() }
    } finally {
      await this.#running?.stop().catch(() => {})
      this.#running = null
      await kafka.close()
      await this.#delete(topics)
      await rm(dir, { recursive: true, force: true })
    }
  }

  /** What is left behind of a topic costs disk, and is none of the results. */
  async #delete(topics: readonly string[]): Promise<void> {
    if (topics.length > 0) await this.#admin.deleteTopics({ topics: [...topics] }).catch(() => {})
  }
}

const rounded = (_: string, value: unknown): unknown =>
  typeof value === 'number' ? Number(value.toPrecision(4)) : value
