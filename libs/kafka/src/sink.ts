/**
 * The two-phase sink. Records go into the open transaction of one transactional id (a lane, `transaction.ts`); at the
 * barrier that transaction is completed, marked and put aside, and the next lane of the pool takes over. Every transaction
 * has a producer epoch of its own, so nothing delayed can leak into the next one. With `staged`, every batch also goes to
 * the object store: what the broker throws away after the epoch was published is written again from there.
 *
 * ```
 *  lane:   free ──first write──▶ open ──prepare──▶ prepared ──commit(sequence)──▶ free
 * ```
 */
import { WeirError, assert, type AsideRecord, type CheckpointId, type Clock, type RecordBatch } from '@weir/model'
import {
  EMPTY_SINK_STATE,
  StagedRetention,
  recoverSink,
  type Encode,
  type EncodeHeaders,
  type HandleProof,
  type KeyOf,
  type PreparedHandle,
  type SinkAsides,
  type SinkState,
  type StagedOutput,
  type StagedWriter,
  type SubtaskContext,
  type TwoPhaseSink,
} from '@weir/dataflow'
import { Batches } from './batches.ts'
import type { KafkaConnections } from './connections.ts'
import { TransactionLane, type TransactionLaneDeps, type TransactionLaneOptions } from './lane.ts'
import { RecordEncoder } from './record-encoder.ts'
import { topicLimits, type TopicLimits } from './topic-limits.ts'
import type { Marker } from './transaction-state.ts'
import { fetchRecords, listOffsets, offsetCommit, offsetFetch, type Protocol } from './wire/apis.ts'
import { refused } from './wire/errors.ts'
import { StoredBatch, readBatches } from './wire/records.ts'

export interface KafkaSinkOptions {
  readonly topic: string
  /** Transactional ids in the pool: tolerated aborts + 1, at least 2 (PROTOCOL B3). */
  readonly poolSize: number
  readonly transactionTimeoutMs: number
  readonly keyOf?: KeyOf | undefined
  readonly encodeKey: Encode
  readonly encodeValue: Encode
  readonly encodeHeaders?: EncodeHeaders | undefined
  /** Null: nothing goes aside, and a record that cannot be written ends the attempt. */
  readonly asides?: SinkAsides | null
}

const BATCH_BYTES_MAX = 512 << 10
/** Nothing of it is visible before the commit, which does not wait for it: fewer requests cost brokers and slots less. */
const LINGER_MS = 50
/** Bytes sent and not acknowledged; `write` waits above it. */
const IN_FLIGHT_BYTES_MAX = 8 << 20
/** How long `close('abort')` may take, ms. */
const ABORT_BUDGET_MS = 10_000
const PROOF_FETCH_BYTES = 1 << 20

interface PooledLane {
  readonly lane: TransactionLane
  state: 'free' | 'open' | 'prepared'
}

interface OpenTransaction {
  readonly pooled: PooledLane
  readonly batches: Batches
  readonly staging: StagedWriter | null
  /** It is another producer's: nothing but waiting keeps it behind what the transaction before still has under way. */
  readonly after: Promise<unknown>
}

export interface KafkaSinkDeps {
  readonly context: SubtaskContext
  readonly kafka: KafkaConnections
  readonly clock: Clock
  /** Null: a lost transaction stops the job (`onLost: 'fail'`). */
  readonly staged: StagedOutput | null
}

export class KafkaSink implements TwoPhaseSink {
  readonly #options: KafkaSinkOptions
  readonly #context: SubtaskContext
  readonly #kafka: KafkaConnections
  readonly #clock: Clock
  readonly #staged: StagedOutput | null
  readonly #retention: StagedRetention | null
  readonly #group: string
  readonly #asides: SinkAsides | null
  #encoder: RecordEncoder | null = null
  #batchBytesMax = BATCH_BYTES_MAX
  readonly #asidePartitions = new Map<string, number>()
  #protocol: Protocol = 'v2'
  #pool: PooledLane[] = []
  #open: OpenTransaction | null = null
  #prepared: PreparedHandle[] = []
  /** Ends prepares in the order of their barriers. */
  #preparing: Promise<unknown> = Promise.resolve()
  #sequence = 0
  /** Sequence of the newest transaction that was closed to writes. */
  #cut = 0
  /** Everything the transaction before has sent is answered. */
  #answered: Promise<unknown> = Promise.resolve()
  #inFlightBytes = 0
  #waiters: (() => void)[] = []
  #backlog: ((open: OpenTransaction) => void)[] = []
  #linger: (() => void) | null = null

  constructor(options: KafkaSinkOptions, deps: KafkaSinkDeps) {
    this.#options = options
    this.#asides = options.asides ?? null
    this.#context = deps.context
    this.#kafka = deps.kafka
    this.#clock = deps.clock
    this.#staged = deps.staged
    this.#retention = deps.staged && new StagedRetention(deps.staged)
    const { jobId, operatorUid, subtask } = deps.context
    this.#group = `weir.${jobId}.${operatorUid}.${subtask}`
  }

  get pending(): { open: boolean; prepared: number } {
    return { open: this.#open !== null, prepared: this.#pool.filter((p) => p.state === 'prepared').length }
  }

  // ---- recovery -----------------------------------------------------------------------------------------------------

  async recover(restored: SinkState | null): Promise<readonly HandleProof[]> {
    const { topic } = this.#options
    const { length: partitions } = await this.#kafka.partitions(topic)
    const limits = this.#asides && (await this.#askLimits(topic, this.#asides.topics))
    const { keyOf, encodeKey, encodeValue, encodeHeaders } = this.#options
    const encoding = {
      uid: this.#context.operatorUid,
      topic,
      keyOf,
      encodeKey,
      encodeValue,
      encodeHeaders,
      asides: this.#asides,
    }
    this.#encoder = new RecordEncoder(encoding, { partitions, limits, clock: this.#clock })
    this.#protocol = await this.#kafka.transactionProtocol()
    const onLost = this.#staged === null ? 'fail' : 'heal'
    const proofs = await recoverSink({ topic, group: this.#group, onLost }, restored, {
      end: (handle) => this.#endRestored(handle),
      control: (handle) => this.#controlRecord(handle),
      fence: (handleIds) => this.#fencePool(handleIds),
      marker: () => this.#readMarker(),
      heal: (handle) => this.#heal(handle),
      initialiseMarker: (sequence) => this.#initialiseMarker(sequence),
    })
    this.#sequence = this.#cut = (restored ?? EMPTY_SINK_STATE).sequence
    return proofs
  }

  /** @returns those of the sink's own topic */
  async #askLimits(topic: string, asides: readonly string[]): Promise<TopicLimits> {
    for (const aside of asides) this.#asidePartitions.set(aside, (await this.#kafka.partitions(aside)).length)
    const all = await Promise.all([topic, ...asides].map((of) => topicLimits(this.#kafka, of, this.#signal)))
    const timed = [topic, ...asides].find((_, i) => all[i]!.brokerTime)
    if (timed !== undefined && this.#asides?.audit) throw brokerTime(timed)
    this.#batchBytesMax = Math.min(BATCH_BYTES_MAX, ...all.map((of) => of.batchBytesMax))
    return all[0]!
  }

  #laneOptions(transactionalId: string): TransactionLaneOptions {
    const { transactionTimeoutMs } = this.#options
    return { transactionalId, protocol: this.#protocol, transactionTimeoutMs }
  }

  get #laneDeps(): TransactionLaneDeps {
    const released = (bytes: number): void => this.#released(bytes)
    return { kafka: this.#kafka, clock: this.#clock, signal: this.#signal, released }
  }

  async #endRestored(handle: PreparedHandle): Promise<boolean> {
    const identity = { producerId: BigInt(handle.producerId), producerEpoch: handle.producerEpoch }
    const options = this.#laneOptions(handle.transactionalId)
    try {
      await TransactionLane.prepared(options, identity, handle.sequence, this.#laneDeps).commit()
      return true
    } catch (error) {
      if (error instanceof WeirError && error.code === 'COMMIT_REFUSED') return false
      throw error
    }
  }

  async #fencePool(handleIds: readonly string[]): Promise<void> {
    const { poolSize } = this.#options
    const ids = new Set([...Array.from({ length: poolSize }, (_, slot) => `${this.#group}.${slot}`), ...handleIds])
    const lanes = [...ids].map((id) => new TransactionLane(this.#laneOptions(id), this.#laneDeps))
    await Promise.all(lanes.map((lane) => lane.fence()))
    this.#pool = lanes.slice(0, poolSize).map((lane) => ({ lane, state: 'free' }))
  }

  async #readMarker(): Promise<number | null> {
    const api = offsetFetch(this.#group, this.#options.topic, [0])
    const { errorCode, committed } = await this.#kafka.toGroup(this.#group, api, this.#signal)
    if (errorCode !== 0) throw refused('OffsetFetch', errorCode, this.#group)
    const { offset } = committed[0]!
    return offset < 0n ? null : Number(offset)
  }

  /** A marker exists from the first moment: a missing one is then a fact and not a beginning (A14). */
  async #initialiseMarker(sequence: number): Promise<void> {
    const { offsets } = this.#marker(sequence, null, '')
    const api = offsetCommit(this.#group, this.#options.topic, offsets)
    const answer = await this.#kafka.toGroup(this.#group, api, this.#signal)
    if (answer.errorCode !== 0) throw refused('OffsetCommit', answer.errorCode, this.#group)
  }

  /**
   * Writes the staged output of a lost transaction in one of its own, on an id just fenced. Batch by batch and in order:
   * a partition has what it had before, under another producer.
   */
  async #heal(handle: PreparedHandle): Promise<void> {
    const { lane } = this.#pool[0]!
    const known = new Set([this.#options.topic])
    for await (const { topic, partition, bytes } of this.#staged!.read(handle.staged!)) {
      if (!known.has(topic)) await this.#kafka.partitions(topic) // leaders are known only of topics that were asked for
      known.add(topic)
      this.#inFlightBytes += bytes.length
      lane.append({ topic, partition }, new StoredBatch(bytes))
      await this.#roomAgain()
    }
    await lane.flush()
    await lane.mark(this.#marker(handle.sequence, null, lane.transactionalId))
    await lane.commit()
  }

  /** The first partition that still holds the transaction answers for it. */
  async #controlRecord(handle: PreparedHandle): Promise<'commit' | 'abort' | 'none' | 'gone'> {
    let found: 'none' | 'gone' = 'gone'
    for (const [place, first] of Object.entries(handle.firstOffsets)) {
      const dash = place.lastIndexOf('-')
      const [topic, partition] = [place.slice(0, dash), Number(place.slice(dash + 1))]
      const control = await this.#controlRecordIn(topic, partition, BigInt(first), BigInt(handle.producerId))
      if (control === 'commit' || control === 'abort') return control
      if (control === 'none') found = 'none'
    }
    return found
  }

  /** Reads uncommitted from the first record of the producer's transaction to its first control record behind it. */
  async #controlRecordIn(
    topic: string,
    partition: number,
    first: bigint,
    producerId: bigint,
  ): Promise<'commit' | 'abort' | 'none' | 'gone'> {
    if (topic !== this.#options.topic) await this.#kafka.partitions(topic)
    let offset = first
    const latest = await this.#kafka.toLeader(topic, partition, listOffsets(topic, partition, -1n, false), this.#signal)
    while (offset < latest.offset) {
      const api = fetchRecords(topic, [{ partition, offset, maxBytes: PROOF_FETCH_BYTES }], {
        maxWaitMs: 100,
        readCommitted: false,
      })
      const answer = await this.#kafka.toLeader(
        topic,
        partition,
        { ...api, read: (r) => ({ ...api.read(r).partitions[0]! }) },
        this.#signal,
      )
      // Deleted, also in the middle of the search: the next control record may be another transaction's.
      if (answer.errorCode === 1 || answer.logStartOffset > first) return 'gone'
      if (answer.errorCode !== 0) throw refused('Fetch', answer.errorCode, `${topic}-${partition}`)
      const { control, nextOffset } = readBatches(answer.records ?? Buffer.alloc(0), offset, null)
      const decisive = control.find((c) => c.producerId === producerId && c.offset >= first)
      if (decisive) return decisive.type
      if (nextOffset === null || nextOffset <= offset) break
      offset = nextOffset
    }
    return 'none'
  }

  // ---- writing ------------------------------------------------------------------------------------------------------

  write(batch: RecordBatch): Promise<void> | undefined {
    return batch.values.length === 0 ? undefined : this.#put((open) => this.#append(open, batch))
  }

  writeAside(records: readonly AsideRecord[]): Promise<void> | undefined {
    if (records.length === 0) return undefined
    return this.#put((open) => {
      for (const record of records) {
        const partition = this.#appendAside(open, record)
        this.#asides?.audit?.add(record.topic, partition, record)
      }
      this.#lingering()
    })
  }

  #put(append: (open: OpenTransaction) => void): Promise<void> | undefined {
    if (this.#backlog.length > 0 || !this.#begin()) {
      this.#backlog.push(append) // the pool is exhausted: a commit frees an id (B3)
      return this.#backlogDone()
    }
    append(this.#open!)
    const { failure } = this.#open!.pooled.lane
    if (failure !== null) return Promise.reject(failure as Error)
    if (this.#inFlightBytes > IN_FLIGHT_BYTES_MAX) return this.#roomAgain()
    return this.#open!.staging?.room()
  }

  #begin(): boolean {
    if (this.#open !== null) return true
    const pooled = this.#pool.find((p) => p.state === 'free')
    if (pooled === undefined) return false
    pooled.state = 'open'
    const staging = this.#staged?.begin() ?? null
    const after = this.#answered
    const batches = new Batches(this.#batchBytesMax, ({ place, builder, refused: whose }) => {
      this.#inFlightBytes += builder.bytes
      const stamped = staging && ((bytes: Buffer): void => staging.append({ ...place, bytes }))
      pooled.lane.append(place, builder, { after, refused: whose, ...(stamped && { stamped }) })
    })
    this.#open = { pooled, batches, staging, after }
    return true
  }

  async #backlogDone(): Promise<void> {
    while (this.#backlog.length > 0) {
      this.#signal.throwIfAborted()
      if (this.#begin()) this.#backlog.shift()!(this.#open!)
      else await this.#wakeUp()
    }
    await this.#roomAgain()
  }

  async #roomAgain(): Promise<void> {
    while (this.#inFlightBytes > IN_FLIGHT_BYTES_MAX) {
      this.#signal.throwIfAborted()
      await this.#wakeUp()
    }
    await this.#open?.staging?.room()
    const failure = this.#open?.pooled.lane.failure ?? null
    if (failure !== null) throw failure as Error
  }

  #wakeUp(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#signal.removeEventListener('abort', done)
        resolve()
      }
      this.#waiters.push(done)
      this.#signal.addEventListener('abort', done, { once: true })
    })
  }

  #wakeAll(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  #append({ batches }: OpenTransaction, batch: RecordBatch): void {
    const { topic } = this.#options
    const audit = this.#asides?.audit ?? null
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
    assert(partitions !== undefined, `"${topic}" is no aside of ${this.#group}`)
    const partition = any % partitions
    batches.addAside({ topic, partition }, record)
    return partition
  }

  #lingering(): void {
    this.#linger ??= this.#clock.after(LINGER_MS, () => {
      this.#linger = null
      this.#open?.batches.flush()
    })
  }

  #released(bytes: number): void {
    this.#inFlightBytes -= bytes
    this.#wakeAll()
  }

  // ---- two phases ---------------------------------------------------------------------------------------------------

  prepare(checkpoint: CheckpointId): Promise<SinkState> {
    this.#appendReceipt(checkpoint)
    const open = this.#taken()
    if (open !== null) this.#cut++
    const flushed = open && this.#flushed(open)
    const turn = this.#preparing.then(async (): Promise<SinkState> => {
      if (open !== null) await this.#complete(open, checkpoint, await flushed!)
      return { sequence: this.#sequence, handles: [...this.#prepared] }
    })
    this.#preparing = turn.catch(() => {})
    return turn
  }

  /** An audited epoch ends with its receipt, also when there is nothing else in it. */
  #appendReceipt(checkpoint: CheckpointId): void {
    const audit = this.#asides?.audit ?? null
    if (audit === null) return
    if (this.#begin()) this.#appendAside(this.#open!, audit.receipt(checkpoint, this.#cut + 1))
  }

  /** The open transaction, closed to writes. Null: none, or one into which nothing was written. */
  #taken(): OpenTransaction | null {
    const open = this.#open
    this.#open = null
    if (open === null || open.batches.records > 0) return open
    open.pooled.state = 'free'
    return null
  }

  #flushed(open: OpenTransaction): Promise<PreparedHandle['firstOffsets']> {
    open.batches.flush()
    const flushed = open.pooled.lane.flush()
    this.#answered = flushed.catch(() => {})
    return flushed
  }

  /** In the log and staged → the marker joins the transaction → it is a handle. */
  async #complete(
    { pooled, batches, staging }: OpenTransaction,
    checkpoint: CheckpointId,
    firstOffsets: PreparedHandle['firstOffsets'],
  ): Promise<void> {
    const { lane } = pooled
    const sequence = this.#sequence + 1
    const marker = this.#marker(sequence, checkpoint, lane.transactionalId)
    const [staged] = await Promise.all([staging?.finish(), lane.mark(marker)])
    this.#sequence = sequence
    pooled.state = 'prepared'
    const { producerId, producerEpoch } = lane.identity
    this.#prepared.push({
      sequence,
      transactionalId: lane.transactionalId,
      producerId: String(producerId),
      producerEpoch,
      firstOffsets,
      records: batches.records,
      ...(staged && { staged }),
    })
  }

  #marker(sequence: number, checkpoint: CheckpointId | null, transactionalId: string): Marker {
    const { jobId, attempt } = this.#context
    const metadata = JSON.stringify({
      job: jobId,
      generation: attempt.generation,
      epoch: checkpoint?.epoch ?? 0,
      transactionalId,
    })
    const offsets = [{ partition: 0, offset: BigInt(sequence), metadata }]
    return { group: this.#group, topic: this.#options.topic, sequence, offsets }
  }

  async commit(upTo: number): Promise<void> {
    if (upTo > this.#sequence) {
      throw new WeirError(
        { code: 'SEQUENCE_NOT_PREPARED', kind: 'restart', upTo, prepared: this.#sequence },
        `told to commit transaction ${upTo} of ${this.#group}, but only ${this.#sequence} are prepared: the command is not for this attempt`,
      )
    }
    this.#retention?.commanded()
    while (this.#prepared.length > 0 && this.#prepared[0]!.sequence <= upTo) {
      const handle = this.#prepared[0]!
      const pooled = this.#pool.find((p) => p.lane.transactionalId === handle.transactionalId)!
      await pooled.lane.commit()
      this.#prepared.shift()
      this.#retention?.ended(handle)
      pooled.state = 'free'
      this.#wakeAll()
    }
  }

  async close(mode: 'abort' | 'leave'): Promise<void> {
    this.#linger?.()
    this.#wakeAll()
    this.#open = null
    if (mode === 'leave') return
    const signal = AbortSignal.timeout(ABORT_BUDGET_MS)
    await Promise.all(this.#pool.map(({ lane }) => lane.abort(signal)))
    await this.#retention?.over()
  }

  get #signal(): AbortSignal {
    return this.#context.signal
  }
}

const bytesOf = (of: Uint8Array | string | number | null): Uint8Array | null =>
  typeof of === 'string' || typeof of === 'number' ? Buffer.from(String(of)) : of

const brokerTime = (topic: string): WeirError =>
  new WeirError(
    { code: 'AUDIT_BROKER_TIME', kind: 'invalid', topic },
    `topic "${topic}" has message.timestamp.type=LogAppendTime: the broker changes every record, and none would fit its receipt. Set CreateTime, or do without audit.`,
  )
