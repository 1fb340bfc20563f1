/**
 * A job in a test, without a cluster: its real plan, operators, state store and checkpoints, in this thread.
 *
 *     const t = testJob(settlement)
 *     await t.feed('orders', [order({ user: 'ada', amountMinor: 500 }), order({ user: 'ada', amountMinor: 250 })])
 *     expect(t.output('balances').at(-1)).toEqual({ key: 'ada', value: { sum: 750, count: 2 } })
 *
 * Only the ends are in memory: topics that `feed` appends to, through the source's codec, and topics that sinks write,
 * with theirs. A name is that of a topic, or the uid of a source or sink. Every call resolves when the job has come to rest, so
 * there is nothing to wait for; calls that overlap follow each other.
 *
 * Time stands still: event time goes on by what is fed and by `advanceWatermark`, the clock by `clock.advance`. What a job
 * says about servers (commit scope, receipts, rates, intervals of checkpoints) has no meaning here and is left out.
 */
import { redistribute, type Manifest, type RedistributionTarget } from '@weir/checkpoint'
import {
  POLL_STEP_MS_MAX,
  defaultSettings,
  planJob,
  type ClaimPlace,
  type JobDefinition,
  type Plan,
  type SchemaRegistry,
} from '@weir/dataflow'
import { WeirError, attempt as attemptOf, digest, epoch, generation, type TopicRecord } from '@weir/model'
import { Attempt, TEST_JOB_ID } from './attempt.ts'
import { StandingClock, type TestClock } from './clock.ts'
import { lettersOf, type DeadLetter } from './dead-letters.ts'
import { FedTopic, entryOf, topicOf, type FeedOptions } from './fed-topic.ts'
import { sinkNamed, sourceNamed } from './names.ts'
import { MemoryObjects } from './objects.ts'
import { MemoryRegistry } from './memory-registry.ts'
import { OpenCalls } from './open-calls.ts'
import { OpenedCodecs } from './opened-codecs.ts'
import { outputsOf, type Output } from './outputs.ts'
import { withTimePassed } from './time-passed.ts'
import { WrittenTopics } from './written-topics.ts'

export interface TestJobOptions {
  /** Slices; default 1, whatever the job's own is. */
  readonly parallelism?: number
  /** Of every topic that is fed, or by topic; default 1. One without records holds event time back, as in a real topic. */
  readonly partitions?: number | Readonly<Record<string, number>>
  /** Where the clock stands at the beginning, ms since 1970; default 1 January 2026. */
  readonly startMs?: number
  /** What codecs of a schema registry find; default: one that takes every schema. */
  readonly registry?: SchemaRegistry
  /** Longest real time a call waits for the job to come to rest, ms; default 10,000. */
  readonly settleMs?: number
}

/** Throws what the planner refuses in a submitted job. */
export const testJob = (job: JobDefinition, options: TestJobOptions = {}): TestJob => new TestJob(job, options)

export class TestJob {
  readonly #job: JobDefinition
  readonly #settleMs: number
  readonly #clock: StandingClock
  readonly #fed = new Map<string, FedTopic>()
  readonly #written = new WrittenTopics()
  readonly #objects = new MemoryObjects()
  readonly #calls = new OpenCalls()
  readonly #claims = new Map<string, ClaimPlace>()
  readonly #registry: SchemaRegistry
  readonly #codecs: OpenedCodecs
  #parallelism: number
  #highestParallelism: number
  #attempts = 0
  #attempt: Attempt | null = null
  #epochs = 0
  #degraded = false
  #manifest: Manifest | null = null
  #phase: 'open' | 'ended' | 'closed' = 'open'
  #turn: Promise<unknown> = Promise.resolve()
  /** So much of a jump of the clock is walked, for sources that look at the clock between two polls. */
  readonly #walkMs: number
  readonly clock: TestClock

  constructor(job: JobDefinition, options: TestJobOptions) {
    planJob(job)
    this.#job = this.#calls.counted(withTimePassed(job))
    const { parallelism = 1, partitions = 1, startMs = Date.UTC(2026, 0, 1), settleMs = 10_000 } = options
    this.#registry = options.registry ?? new MemoryRegistry()
    this.#parallelism = this.#highestParallelism = parallelism
    this.#plan() // refuses a parallelism the job cannot have
    this.#settleMs = settleMs
    this.#clock = new StandingClock(startMs)
    this.#codecs = new OpenedCodecs(job, () => this.#registry, this.#clock)
    const sources = job.graph.nodes.filter((node) => node.kind === 'source')
    this.#walkMs = Math.max(0, ...sources.map(({ idleAfterMs }) => idleAfterMs ?? 0))
    for (const node of sources) {
      const topic = topicOf(node)
      this.#fed.set(topic, new FedTopic(typeof partitions === 'number' ? partitions : (partitions[topic] ?? 1)))
    }
    this.clock = {
      now: () => this.#clock.now(),
      advance: (ms) =>
        this.#inTurn(async () => {
          const attempt = await this.#running()
          for (const step of steps(ms, this.#walkMs)) {
            this.#clock.jump(step)
            await attempt.settled()
          }
        }),
    }
  }

  /**
   * Appends to a topic and lets the job run; event time goes on behind the last of the values, then and in every restart. Values
   * are written by the source's codec and read by it again; bytes (`Uint8Array`) and `null` are put there as they are. Throws
   * what the job failed with; `restart` goes on from there.
   */
  feed<T>(name: string, values: Iterable<T>, options: FeedOptions<NoInfer<T>> = {}): Promise<void> {
    return this.#inTurn(async () => {
      const attempt = await this.#running()
      const source = await this.#codecs.writing(sourceNamed(this.#job, name))
      const topic = this.#fed.get(topicOf(source))!
      let index = 0
      for (const value of values)
        topic.append(entryOf(source, value, { options, index: index++, nowMs: this.#clock.now() }), options.partition)
      topic.portion()
      await attempt.settled()
    })
  }

  /** Event time comes to `ms` (since 1970) in every partition of the named source, or of all; nothing goes back. */
  advanceWatermark(ms: number, name?: string): Promise<void> {
    return this.#inTurn(async () => {
      const attempt = await this.#running()
      const only = name === undefined ? null : topicOf(sourceNamed(this.#job, name))
      for (const [topic, fed] of this.#fed) {
        if (only !== null && topic !== only) continue
        fed.timePassed(ms)
        fed.portion()
      }
      await attempt.settled()
    })
  }

  /**
   * What the job has written so far, in the order of writing, with what no checkpoint has committed yet: its value as the
   * sink's codec reads it, JSON where it has none. A restart takes back what was not committed, and the job writes it again.
   */
  output<V = unknown>(name: string): readonly Output<V>[] {
    const { topic, decode } = sinkNamed(this.#job, name)
    return outputsOf<V>(this.#written.read(topic, 'read_uncommitted'), this.#codecs.reading(topic) ?? decode)
  }

  /** The part of `output` that a reader with `read_committed` sees. */
  committed<V = unknown>(name: string): readonly Output<V>[] {
    const { topic, decode } = sinkNamed(this.#job, name)
    return outputsOf<V>(this.#written.read(topic, 'read_committed'), this.#codecs.reading(topic) ?? decode)
  }

  /** As `output`: bytes, event times and headers. */
  records(name: string): readonly TopicRecord[] {
    return this.#written.read(sinkNamed(this.#job, name).topic, 'read_uncommitted')
  }

  /** Records that could not be decoded, processed or written, in a job with `deadLetters`. */
  deadLetters(): readonly DeadLetter[] {
    const { deadLetters } = this.#job.settings
    if (deadLetters !== null) return lettersOf(this.#written.read(String(deadLetters['topic']), 'read_uncommitted'))
    throw new WeirError(
      { code: 'TEST_NO_DEAD_LETTERS', kind: 'invalid', job: this.#job.name },
      `job "${this.#job.name}" has no dead letters: a record that fails stops it. Give it the setting deadLetters: kafka.sink(…).`,
    )
  }

  /** A checkpoint: what was written is committed, and a restart goes on here. */
  checkpoint(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#checkpoint(await this.#running())
    })
  }

  /** Turns the degrade switch of a job with `degradable: true`, at a checkpoint: what is fed from now on sees it. */
  degrade(degraded: boolean): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#job.settings.degradable !== true)
        throw new WeirError(
          { code: 'JOB_NOT_DEGRADABLE', kind: 'invalid', job: this.#job.name },
          `job "${this.#job.name}" has no degrade switch: give it the setting degradable: true.`,
        )
      this.#degraded = degraded
      await this.#checkpoint(await this.#running())
    })
  }

  /**
   * As if every process had been killed: the job goes on from its last checkpoint, or from the beginning, and reads again what
   * came after it. `parallelism`: with another number of slices from now on.
   */
  restart({ parallelism = this.#parallelism }: { readonly parallelism?: number } = {}): Promise<void> {
    return this.#inTurn(async () => {
      this.#mustBeOpen()
      await this.#kill()
      this.#parallelism = parallelism
      this.#plan()
      this.#highestParallelism = Math.max(this.#highestParallelism, parallelism)
      await this.#running()
    })
  }

  /** The input ends: event time runs out, what is open is put out, everything is committed. */
  end(): Promise<void> {
    return this.#inTurn(async () => {
      const attempt = await this.#running()
      for (const topic of this.#fed.values()) topic.ended = true
      await attempt.ended()
      await this.#checkpoint(attempt)
      await this.#kill()
      this.#phase = 'ended'
    })
  }

  /** Frees what it holds; outputs stay readable. Without it that happens with the end of the process. */
  close(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#kill()
      this.#phase = 'closed'
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #running(): Promise<Attempt> {
    this.#mustBeOpen()
    if (this.#attempt !== null) return this.#attempt
    const plan = this.#plan()
    const attempt = new Attempt(
      { plan, number: ++this.#attempts, settleMs: this.#settleMs },
      {
        ...{ clock: this.#clock, fed: this.#fed, written: this.#written },
        ...{ objects: this.#objects, calls: this.#calls, claims: this.#claims },
        registry: this.#registry,
      },
    )
    this.#attempt = attempt
    await attempt.start(redistribute(this.#manifest, this.#target(plan)))
    return attempt
  }

  async #kill(): Promise<void> {
    const attempt = this.#attempt
    this.#attempt = null
    await attempt?.kill()
  }

  async #checkpoint(attempt: Attempt): Promise<void> {
    const n = epoch(++this.#epochs)
    const subtasks = await attempt.checkpoint(n, this.#degraded)
    const { maxParallelism } = this.#job.settings
    this.#manifest = {
      ...{
        formatVersion: 1,
        jobId: TEST_JOB_ID,
        epoch: n,
        generation: generation(1),
        attempt: attemptOf(this.#attempts),
      },
      ...{ parentEpoch: epoch(0), parentDigest: null, graphHash: digest(''), lastCommittedAt: null },
      ...{ parallelism: this.#parallelism, maxParallelism, triggeredAt: this.#clock.now(), subtasks },
    }
    await attempt.commit(n, subtasks)
  }
  /** Of what a job says, that which its operators see. */
  #plan(): Plan {
    const { maxParallelism, deadLetters, traceContext, degradable } = this.#job.settings
    const seen = { maxParallelism, deadLetters, traceContext, ...(degradable && { degradable }) }
    return planJob({ ...this.#job, settings: { ...defaultSettings, ...seen, parallelism: this.#parallelism } })
  }

  #target({ stages, summary, job }: Plan): RedistributionTarget {
    return {
      parallelism: this.#parallelism,
      highestParallelism: this.#highestParallelism,
      maxParallelism: job.settings.maxParallelism,
      sinks: summary.sinks,
      sourceStages: stages.filter(({ inputs }) => inputs.length === 0).map(({ index }) => index),
    }
  }

  #mustBeOpen(): void {
    if (this.#phase === 'open') return
    throw new WeirError(
      { code: 'TEST_JOB_OVER', kind: 'invalid', phase: this.#phase },
      `the job under test has ${this.#phase === 'ended' ? 'come to its end' : 'been closed'}: begin another one with testJob.`,
    )
  }

  #inTurn<R>(call: () => Promise<R>): Promise<R> {
    const answer = this.#turn.then(async () => {
      try {
        return await call()
      } finally {
        await this.#codecs.prepare(this.#written)
      }
    })
    this.#turn = answer.catch(() => {}) // its caller is told
    return answer
  }
}

/** A poll that took longer than `POLL_STEP_MS_MAX` does not count as longer. */
function* steps(ms: number, walkMs: number): Iterable<number> {
  let left = ms
  for (; left > 0 && ms - left < walkMs; left -= POLL_STEP_MS_MAX) yield Math.min(left, POLL_STEP_MS_MAX)
  if (left > 0 || ms === 0) yield left
}
