/** One attempt of a job under test: all its slices in this thread, over frames in memory; and how to know that they rest. */
import { PLAIN_CUT, type SubtaskSnapshot } from '@weir/checkpoint'
import { MemoryClaims, claimPlace, schemasIn, type ClaimPlace, type Plan, type SchemaRegistry } from '@weir/dataflow'
import {
  WeirError,
  attempt as attemptOf,
  checkpointName,
  generation,
  jobId,
  keyGroupRange,
  splitRange,
  subtask as subtaskOf,
  type CheckpointId,
  type Epoch,
  type Subtask,
} from '@weir/model'
import { Slice, type SliceReport } from '@weir/runtime'
import { MemoryExchange } from '@weir/runtime/testing'
import { openStateStore } from '@weir/state'
import type { StandingClock } from './clock.ts'
import { FedSource } from './fed-source.ts'
import { topicOf, type FedTopic } from './fed-topic.ts'
import type { MemoryObjects } from './objects.ts'
import type { OpenCalls } from './open-calls.ts'
import { newFolder } from './scratch.ts'
import { WrittenSink } from './written-sink.ts'
import type { WrittenTopics } from './written-topics.ts'

/** What outlives an attempt. */
export interface AttemptDeps {
  readonly clock: StandingClock
  readonly fed: ReadonlyMap<string, FedTopic>
  readonly written: WrittenTopics
  readonly objects: MemoryObjects
  readonly calls: OpenCalls
  /** Of idempotent operators with a store outside, by uid. */
  readonly claims: Map<string, ClaimPlace>
  readonly registry: SchemaRegistry
}

export interface AttemptOptions {
  readonly plan: Plan
  /** From 1. */
  readonly number: number
  /** Longest real time that anything here is waited for, ms. */
  readonly settleMs: number
}

const GENERATION = generation(1)
export const TEST_JOB_ID = jobId('test')
/** As in a task-manager. */
const CHAIN = { chainLengthMax: 8, chainRatioMax: 1 }
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export class Attempt {
  readonly #options: AttemptOptions
  readonly #deps: AttemptDeps
  readonly #slices: readonly Slice[]
  readonly #sources: FedSource[] = []
  readonly #reports: { readonly from: number; readonly report: SliceReport }[] = []
  #failure: WeirError | null = null
  #look = (): void => {}

  constructor(options: AttemptOptions, deps: AttemptDeps) {
    this.#options = options
    this.#deps = deps
    const exchange = new MemoryExchange()
    const { parallelism } = options.plan.job.settings
    this.#slices = Array.from({ length: parallelism }, (_, i) => this.#slice(subtaskOf(i), exchange))
  }

  /** Resolves when everything that was fed before has been read, processed and written. Throws what the job failed with. */
  async start(snapshots: readonly (SubtaskSnapshot | null)[]): Promise<void> {
    await Promise.all(this.#slices.map((slice, i) => slice.recover(snapshots[i] ?? null)))
    const peers = this.#slices.map((_, i) => ({ subtask: subtaskOf(i), taskManagerId: 'test', exchangeAddress: '' }))
    await Promise.all(this.#slices.map((slice) => slice.run(peers)))
    await this.settled()
  }

  /** All that can go on without more input, or a later clock, has gone on. */
  async settled(): Promise<void> {
    for (const source of this.#sources) source.wake()
    const deadline = performance.now() + this.#options.settleMs
    // Between slices nothing but promises is waited for: they are through when the event loop comes round.
    for (let quiet = 0; quiet < 2;) {
      await turn()
      if (this.#failure !== null) throw this.#failure
      quiet = this.#deps.calls.none && this.#sources.every((source) => source.settled) ? quiet + 1 : 0
      if (performance.now() > deadline) throw notSettled(this.#options.settleMs)
    }
  }

  /** A barrier through every slice. What it has prepared is committed by `commit`. */
  async checkpoint(epoch: Epoch, degraded: boolean): Promise<readonly SubtaskSnapshot[]> {
    const id: CheckpointId = { generation: GENERATION, attempt: attemptOf(this.#options.number), epoch }
    for (const slice of this.#slices) slice.trigger(id, false, PLAIN_CUT, degraded)
    for (const source of this.#sources) source.wake()
    const acks = await this.#all('ack', (report) => report.checkpoint.epoch === epoch)
    // As it would stand in a manifest.
    return acks.map(({ snapshot }) => JSON.parse(JSON.stringify(snapshot)) as SubtaskSnapshot)
  }

  async commit(epoch: Epoch, snapshots: readonly SubtaskSnapshot[]): Promise<void> {
    this.#slices.forEach((slice, i) => {
      const upTo = Object.entries(snapshots[i]!.sinks).map(([uid, { sequence }]) => [uid, sequence] as const)
      slice.commit(epoch, Object.fromEntries(upTo))
    })
    await this.#all('committed', (report) => report.epoch === epoch)
  }

  /** Resolves when every slice has come to the end of its input. */
  async ended(): Promise<void> {
    for (const source of this.#sources) source.wake()
    await this.#all('input-ended', () => true)
  }

  /** As `kill -9`: nothing is said to anybody. */
  async kill(): Promise<void> {
    await Promise.all(this.#slices.map((slice) => slice.stop('leave')))
  }

  #slice(subtask: Subtask, exchange: MemoryExchange): Slice {
    const { plan, number } = this.#options
    const { clock, fed, written, claims, registry } = this.#deps
    return new Slice(
      {
        ...{ jobId: TEST_JOB_ID, subtask, plan },
        freeze: true,
        attempt: { generation: GENERATION, attempt: attemptOf(number) },
      },
      {
        clock,
        exchange,
        createSource: (node, context) => {
          const topic = fed.get(topicOf(node))!
          const { decode, outOfOrderMs } = node
          const source = new FedSource({ topic, decodes: decode !== null, outOfOrderMs }, context)
          this.#sources.push(source)
          return source
        },
        createSink: (node, context, asides) => new WrittenSink(node, { topics: written, context, asides }),
        createContinuousSink: () => {
          throw new Error('internal: a job under test commits with its epochs')
        },
        createClaims: ({ uid, windowMs }) => new MemoryClaims(windowMs, claims.get(uid) ?? added(claims, uid)),
        openState: (stage) => this.#openState(subtask, stage),
        schemaRegistry: () => registry,
        report: (report) => this.#reported(subtask, report),
        turn,
      },
    )
  }

  #openState(subtask: Subtask, stage: number): ReturnType<typeof openStateStore> {
    const { plan, number } = this.#options
    const { objects } = this.#deps
    const { parallelism, maxParallelism } = plan.job.settings
    const isSource = plan.stages[stage]!.inputs.length === 0
    return openStateStore(
      {
        ...{ dir: newFolder(), writer: `${subtask}/${parallelism}`, freeze: true, ...CHAIN },
        keyGroups: isSource ? splitRange(subtask, parallelism) : keyGroupRange(subtask, parallelism, maxParallelism),
        maxParallelism,
        schemas: schemasIn(plan),
      },
      {
        objects,
        upload: (key) => objects.upload(key),
        segmentKey: (checkpoint, kind) => `${number}/${subtask}/${stage}/${checkpointName(checkpoint)}-${kind}`,
      },
    )
  }

  #reported(from: number, report: SliceReport): void {
    if (report.type === 'progress') return
    if (report.type === 'failed' || report.type === 'declined') this.#failure ??= report.error
    this.#reports.push({ from, report })
    this.#look()
  }

  /** One such report of every slice, in their order. */
  #all<T extends SliceReport['type']>(
    type: T,
    is: (report: Extract<SliceReport, { type: T }>) => boolean,
  ): Promise<Extract<SliceReport, { type: T }>[]> {
    type Wanted = Extract<SliceReport, { type: T }>
    const { settleMs } = this.#options
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => reject(notSettled(settleMs)), settleMs)
      this.#look = () => {
        const found = this.#slices.map(
          (_, i) => this.#reports.find((r) => r.from === i && r.report.type === type && is(r.report as Wanted))?.report,
        )
        if (this.#failure === null && found.some((report) => report === undefined)) return
        clearTimeout(timeout)
        this.#look = () => {}
        if (this.#failure !== null) reject(this.#failure)
        else resolve(found as Wanted[])
      }
      this.#look()
    })
  }
}

/** Jobs under test share no claims: each has a place per operator. */
function added(claims: Map<string, ClaimPlace>, uid: string): ClaimPlace {
  const place = claimPlace()
  claims.set(uid, place)
  return place
}

const notSettled = (settleMs: number): WeirError =>
  new WeirError(
    { code: 'TEST_NOT_SETTLED', kind: 'invalid', settleMs },
    `the job under test was not done after ${settleMs} ms. A function it waits for has not answered: have it answer in the test. To ` +
      'see a time-out, expect this error, with a short testJob(job, { settleMs }), and advance the clock then. A job with more ' +
      'to do than that takes a longer one.',
  )
