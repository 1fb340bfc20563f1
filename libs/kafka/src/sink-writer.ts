/**
 * The writing half of the two-phase sink: records become batches of the open transaction. Bounded by the bytes that no
 * broker has acknowledged, by what staging has room for, and by the pool: without a free id writes wait (PROTOCOL B3).
 */
import type { SinkAsides, StagedOutput, StagedWriter } from '@weir/dataflow'
import { WeirError, assert, type AsideRecord, type Clock, type RecordBatch } from '@weir/model'
import { Batches } from './batches.ts'
import type { KafkaConnections } from './connections.ts'
import type { InFlight } from './in-flight.ts'
import type { LanePool, PooledLane } from './lane-pool.ts'
import { RecordEncoder, type RecordEncoderOptions } from './record-encoder.ts'
import { topicLimits, type TopicLimits } from './topic-limits.ts'

const BATCH_BYTES_MAX = 512 << 10
/** Nothing of it is visible before the commit, which does not wait for it: fewer batches cost brokers, slots and readers less. */
const LINGER_MS = 200
/** With the first batches of a transaction its partitions join it, and the marker waits for that. */
const FIRST_LINGER_MS = 50

export interface OpenTransaction {
  readonly pooled: PooledLane
  readonly batches: Batches
  readonly staging: StagedWriter | null
  lingerMs: number
}

export interface SinkWriterOptions extends RecordEncoderOptions {
  /** Of the sink's marker: who is complained about. */
  readonly group: string
}

export interface SinkWriterDeps {
  readonly kafka: KafkaConnections
  readonly clock: Clock
  readonly pool: LanePool
  readonly inFlight: InFlight
  readonly staged: StagedOutput | null
  /** Ends every wait. */
  readonly signal: AbortSignal
}

export class SinkWriter {
  readonly #options: SinkWriterOptions
  readonly #deps: SinkWriterDeps
  #encoder: RecordEncoder | null = null
  #batchBytesMax = BATCH_BYTES_MAX
  readonly #asidePartitions = new Map<string, number>()
  #open: OpenTransaction | null = null
  /** Everything the transaction before has sent is answered. */
  #answered: Promise<unknown> = Promise.resolve()
  /** In front of an exhausted pool. Its writers wait, so there is one for each of them. */
  #backlog: ((open: OpenTransaction) => void)[] = []
  #linger: (() => void) | null = null

  constructor(options: SinkWriterOptions, deps: SinkWriterDeps) {
    this.#options = options
    this.#deps = deps
  }

  get isOpen(): boolean {
    return this.#open !== null
  }

  /** Asks the topics what they take; nothing is written before it. */
  async prepare(): Promise<void> {
    const { topic, asides } = this.#options
    const { kafka, clock } = this.#deps
    const { length: partitions } = await kafka.partitions(topic)
    const limits = asides && (await this.#askLimits(topic, asides))
    this.#encoder = new RecordEncoder(this.#options, { partitions, limits, clock })
  }

  /** @returns those of the sink's own topic */
  async #askLimits(topic: string, asides: SinkAsides): Promise<TopicLimits> {
    const { kafka, signal } = this.#deps
    for (const aside of asides.topics) this.#asidePartitions.set(aside, (await kafka.partitions(aside)).length)
    const topics = [topic, ...asides.topics]
    const all = await Promise.all(topics.map((of) => topicLimits(kafka, of, signal)))
    const timed = topics.find((_, i) => all[i]!.brokerTime)
    if (timed !== undefined && asides.audit) throw brokerTime(timed)
    this.#batchBytesMax = Math.min(BATCH_BYTES_MAX, ...all.map((of) => of.batchBytesMax))
    return all[0]!
  }

  write(batch: RecordBatch): Promise<void> | undefined {
    return batch.values.length === 0 ? undefined : this.#put((open) => this.#append(open, batch))
  }

  writeAside(records: readonly AsideRecord[]): Promise<void> | undefined {
    if (records.length === 0) return undefined
    return this.#put((open) => {
      for (const record of records) {
        const partition = this.#appendAside(open, record)
        this.#options.asides?.audit?.add(record.topic, partition, record)
      }
      this.#lingering()
    })
  }

  /** As the last one of the transaction, which is opened for it if need be; left out where the pool is exhausted. */
  appendLast(record: () => AsideRecord): void {
    if (this.#begin()) this.#appendAside(this.#open!, record())
  }

  /** The open transaction, closed to writes. Null: none, or one into which nothing was written. */
  taken(): OpenTransaction | null {
    const open = this.#open
    this.#open = null
    this.#cancelLinger()
    if (open === null || open.batches.records > 0) return open
    open.pooled.state = 'free'
    return null
  }

  /** Of a transaction that was taken: where it begins in each partition, once all of it is in the log. */
  flushed(open: OpenTransaction): Promise<Readonly<Record<string, string>>> {
    open.batches.flush()
    const flushed = open.pooled.lane.flush()
    this.#answered = flushed.catch(() => {})
    return flushed
  }

  /** Until there is room for more, in flight and in staging. */
  async roomAgain(): Promise<void> {
    await this.#deps.inFlight.room()
    await this.#open?.staging?.room()
    const failure = this.#open?.pooled.lane.failure ?? null
    if (failure !== null) throw failure as Error
  }

  close(): void {
    this.#cancelLinger()
    this.#deps.inFlight.wakeAll()
    this.#open = null
  }

  #put(append: (open: OpenTransaction) => void): Promise<void> | undefined {
    if (this.#backlog.length > 0 || !this.#begin()) {
      this.#backlog.push(append) // the pool is exhausted: a commit frees an id (B3)
      return this.#backlogDone()
    }
    append(this.#open!)
    const { failure } = this.#open!.pooled.lane
    if (failure !== null) return Promise.reject(failure as Error)
    if (this.#deps.inFlight.isFull) return this.roomAgain()
    return this.#open!.staging?.room()
  }

  #begin(): boolean {
    if (this.#open !== null) return true
    const { pool, staged, inFlight } = this.#deps
    const pooled = pool.take()
    if (pooled === null) return false
    const staging = staged?.begin() ?? null
    // It is another producer's: nothing but waiting keeps it behind what the transaction before still has under way.
    const after = this.#answered
    const batches = new Batches(this.#batchBytesMax, ({ place, builder, refused: whose }) => {
      inFlight.sent(builder.bytes)
      const stamped = staging && ((bytes: Buffer): void => staging.append({ ...place, bytes }))
      pooled.lane.append(place, builder, { after, refused: whose, ...(stamped && { stamped }) })
    })
    this.#open = { pooled, batches, staging, lingerMs: FIRST_LINGER_MS }
    return true
  }

  async #backlogDone(): Promise<void> {
    const { inFlight, signal } = this.#deps
    while (this.#backlog.length > 0) {
      signal.throwIfAborted()
      if (this.#begin()) this.#backlog.shift()!(this.#open!)
      else await inFlight.woken()
    }
    await this.roomAgain()
  }

  #append({ batches }: OpenTransaction, batch: RecordBatch): void {
    const { topic, asides } = this.#options
    const audit = asides?.audit ?? null
    for (let i = 0; i < batch.values.length; i++) {
      const record = this.#encoder!.encode(batch, i)
      if (record === null) continue
      const timestamp = batch.timestamps[i]!
      if (audit === null) {
        batches.add(topic, record, timestamp)
        continue
      }
      const { partition, headers } = record
      const [key, value] = [bytesOf(record.key), bytesOf(record.value)]
      audit.add(topic, partition, { key, value, timestamp, headers })
      batches.add(topic, { ...record, key, value }, timestamp)
    }
    this.#encoder!.turn()
    this.#lingering()
  }

  /** @returns its partition */
  #appendAside({ batches }: OpenTransaction, { topic, partition: any, ...record }: AsideRecord): number {
    const partitions = this.#asidePartitions.get(topic)
    assert(partitions !== undefined, `"${topic}" is no aside of ${this.#options.group}`)
    const partition = any % partitions
    batches.addAside({ topic, partition }, record)
    return partition
  }

  /** Of the open transaction. */
  #lingering(): void {
    const open = this.#open!
    this.#linger ??= this.#deps.clock.after(open.lingerMs, () => {
      this.#linger = null
      open.lingerMs = LINGER_MS
      open.batches.flush()
    })
  }

  #cancelLinger(): void {
    this.#linger?.()
    this.#linger = null
  }
}

const bytesOf = (of: Uint8Array | string | number | null): Uint8Array | null =>
  typeof of === 'string' || typeof of === 'number' ? Buffer.from(String(of)) : of

const brokerTime = (topic: string): WeirError =>
  new WeirError(
    { code: 'AUDIT_BROKER_TIME', kind: 'invalid', topic },
    `topic "${topic}" has message.timestamp.type=LogAppendTime: the broker changes every record, and none would fit its receipt. Set CreateTime, or do without audit.`,
  )
