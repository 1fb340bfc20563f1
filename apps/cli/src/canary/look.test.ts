/**
 * Cut and comparison on two jobs that are never equally far: transactions of several subtasks lie mixed in the topics, epochs are
 * published and committed bit by bit, attempts die. A canary that does the same must never have an error, whatever the interleaving.
 */
import { judgeCanary, type CanarySettings, type CanaryTopic } from '@weir/dataflow'
import type { CanaryView } from '@weir/job'
import { jobId, type Clock } from '@weir/model'
import { SeededRandom } from '@weir/model/testing'
import type { JobsClient } from '@weir/wire'
import { describe, expect, test } from 'vitest'
import { shareIn } from './canary.ts'
import { cutOf } from './cut.ts'
import { look, type LookDeps, type RunningCanary } from './look.ts'
import { normalOf, textOf } from './texts.ts'

type Offsets = readonly [number, number]
type Outcome = 'open' | 'commit' | 'abort'
interface Written {
  readonly key: string
  readonly value: string
  readonly transaction: string
}
interface Epoch {
  readonly epoch: number
  readonly read: Offsets
  readonly transactions: readonly string[]
}

/** The i-th record of an input partition: its key has all its records there. */
const outputOf = (partition: number, i: number): Omit<Written, 'transaction'> => ({
  key: `k${partition}-${i % 3}`,
  value: `v${i}`,
})

/** What is written for an input record; null: nothing. */
type Writes = (partition: number, i: number) => Omit<Written, 'transaction'> | null

/** A job of two subtasks, each with an input partition of its own and a transaction over both partitions of the topic. */
class Job {
  readonly log: [Written[], Written[]] = [[], []]
  readonly outcomes = new Map<string, Outcome>()
  #wishes: string[] = []
  readonly savepoints = new Map<string, Epoch & { readonly after: number }>()
  /** By what is asked for: output since then. */
  readonly #since = new Map<string, { readonly after: number; readonly transactions: string[] }>()
  published: Epoch
  final = 0
  /** Triggered, not published. */
  #pending: Epoch | null = null
  #wished: string[] = []
  #read: [number, number]
  #open: (string | null)[] = [null, null]
  #serial = 0

  readonly #name: string
  readonly #random: SeededRandom
  readonly #change: Writes

  constructor(name: string, from: Offsets, random: SeededRandom, change: Writes = outputOf) {
    this.#name = name
    this.#random = random
    this.#change = change
    this.#read = [...from]
    this.published = { epoch: 0, read: from, transactions: [] }
  }

  step(): void {
    const dice = this.#random.next()
    if (dice < 0.9) this.#process(dice < 0.45 ? 0 : 1)
    else if (dice < 0.995) this.#checkpoint()
    else this.#crash()
  }

  #process(subtask: 0 | 1): void {
    const i = this.#read[subtask]++
    const output = this.#change(subtask, i)
    if (output === null) return
    let transaction = this.#open[subtask]!
    if (this.#open[subtask] === null) {
      transaction = this.#open[subtask] = `${this.#name}${subtask}:${this.#serial++}`
      this.outcomes.set(transaction, 'open')
    }
    this.log[Number(output.key.at(-1)) % 2]!.push({ ...output, transaction })
  }

  #checkpoint(): void {
    const undecided = this.published.transactions.find((one) => this.outcomes.get(one) === 'open')
    if (undecided !== undefined) this.outcomes.set(undecided, 'commit')
    else if (this.final < this.published.epoch) this.#finish()
    else if (this.#pending !== null) {
      this.published = this.#pending
      this.#pending = null
    } else {
      const transactions = this.#open.filter((one) => one !== null)
      this.#pending = { epoch: this.published.epoch + 1, read: [...this.#read], transactions }
      this.#open = [null, null]
      this.#wished = this.#wishes.splice(0)
    }
  }

  #finish(): void {
    this.final = this.published.epoch
    for (const output of this.#since.values()) output.transactions.push(...this.published.transactions)
    for (const name of this.#wished.splice(0)) {
      this.savepoints.set(name, { ...this.published, ...this.#since.get(name)! })
      this.#since.delete(name)
    }
  }

  /** The next attempt begins at what is published; that is committed, the rest is not. */
  #crash(): void {
    for (const one of [...this.#open, ...(this.#pending?.transactions ?? [])])
      if (one !== null) this.outcomes.set(one, 'abort')
    for (const one of this.published.transactions) this.outcomes.set(one, 'commit')
    if (this.final < this.published.epoch) this.#finish()
    this.#wishes.push(...this.#wished.splice(0))
    this.#pending = null
    this.#open = [null, null]
    this.#read = [...this.published.read]
  }

  takeSavepoint(name: string): void {
    this.#wishes.push(name)
    this.#since.set(name, { after: this.final, transactions: [] })
  }

  ends(stable: boolean): number[] {
    return this.log.map((records) => {
      const first = records.findIndex(({ transaction }) => this.outcomes.get(transaction) === 'open')
      return stable && first >= 0 ? first : records.length
    })
  }

  view() {
    const { epoch, read } = this.published
    const partitions = Object.fromEntries(read.map((offset, partition) => [String(partition), String(offset)]))
    const at = { epoch, positions: { in: partitions }, inFlight: false }
    return { jobId: jobId(this.#name), state: 'RUNNING', finalEpoch: this.final, read: at, error: null }
  }
}

class World {
  readonly jobs: { live: Job; shadow: Job | null }
  settings: CanarySettings | null = null
  readonly #random: SeededRandom

  constructor(random: SeededRandom) {
    this.#random = random
    this.jobs = { live: new Job('live', [0, 0], random), shadow: null }
  }

  /** Whoever asks, time passes. */
  pass(most = 12): void {
    for (let n = Math.floor(this.#random.next() * most); n > 0; n--) {
      const { live, shadow } = this.jobs
      if (shadow !== null && this.#random.next() < 0.5) shadow.step()
      else live.step()
    }
  }

  view(savepoint: string): CanaryView {
    const { live, shadow } = this.jobs
    const found = live.savepoints.get(savepoint)
    return {
      live: live.view(),
      canary: shadow && { ...shadow.view(), settings: this.settings! },
      savepoint: found === undefined ? null : { name: savepoint, epoch: found.epoch, output: found as never },
    }
  }

  get deps(): LookDeps {
    const of = (topic: string): Job => (topic === 'sums' ? this.jobs.live : this.jobs.shadow!)
    const passing =
      <A extends unknown[], T>(answer: (...args: A) => T) =>
      (...args: A): Promise<T> => {
        this.pass()
        const value = answer(...args)
        this.pass()
        return Promise.resolve(value)
      }
    let now = 0
    const clock = { now: () => ++now, monotonic: () => ++now, sleep: passing(() => {}) } as unknown as Clock
    const client = {
      canary: passing((_: string, savepoint?: string) => this.view(savepoint ?? '')),
      takeSavepoint: passing((_: string, name: string) => this.jobs.live.takeSavepoint(name)),
      listSavepoints: () => Promise.resolve([]),
      deleteSavepoint: () => Promise.resolve(),
    } as unknown as JobsClient
    const ends = passing((topic: string, stable: boolean) => of(topic).ends(stable))
    async function* range(topic: string, partition: number, from: number, until: number) {
      const { log, outcomes } = of(topic)
      for (let offset = from; offset < until; offset++) {
        const { key, value, transaction } = log[partition as 0 | 1][offset]!
        // As `KafkaTopics.range` demands it.
        expect(outcomes.get(transaction)).not.toBe('open')
        if (outcomes.get(transaction) !== 'commit') continue
        const bytes = { key: Buffer.from(key), value: Buffer.from(value) }
        yield await Promise.resolve({ ...bytes, partition, offset, transaction, timestamp: 0, headers: [] })
      }
    }
    return { client, clock, topics: { ends, range: range as LookDeps['topics']['range'] } }
  }
}

/** A canary of the same job, or of one that writes something else; compared behind about `steps` steps of both. */
async function comparedAfter(
  seed: number,
  steps: number,
  change?: (partition: number, i: number, from: Offsets) => ReturnType<Writes>,
) {
  const random = new SeededRandom(seed)
  for (let i = 0; i < 8; i++) random.next()
  const world = new World(random)
  for (let n = 0; n < 10; n++) world.pass()
  const { savepoint, from, before, epoch } = await cutOf('live', ['sums'], world.deps)
  const { read } = world.jobs.live.savepoints.get(savepoint)!
  const own = change && ((partition: number, i: number) => change(partition, i, read))
  world.jobs.shadow = new Job('shadow', read, random, own)
  const topic: CanaryTopic = { shadow: 'sums.canary', liveFrom: from['sums']!, shadowFrom: [0, 0] }
  world.settings = {
    ...{ of: 'live', build: '', savepoint, topics: { sums: topic }, made: [], before, suffix: '.canary', calls: [] },
    ...{ share: 1, compares: 'by-value', ignored: [], outputsMin: 1 },
  }
  for (let n = 0; n < steps; n++) world.pass()
  const canary: RunningCanary = { ...world.jobs.shadow.view(), settings: world.settings }
  return { ...(await look(canary, world.deps)), epoch }
}

describe('two jobs that are never equally far', () => {
  test('one that does the same has no error, however both go on; what is judged grows', async () => {
    let equal = 0
    for (let seed = 1; seed <= 60; seed++) {
      const result = await comparedAfter(seed, 60)
      expect({ seed, errors: judgeCanary(result).errors, samples: result.samples }).toEqual({
        seed,
        errors: 0,
        samples: [],
      })
      equal += result.equal
    }
    expect(equal).toBeGreaterThan(60 * 30)
  })

  test.each<[string, 'missing' | 'extra' | 'different']>([
    ['leaves out its first output', 'missing'],
    ['writes its first output under another key', 'extra'],
    ['writes another value first', 'different'],
  ])('one that %s is found out', async (_, kind) => {
    for (let seed = 1; seed <= 15; seed++) {
      const result = await comparedAfter(seed, 60, (partition, i, from) => {
        if (partition !== 0 || i !== from[0]) return outputOf(partition, i)
        if (kind === 'missing') return null
        const changed = kind === 'extra' ? { key: 'k9-0' } : { value: 'another' }
        return { ...outputOf(partition, i), ...changed }
      })
      expect({ seed, found: result[kind] }).toEqual({ seed, found: 1 })
      expect(judgeCanary(result).errors).toBe(kind === 'extra' ? 2 : 1)
    }
  })
})

describe('texts of records', () => {
  test('each sequence of bytes has its own', () => {
    const texts = [Buffer.from('é'), Buffer.from([0xe9]), Buffer.from(''), Buffer.from([0xff])].map(textOf)
    expect(new Set(texts).size).toBe(4)
  })
  test('ignored fields and the order of fields do not count, where the value is an object', () => {
    const normal = normalOf({ compares: 'by-value', ignored: ['at'] })
    expect(normal(Buffer.from('{"b":1,"at":7,"a":"é"}'))).toBe(normal(Buffer.from('{"a":"é","b":1,"at":8}')))
    expect([normal(Buffer.from('[1]')), normal(Buffer.from('at')), normal(null)]).toEqual(['[1]', 'at', null])
  })
  test('by key, what is in them does not', () => {
    const normal = normalOf({ compares: 'by-key', ignored: [] })
    expect(normal(Buffer.from('1'))).toBe(normal(Buffer.from('2')))
  })
  test('a share is written with or without a percent sign', () => {
    expect(['5%', '0.05', '100%', '1', '12.5%'].map(shareIn)).toEqual([0.05, 0.05, 1, 1, 0.125])
    for (const wrong of ['0', '101%', '5', 'half', '-1%', ''])
      expect(() => shareIn(wrong)).toThrow(expect.objectContaining({ code: 'USAGE' }) as Error)
  })
})
