/**
 * The sinks of a chain in the `continuous` scope, on two transactional ids in turn: while the transaction of one is being
 * ended, the next is written under the other, since the broker holds writes of an id for about 20 ms behind its EndTxn.
 * When to seal and what that covers is decided by the machine in `ContinuousCommitter`; here is how.
 *
 * ```
 *  id 1   ── write 1 ──┤seal: flush · offsets · EndTxn│           ── write 3 ──┤…
 *  id 0                ── held ─┴─ write 2 ────────────────────────┤seal …
 *         what is held is sent when 1 is in the log: a partition has its records in the order of the transactions
 * ```
 */
import {
  ContinuousCommitter,
  laneOf,
  type CommittedOffset,
  type ContinuousSink,
  type SplitBegin,
  type SplitCommit,
  type SplitProgress,
  type SubtaskContext,
  type TransactionListener,
} from '@weir/dataflow'
import {
  type AsideRecord,
  type CheckpointId,
  type Clock,
  type OperatorUid,
  type RecordBatch,
  type WeirError,
  whileAwake,
} from '@weir/model'
import { Batches } from './batches.ts'
import type { KafkaConnections } from './connections.ts'
import { InFlight } from './in-flight.ts'
import { TransactionLane } from './lane.ts'
import { RecordEncoder, type RecordEncoderOptions } from './record-encoder.ts'
import { ownedBy } from './source.ts'
import { topicLimits, type TopicLimits } from './topic-limits.ts'
import { offsetFetch } from './wire/apis.ts'
import { refused } from './wire/errors.ts'

export interface KafkaContinuousSinkOptions {
  /** Topic of the source: its offsets are committed. */
  readonly sourceTopic: string
  readonly sinks: readonly RecordEncoderOptions[]
  readonly intervalMs: number
  /** How long the broker waits for a process that has died before readers may go on. */
  readonly transactionTimeoutMs: number
}

const BATCH_BYTES_MAX = 512 << 10
const LINGER_MS = 10
/** How long `close('abort')` may take, ms. */
const ABORT_BUDGET_MS = 10_000

export class KafkaContinuousSink implements ContinuousSink {
  readonly group: string
  readonly #options: KafkaContinuousSinkOptions
  readonly #context: SubtaskContext
  readonly #kafka: KafkaConnections
  readonly #clock: Clock
  readonly #committer: ContinuousCommitter
  /** Ends the requests, later than the context's signal: a job that ends commits what it has processed. */
  readonly #over = new AbortController()
  readonly #sinks = new Map<OperatorUid, { readonly topic: string; readonly encoder: RecordEncoder }>()
  #batchBytesMax = BATCH_BYTES_MAX
  readonly #asidePartitions = new Map<string, number>()
  #lanes: readonly TransactionLane[] = []
  /** Of the transaction that is written to; null before the first. */
  #batches: Batches | null = null
  /** The transaction before is in the log. */
  #before: Promise<unknown> = Promise.resolve()
  #cancelLinger: (() => void) | null = null
  readonly #inFlight: InFlight

  constructor(
    options: KafkaContinuousSinkOptions,
    deps: { readonly context: SubtaskContext; readonly kafka: KafkaConnections; readonly clock: Clock },
  ) {
    this.#options = options
    this.#context = deps.context
    this.#kafka = deps.kafka
    this.#clock = deps.clock
    this.#inFlight = new InFlight(deps.context.signal)
    const { jobId, attempt, operatorUid } = deps.context
    this.group = `weir.${jobId}.${operatorUid}`
    this.#committer = new ContinuousCommitter(
      { jobId, attempt, intervalMs: options.intervalMs },
      { clock: deps.clock, commit: (sequence, offsets) => this.#commit(sequence, offsets) },
    )
  }

  // ---- recovery -----------------------------------------------------------------------------------------------------

  recover(): Promise<ReadonlyMap<number, CommittedOffset>> {
    return whileAwake(this.#clock, (awake) => this.#recover(awake))
  }

  async #recover(awake: () => void): Promise<ReadonlyMap<number, CommittedOffset>> {
    const { sourceTopic, sinks, transactionTimeoutMs } = this.#options
    const mine = (await this.#kafka.partitions(sourceTopic)).filter((p) => ownedBy(this.#context, p))
    for (const sink of sinks) await this.#prepareSink(sink)
    const protocol = await this.#kafka.transactionProtocol()
    this.#lanes = [0, 1].map((lane) => {
      const transactionalId = `${this.group}.${this.#context.subtask}.${lane}`
      return new TransactionLane(
        { transactionalId, protocol, transactionTimeoutMs },
        {
          kafka: this.#kafka,
          clock: this.#clock,
          signal: this.#over.signal,
          released: (bytes) => this.#inFlight.released(bytes),
        },
      )
    })
    awake()
    await Promise.all(this.#lanes.map((lane) => lane.fence()))
    return this.#readOffsets(mine)
  }

  async #prepareSink(sink: RecordEncoderOptions): Promise<void> {
    const { topic, asides } = sink
    const { length: partitions } = await this.#kafka.partitions(topic)
    let limits: TopicLimits | null = null // without asides nobody would take what does not fit
    if (asides !== null) {
      for (const aside of asides.topics) this.#asidePartitions.set(aside, (await this.#kafka.partitions(aside)).length)
      const topics = [topic, ...asides.topics]
      const all = await Promise.all(topics.map((of) => topicLimits(this.#kafka, of, this.#over.signal)))
      this.#batchBytesMax = Math.min(this.#batchBytesMax, ...all.map((of) => of.batchBytesMax))
      limits = all[0]!
    }
    const encoder = new RecordEncoder(sink, { partitions, limits, clock: this.#clock })
    this.#sinks.set(sink.uid, { topic, encoder })
  }

  async #readOffsets(partitions: readonly number[]): Promise<ReadonlyMap<number, CommittedOffset>> {
    if (partitions.length === 0) return new Map()
    const api = offsetFetch(this.group, this.#options.sourceTopic, partitions)
    const { errorCode, committed } = await this.#kafka.toGroup(this.group, api, this.#over.signal)
    if (errorCode !== 0) throw refused('OffsetFetch', errorCode, this.group)
    return new Map(
      committed
        .filter(({ offset }) => offset >= 0n)
        .map(({ partition, offset, metadata }) => [partition, { offset: Number(offset), metadata }]),
    )
  }

  async begin(splits: ReadonlyMap<number, SplitBegin>): Promise<void> {
    await this.#committer.begin(splits)
    this.#batches = this.#newBatches()
  }

  // ---- writing ------------------------------------------------------------------------------------------------------

  write(uid: OperatorUid, batch: RecordBatch): Promise<void> | undefined {
    const { topic, encoder } = this.#sinks.get(uid)!
    this.#committer.wrote()
    for (let i = 0; i < batch.values.length; i++) {
      const record = encoder.encode(batch, i)
      if (record !== null) this.#batches!.add(topic, record, batch.timestamps[i]!)
    }
    encoder.turn()
    return this.#written()
  }

  writeAside(records: readonly AsideRecord[]): Promise<void> | undefined {
    this.#committer.wrote()
    for (const { topic, partition, ...record } of records) {
      const place = { topic, partition: partition % this.#asidePartitions.get(topic)! }
      this.#batches!.addAside(place, record)
    }
    return this.#written()
  }

  #written(): Promise<void> | undefined {
    this.#cancelLinger ??= this.#clock.after(LINGER_MS, () => {
      this.#cancelLinger = null
      this.#batches?.flush()
    })
    const { failure } = this.#lanes[laneOf(this.#committer.sequence)]!
    if (failure !== null) return Promise.reject(failure as Error)
    return this.#inFlight.isFull ? this.#inFlight.room() : undefined
  }

  /** Of the transaction that is written to. What it sends waits until the transaction before is in the log. */
  #newBatches(): Batches {
    const lane = this.#lanes[laneOf(this.#committer.sequence)]!
    const after = this.#before
    return new Batches(this.#batchBytesMax, ({ place, builder, refused: whose }) => {
      this.#inFlight.sent(builder.bytes)
      lane.append(place, builder, { after, refused: whose })
    })
  }

  // ---- transactions -------------------------------------------------------------------------------------------------

  advance(progress: readonly SplitProgress[]): void {
    this.#committer.advance(progress)
  }

  barrier(checkpoint: CheckpointId, progress: readonly SplitProgress[]): Promise<void> {
    return this.#committer.barrier(checkpoint, progress)
  }

  onFailure(call: (error: WeirError) => void): void {
    this.#committer.onFailure(call)
  }

  onTransaction(listener: TransactionListener): void {
    this.#committer.onTransaction(listener)
  }

  /** Synchronous up to the last write of the transaction: what is written from then on belongs to the next one. */
  async #commit(sequence: number, offsets: readonly SplitCommit[]): Promise<void> {
    const lane = this.#lanes[laneOf(sequence)]!
    this.#batches?.flush()
    const flushed = lane.flush()
    this.#before = flushed.catch(() => undefined)
    this.#batches = this.#newBatches()
    await lane.mark({
      group: this.group,
      topic: this.#options.sourceTopic,
      sequence,
      offsets: offsets.map(({ split, offset, metadata }) => ({ partition: split, offset: BigInt(offset), metadata })),
    })
    await lane.commit()
  }

  async close(mode: 'abort' | 'leave'): Promise<void> {
    this.#cancelLinger?.()
    if (mode === 'abort' && this.#lanes.length > 0) {
      const within = AbortSignal.timeout(ABORT_BUDGET_MS)
      within.addEventListener('abort', () => this.#over.abort(within.reason), { once: true })
      await this.#committer.drain()
      await Promise.all(this.#lanes.map((lane) => lane.abort(within)))
    }
    this.#committer.close()
    this.#over.abort(new Error('the sink is closed'))
  }
}
