/**
 * The two-phase sink. Records go into the open transaction of one transactional id; at the barrier that transaction is
 * completed, marked and put aside, and the next id of the pool takes over. Transactions v2: every transaction has a
 * producer epoch of its own, so nothing delayed can leak into the next one. With `staged`, every batch also goes to the
 * object store: what the broker throws away after the epoch was published is written again from there.
 *
 * ```
 *  id:   free ──first write──▶ open ──prepare──▶ prepared ──commit(sequence)──▶ free (with the epoch EndTxn answered, C7)
 * ```
 */
import { WeirError, type AsideRecord, type CheckpointId, type Clock, type RecordBatch } from '@weir/model'
import {
  EMPTY_SINK_STATE,
  StagedRetention,
  recoverSink,
  type Encode,
  type HandleProof,
  type PreparedHandle,
  type SinkState,
  type StagedOutput,
  type StagedWriter,
  type SubtaskContext,
  type TwoPhaseSink,
} from '@weir/dataflow'
import type { KafkaConnections } from './connections.ts'
import { murmur2 } from './murmur2.ts'
import {
  endTxn,
  fetchRecords,
  initProducerId,
  listOffsets,
  offsetCommit,
  offsetFetch,
  produce,
  txnOffsetCommit,
  type ProducerIdentity,
} from './wire/apis.ts'
import { errorName, isRefusal } from './wire/errors.ts'
import { BatchBuilder, readBatches, restamp } from './wire/records.ts'

export interface KafkaSinkOptions {
  readonly topic: string
  /** Transactional ids in the pool: tolerated aborts + 1, at least 2 (PROTOCOL B3). */
  readonly poolSize: number
  readonly transactionTimeoutMs: number
  readonly encodeKey: Encode
  readonly encodeValue: Encode
}

const BATCH_BYTES_MAX = 512 << 10
const LINGER_MS = 10
/** Bytes sent and not acknowledged; `write` waits above it. */
const IN_FLIGHT_BYTES_MAX = 8 << 20
/** Produce requests of one partition in flight: the broker keeps the last five batches of a producer. */
const IN_FLIGHT_PER_PARTITION = 4
/** Encoded keys remembered with their partition. */
const KEY_CACHE_MAX = 50_000
const PROOF_FETCH_BYTES = 1 << 20

interface PooledId {
  readonly id: string
  identity: ProducerIdentity
  state: 'free' | 'open' | 'prepared'
}

interface PartitionLane {
  builder: BatchBuilder | null
  nextSequence: number
  /** The first batch must be acknowledged before others follow: it adds the partition to the transaction. */
  first: Promise<void> | null
  inFlight: Promise<void>[]
}

interface OpenTransaction {
  readonly pooled: PooledId
  readonly identity: ProducerIdentity
  readonly lanes: Map<number, PartitionLane>
  readonly firstOffsets: Record<string, string>
  readonly staging: StagedWriter | null
  records: number
  failure: unknown
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
  #partitionCount = 0
  #pool: PooledId[] = []
  #open: OpenTransaction | null = null
  #prepared: PreparedHandle[] = []
  /** Ends prepares in the order of their barriers. */
  #preparing: Promise<unknown> = Promise.resolve()
  #sequence = 0
  /** Partition → everything the transaction before has sent there is answered. */
  #answered = new Map<number, Promise<unknown>>()
  #inFlightBytes = 0
  #waiters: (() => void)[] = []
  #backlog: RecordBatch[] = []
  #linger: (() => void) | null = null
  #keys = new Map<unknown, { bytes: Uint8Array | null; partition: number }>()
  #sticky = 0

  constructor(options: KafkaSinkOptions, deps: KafkaSinkDeps) {
    this.#options = options
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
    this.#partitionCount = (await this.#kafka.partitions(topic)).length
    await this.#kafka.requireTransactionsV2()
    const onLost = this.#staged === null ? 'fail' : 'heal'
    const proofs = await recoverSink({ topic, group: this.#group, onLost }, restored, {
      end: (handle) => this.#endRestored(handle),
      control: (handle) => this.#controlRecord(handle),
      fence: (handleIds) => this.#fencePool(handleIds),
      marker: () => this.#readMarker(),
      heal: (handle) => this.#heal(handle),
      initialiseMarker: (sequence) => this.#initialiseMarker(sequence),
    })
    this.#sequence = (restored ?? EMPTY_SINK_STATE).sequence
    return proofs
  }

  async #endRestored(handle: PreparedHandle): Promise<boolean> {
    const id = handle.transactionalId
    const answer = await this.#kafka.toTransaction(id, endTxn(id, identityOf(handle), true), this.#signal)
    if (answer.errorCode === 0) return true
    if (isRefusal(answer.errorCode)) return false
    throw refused('EndTxn', answer.errorCode, id)
  }

  async #fencePool(handleIds: readonly string[]): Promise<void> {
    const { poolSize } = this.#options
    const ids = new Set([...Array.from({ length: poolSize }, (_, slot) => `${this.#group}.${slot}`), ...handleIds])
    const fenced = await Promise.all(
      [...ids].map(async (id) => ({ id, identity: await this.#fence(id), state: 'free' as const })),
    )
    this.#pool = fenced.slice(0, poolSize)
  }

  async #fence(id: string): Promise<ProducerIdentity> {
    const answer = await this.#kafka.toTransaction(
      id,
      initProducerId(id, this.#options.transactionTimeoutMs, null),
      this.#signal,
    )
    if (answer.errorCode === 0) return { producerId: answer.producerId, producerEpoch: answer.producerEpoch }
    if (answer.errorCode === 50) {
      throw new WeirError(
        {
          code: 'TRANSACTION_TIMEOUT_TOO_LONG',
          kind: 'invalid',
          transactionTimeoutMs: this.#options.transactionTimeoutMs,
        },
        `the broker refuses transactionTimeoutMs ${this.#options.transactionTimeoutMs}: raise transaction.max.timeout.ms at the broker or lower it (and the checkpoint timeouts) in the job`,
      )
    }
    throw refused('InitProducerId', answer.errorCode, id)
  }

  async #readMarker(): Promise<number | null> {
    const answer = await this.#kafka.toGroup(this.#group, offsetFetch(this.#group, this.#options.topic), this.#signal)
    if (answer.errorCode !== 0) throw refused('OffsetFetch', answer.errorCode, this.#group)
    return answer.offset < 0n ? null : Number(answer.offset)
  }

  /** A marker exists from the first moment: a missing one is then a fact and not a beginning (A14). */
  async #initialiseMarker(sequence: number): Promise<void> {
    const api = offsetCommit(this.#group, this.#options.topic, BigInt(sequence), this.#markerMetadata(null, ''))
    const answer = await this.#kafka.toGroup(this.#group, api, this.#signal)
    if (answer.errorCode !== 0) throw refused('OffsetCommit', answer.errorCode, this.#group)
  }

  /**
   * Writes the staged output of a lost transaction in one of its own, on an id just fenced. Batch by batch and in order:
   * a partition has what it had before, under another producer.
   */
  async #heal(handle: PreparedHandle): Promise<void> {
    const { topic } = this.#options
    const pooled = this.#pool[0]!
    const { id, identity } = pooled
    const sequences = new Map<number, number>()
    for await (const { partition, bytes } of this.#staged!.read(handle.staged!)) {
      const baseSequence = sequences.get(partition) ?? 0
      sequences.set(partition, baseSequence + restamp(bytes, identity, baseSequence))
      const api = produce(id, topic, partition, bytes)
      const { errorCode } = await this.#kafka.toLeader(topic, partition, api, this.#signal)
      if (errorCode !== 0) throw refused('Produce', errorCode, `${id} → ${topic}-${partition}`)
    }
    await this.#mark(id, identity, handle.sequence, null)
    const ended = await this.#kafka.toTransaction(id, endTxn(id, identity, true), this.#signal)
    if (ended.errorCode !== 0) throw refused('EndTxn', ended.errorCode, id)
    pooled.identity = { producerId: ended.producerId, producerEpoch: ended.producerEpoch }
  }

  /** The first partition that still holds the transaction answers for it. */
  async #controlRecord(handle: PreparedHandle): Promise<'commit' | 'abort' | 'none' | 'gone'> {
    let found: 'none' | 'gone' = 'gone'
    for (const [place, first] of Object.entries(handle.firstOffsets)) {
      const partition = Number(place.slice(place.lastIndexOf('-') + 1))
      const control = await this.#controlRecordIn(partition, BigInt(first), BigInt(handle.producerId))
      if (control === 'commit' || control === 'abort') return control
      if (control === 'none') found = 'none'
    }
    return found
  }

  /** Reads uncommitted from the first record of the producer's transaction to its first control record behind it. */
  async #controlRecordIn(
    partition: number,
    first: bigint,
    producerId: bigint,
  ): Promise<'commit' | 'abort' | 'none' | 'gone'> {
    const { topic } = this.#options
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
    if (this.#backlog.length > 0 || !this.#begin()) {
      this.#backlog.push(batch) // the pool is exhausted: a commit frees an id (B3)
      return this.#backlogDone()
    }
    this.#append(this.#open!, batch)
    if (this.#open!.failure !== null) return Promise.reject(this.#open!.failure as Error)
    if (this.#inFlightBytes > IN_FLIGHT_BYTES_MAX) return this.#roomAgain()
    return this.#open!.staging?.room()
  }

  writeAside(_records: readonly AsideRecord[]): never {
    throw new WeirError({ code: 'INTERNAL', kind: 'invalid' }, 'internal: the Kafka sink writes nothing aside yet')
  }

  #begin(): boolean {
    if (this.#open !== null) return true
    const pooled = this.#pool.find((p) => p.state === 'free')
    if (pooled === undefined) return false
    pooled.state = 'open'
    const { identity } = pooled
    const staging = this.#staged?.begin() ?? null
    this.#open = { pooled, identity, lanes: new Map(), firstOffsets: {}, staging, records: 0, failure: null }
    return true
  }

  async #backlogDone(): Promise<void> {
    while (this.#backlog.length > 0) {
      this.#signal.throwIfAborted()
      if (this.#begin()) this.#append(this.#open!, this.#backlog.shift()!)
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
    if (this.#open?.failure) throw this.#open.failure
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

  #append(open: OpenTransaction, { keys, values, timestamps }: RecordBatch): void {
    const { encodeValue } = this.#options
    for (let i = 0; i < values.length; i++) {
      const { bytes, partition } = this.#keyOf(keys === null ? null : keys[i]!)
      let lane = open.lanes.get(partition)
      if (lane === undefined)
        open.lanes.set(partition, (lane = { builder: null, nextSequence: 0, first: null, inFlight: [] }))
      lane.builder ??= new BatchBuilder()
      lane.builder.append(bytes, encodeValue(values[i]), timestamps[i]!)
      if (lane.builder.bytes >= BATCH_BYTES_MAX) this.#flush(open, partition, lane)
    }
    open.records += values.length
    this.#sticky++
    this.#linger ??= this.#clock.after(LINGER_MS, () => {
      this.#linger = null
      if (this.#open) this.#flushAll(this.#open)
    })
  }

  #keyOf(key: unknown): { bytes: Uint8Array | null; partition: number } {
    if (key === null) return { bytes: null, partition: this.#sticky % this.#partitionCount }
    const known = this.#keys.get(key)
    if (known !== undefined) return known
    const encoded = this.#options.encodeKey(key)
    const bytes = typeof encoded === 'string' ? Buffer.from(encoded) : encoded
    const entry = { bytes, partition: bytes === null ? 0 : murmur2(bytes) % this.#partitionCount }
    if (this.#keys.size >= KEY_CACHE_MAX) this.#keys.clear()
    this.#keys.set(key, entry)
    return entry
  }

  #flushAll(open: OpenTransaction): void {
    for (const [partition, lane] of open.lanes) this.#flush(open, partition, lane)
  }

  #flush(open: OpenTransaction, partition: number, lane: PartitionLane): void {
    const { builder } = lane
    if (builder === null || builder.count === 0) return
    lane.builder = null
    const batch = builder.finish(open.identity, lane.nextSequence)
    lane.nextSequence += builder.count
    open.staging?.append({ topic: this.#options.topic, partition, bytes: batch })
    this.#inFlightBytes += batch.length
    const before =
      lane.inFlight.length >= IN_FLIGHT_PER_PARTITION
        ? lane.inFlight[lane.inFlight.length - IN_FLIGHT_PER_PARTITION]!
        : // Another id's producer: nothing but waiting keeps it behind what the transaction before still has under way.
          (lane.first ?? this.#answered.get(partition))
    const sent = (before ?? Promise.resolve()).then(() => this.#produce(open, partition, batch))
    const settled = sent.then(
      () => this.#acknowledged(batch.length),
      (error: unknown) => {
        open.failure ??= error
        this.#acknowledged(batch.length)
      },
    )
    lane.first ??= settled
    lane.inFlight.push(settled)
    if (lane.inFlight.length > 64) void lane.inFlight.splice(0, lane.inFlight.length - IN_FLIGHT_PER_PARTITION - 1)
  }

  #acknowledged(bytes: number): void {
    this.#inFlightBytes -= bytes
    this.#wakeAll()
  }

  async #produce(open: OpenTransaction, partition: number, batch: Buffer): Promise<void> {
    if (open.failure !== null) return
    const { topic } = this.#options
    const answer = await this.#kafka.toLeader(
      topic,
      partition,
      produce(open.pooled.id, topic, partition, batch),
      this.#signal,
    )
    if (answer.errorCode !== 0) throw refused('Produce', answer.errorCode, `${open.pooled.id} → ${topic}-${partition}`)
    open.firstOffsets[`${topic}-${partition}`] ??= String(answer.baseOffset)
  }

  // ---- two phases ---------------------------------------------------------------------------------------------------

  prepare(checkpoint: CheckpointId): Promise<SinkState> {
    const open = this.#open
    this.#open = null
    const turn = this.#preparing.then(async (): Promise<SinkState> => {
      if (open !== null) await this.#complete(open, checkpoint)
      return { sequence: this.#sequence, handles: [...this.#prepared] }
    })
    this.#preparing = turn.catch(() => {})
    if (open !== null) {
      this.#flushAll(open)
      for (const [partition, lane] of open.lanes) this.#answered.set(partition, Promise.all(lane.inFlight))
    }
    return turn
  }

  /** Everything acknowledged and staged → the marker joins the transaction → it is a handle. */
  async #complete(open: OpenTransaction, checkpoint: CheckpointId): Promise<void> {
    for (const lane of open.lanes.values()) await Promise.all(lane.inFlight)
    if (open.failure !== null) throw open.failure
    const sequence = this.#sequence + 1
    const { id } = open.pooled
    const [staged] = await Promise.all([open.staging?.finish(), this.#mark(id, open.identity, sequence, checkpoint)])
    this.#sequence = sequence
    open.pooled.state = 'prepared'
    this.#prepared.push({
      sequence,
      transactionalId: id,
      producerId: String(open.identity.producerId),
      producerEpoch: open.identity.producerEpoch,
      firstOffsets: open.firstOffsets,
      records: open.records,
      ...(staged && { staged }),
    })
  }

  async #mark(
    id: string,
    identity: ProducerIdentity,
    sequence: number,
    checkpoint: CheckpointId | null,
  ): Promise<void> {
    const metadata = this.#markerMetadata(checkpoint, id)
    const api = txnOffsetCommit(id, this.#group, identity, this.#options.topic, BigInt(sequence), metadata)
    const answer = await this.#kafka.toGroup(this.#group, api, this.#signal)
    if (answer.errorCode !== 0) throw refused('TxnOffsetCommit', answer.errorCode, id)
  }

  #markerMetadata(checkpoint: CheckpointId | null, transactionalId: string): string {
    const { jobId, attempt } = this.#context
    return JSON.stringify({
      job: jobId,
      generation: attempt.generation,
      epoch: checkpoint?.epoch ?? 0,
      transactionalId,
    })
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
      const id = handle.transactionalId
      const answer = await this.#kafka.toTransaction(id, endTxn(id, identityOf(handle), true), this.#signal)
      if (answer.errorCode !== 0) {
        const error = errorName(answer.errorCode)
        throw new WeirError(
          { code: 'COMMIT_REFUSED', kind: 'restart', sequence: handle.sequence, transactionalId: id, error },
          `the broker refused to commit transaction ${handle.sequence} of ${id}: ${error}; recovery reads from the log what became of it`,
        )
      }
      this.#prepared.shift()
      this.#retention?.ended(handle)
      const pooled = this.#pool.find((p) => p.id === id)
      if (pooled) {
        // Always what the broker answered, never epoch + 1: on overflow it is a new producer id (C7).
        pooled.identity = { producerId: answer.producerId, producerEpoch: answer.producerEpoch }
        pooled.state = 'free'
      }
      this.#wakeAll()
    }
  }

  async close(mode: 'abort' | 'leave'): Promise<void> {
    this.#linger?.()
    this.#wakeAll()
    this.#open = null
    if (mode === 'leave') return
    const signal = AbortSignal.timeout(10_000)
    await Promise.all(
      this.#pool.map((p) =>
        this.#kafka.toTransaction(p.id, initProducerId(p.id, this.#options.transactionTimeoutMs, p.identity), signal),
      ),
    )
    await this.#retention?.over()
  }

  get #signal(): AbortSignal {
    return this.#context.signal
  }
}

const identityOf = (h: PreparedHandle): ProducerIdentity => ({
  producerId: BigInt(h.producerId),
  producerEpoch: h.producerEpoch,
})

/** What no retry mends, and what to do about it. */
const REMEDIES: Readonly<Record<number, string>> = {
  10: 'a record is larger than the topic takes: raise max.message.bytes of the topic, or write smaller values',
  32: "an event time is further in the future than the topic allows: mend it in the job, or raise the topic's message.timestamp.after.max.ms",
  87: 'the topic refuses the record (a compacted topic takes no record without a key)',
}

function refused(request: string, code: number, what: string): WeirError {
  const error = errorName(code)
  const remedy = REMEDIES[code]
  return isRefusal(code)
    ? new WeirError(
        { code: 'PRODUCER_FENCED', kind: 'fenced', request, error, what },
        `${request} of ${what}: ${error}; another attempt has taken over`,
      )
    : new WeirError(
        { code: 'KAFKA_REFUSED', kind: remedy === undefined ? 'restart' : 'invalid', request, error, what },
        `${request} of ${what}: ${error}${remedy === undefined ? '' : `: ${remedy}`}`,
      )
}
