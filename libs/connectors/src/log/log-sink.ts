/** The two-phase sink of the embedded log: the protocol of the Kafka sink, without Kafka. */
import {
  EMPTY_SINK_STATE,
  NO_HEADERS,
  OutputView,
  StagedRetention,
  encodeFailed,
  outputHeaders,
  recoverSink,
  type HandleProof,
  type PooledSinkOptions,
  type PreparedHandle,
  type SinkAsides,
  type SinkState,
  type StagedOutput,
  type StagedWriter,
  type SubtaskContext,
  type TwoPhaseSink,
} from '@weir/dataflow'
import {
  WeirError,
  assert,
  hashKey,
  whileAwake,
  type AsideRecord,
  type CheckpointId,
  type Clock,
  type Key,
  type RecordBatch,
} from '@weir/model'
import { Packr } from 'msgpackr'
import { isRefusal, type LogRecord, type ProducerIdentity, type TransactionalLog } from './port.ts'

interface PooledId {
  readonly id: string
  identity: ProducerIdentity
  state: 'free' | 'open' | 'prepared'
}
interface Lane {
  readonly topic: string
  readonly partition: number
  buffer: LogRecord[]
  nextSequence: number
}
interface OpenTransaction {
  readonly pooled: PooledId
  readonly identity: ProducerIdentity
  /** By topic, then by partition. */
  readonly lanes: Map<string, Lane[]>
  readonly firstOffsets: Record<string, string>
  readonly staging: StagedWriter | null
  records: number
  sending: Promise<void>
  /** Batches handed to `sending` and not written yet. */
  unsent: number
  failure: unknown
}

/** Records buffered before a batch is sent. */
const BATCH_RECORDS = 1_000
const UNSENT_BATCHES_MAX = 8
const LINGER_MS = 20
const MARKER_TRIES = 50
const MARKER_RETRY_MS = 20
const packr = new Packr({ moreTypes: false, useRecords: false })

export interface LogSinkDeps {
  readonly context: SubtaskContext
  readonly log: TransactionalLog
  readonly clock: Clock
  /** Null: a lost transaction stops the job (`onLost: 'fail'`). */
  readonly staged: StagedOutput | null
}

export class LogSink implements TwoPhaseSink {
  readonly #options: PooledSinkOptions
  readonly #context: SubtaskContext
  readonly #log: TransactionalLog
  readonly #clock: Clock
  readonly #staged: StagedOutput | null
  readonly #retention: StagedRetention | null
  readonly #group: string
  readonly #asides: SinkAsides | null
  /** Partitions of the sink's own topic and of those of its asides. */
  readonly #partitionCounts = new Map<string, number>()
  readonly #output: OutputView
  #pool: PooledId[] = []
  #open: OpenTransaction | null = null
  #prepared: PreparedHandle[] = []
  #sequence = 0
  /** Sequence of the newest transaction that was closed to writes. */
  #cut = 0
  #preparing: Promise<unknown> = Promise.resolve()
  /** Settles with the last batch handed over; never rejects. */
  #sent: Promise<void> = Promise.resolve()
  #waiters: (() => void)[] = []
  #linger: (() => void) | null = null

  constructor(options: PooledSinkOptions, deps: LogSinkDeps) {
    this.#options = options
    this.#output = new OutputView(options.keyOf ?? null)
    this.#asides = options.asides ?? null
    this.#context = deps.context
    this.#log = deps.log
    this.#clock = deps.clock
    this.#staged = deps.staged
    this.#retention = deps.staged && new StagedRetention(deps.staged)
    const { jobId, operatorUid, subtask } = deps.context
    this.#group = `weir.${jobId}.${operatorUid}.${subtask}`
    deps.context.signal.addEventListener('abort', () => this.#wakeAll(), { once: true })
  }

  get pending(): { open: boolean; prepared: number } {
    return { open: this.#open !== null, prepared: this.#prepared.length }
  }

  recover(restored: SinkState | null): Promise<readonly HandleProof[]> {
    return whileAwake(this.#clock, (awake) => this.#recover(restored, awake))
  }

  async #recover(restored: SinkState | null, awake: () => void): Promise<readonly HandleProof[]> {
    const { topic } = this.#options
    for (const name of [topic, ...(this.#asides?.topics ?? [])]) {
      this.#partitionCounts.set(name, (await this.#log.describe(name)).endOffsets.length)
    }
    const onLost = this.#staged === null ? 'fail' : 'heal'
    const proofs = await recoverSink({ topic, group: this.#group, onLost }, restored, {
      end: (handle) => this.#tryCommit(handle),
      control: (handle) => this.#control(handle),
      fence: (handleIds) => {
        awake()
        return this.#fencePool(handleIds)
      },
      marker: () => this.#marker(),
      heal: (handle) => this.#heal(handle),
      initialiseMarker: (sequence) => this.#commitMarker(sequence),
    })
    this.#sequence = this.#cut = (restored ?? EMPTY_SINK_STATE).sequence
    return proofs
  }

  async #fencePool(handleIds: readonly string[]): Promise<void> {
    const { poolSize, transactionTimeoutMs } = this.#options
    const ids = new Set([...Array.from({ length: poolSize }, (_, slot) => `${this.#group}.${slot}`), ...handleIds])
    const fenced = await Promise.all(
      [...ids].map(async (id): Promise<PooledId> => {
        return { id, identity: await this.#log.initProducer(id, transactionTimeoutMs), state: 'free' }
      }),
    )
    this.#pool = fenced.slice(0, poolSize)
  }

  write(batch: RecordBatch): Promise<void> | undefined {
    const open = this.#begin()
    if (open === null) return this.#later(() => this.write(batch))
    const { topic } = this.#options
    for (let i = 0; i < batch.values.length; i++) {
      const record = this.#encode(batch, i)
      if (record === null) continue
      const partition = this.#partitionOf(this.#output.key, open.records)
      this.#asides?.audit?.add(topic, partition, { ...record, headers: record.headers ?? NO_HEADERS })
      this.#append(open, topic, partition, record)
    }
    return this.#written(open)
  }

  writeAside(records: readonly AsideRecord[]): Promise<void> | undefined {
    const open = this.#begin()
    if (open === null) return this.#later(() => this.writeAside(records))
    for (const record of records) {
      const partition = this.#appendAside(open, record)
      this.#asides?.audit?.add(record.topic, partition, record)
    }
    return this.#written(open)
  }

  #appendAside(open: OpenTransaction, { topic, partition: any, ...record }: AsideRecord): number {
    const count = this.#partitionCounts.get(topic)
    assert(count !== undefined && this.#asides?.topics.includes(topic), `"${topic}" is no aside of ${this.#group}`)
    const partition = any % count
    this.#append(open, topic, partition, record)
    return partition
  }

  /** Null: it cannot be encoded and was refused. */
  #encode(batch: RecordBatch, i: number): LogRecord | null {
    const { encodeKey, encodeValue, encodeHeaders } = this.#options
    const { values, timestamps, origins } = batch
    try {
      const output = this.#output.at(batch, i)
      const key = output.key
      const withHeaders = encodeHeaders !== undefined || origins?.traces !== undefined
      return {
        key: key === null ? null : bytesOf(encodeKey(key)),
        value: bytesOf(encodeValue(values[i], output)),
        timestamp: timestamps[i]!,
        ...(withHeaders && { headers: outputHeaders(encodeHeaders, values[i], output) }),
      }
    } catch (error) {
      const failed = encodeFailed(error, this.#context.operatorUid, batch, i)
      if (this.#asides === null) throw failed
      this.#asides.refuse(batch, i, failed)
      return null
    }
  }

  #append(open: OpenTransaction, topic: string, partition: number, record: LogRecord): void {
    let lanes = open.lanes.get(topic)
    if (lanes === undefined) open.lanes.set(topic, (lanes = []))
    const lane = (lanes[partition] ??= { topic, partition, buffer: [], nextSequence: 0 })
    open.records++
    if (lane.buffer.push(record) >= BATCH_RECORDS) this.#flush(open, lane)
  }

  #written(open: OpenTransaction): Promise<void> | undefined {
    this.#linger ??= this.#clock.after(LINGER_MS, () => {
      this.#linger = null
      if (this.#open) this.#flushAll(this.#open)
    })
    if (open.failure !== null) return Promise.reject(open.failure as Error)
    return open.unsent > UNSENT_BATCHES_MAX ? this.#room(open) : open.staging?.room()
  }

  prepare(checkpoint: CheckpointId): Promise<SinkState> {
    this.#appendReceipt(checkpoint)
    const open = this.#taken()
    if (open !== null) this.#cut++
    const turn = this.#preparing.then(async (): Promise<SinkState> => {
      if (open !== null) await this.#complete(open)
      return { sequence: this.#sequence, handles: [...this.#prepared] }
    })
    this.#preparing = turn.catch(() => undefined)
    if (open !== null) this.#flushAll(open)
    return turn
  }

  async commit(upTo: number): Promise<void> {
    if (upTo > this.#sequence) {
      throw new WeirError(
        { code: 'SEQUENCE_NOT_PREPARED', kind: 'restart', upTo, prepared: this.#sequence },
        `told to commit transaction ${upTo} of ${this.#group}, but only ${this.#sequence} are prepared`,
      )
    }
    this.#retention?.commanded()
    for (let handle = this.#prepared[0]; handle !== undefined && handle.sequence <= upTo; handle = this.#prepared[0]) {
      const { transactionalId, sequence } = handle
      try {
        const identity = await this.#log.end(handle, true)
        const pooled = this.#pool.find((p) => p.id === transactionalId)
        if (pooled) Object.assign(pooled, { identity, state: 'free' })
      } catch (cause) {
        throw new WeirError(
          { code: 'COMMIT_REFUSED', kind: 'restart', sequence, transactionalId, error: (cause as WeirError).code },
          `the log refused to commit transaction ${sequence} of ${transactionalId}: ${(cause as Error).message}`,
          { cause },
        )
      }
      this.#prepared.shift()
      this.#retention?.ended(handle)
      this.#wakeAll()
    }
  }

  async close(mode: 'abort' | 'leave'): Promise<void> {
    this.#linger?.()
    this.#open = null
    this.#wakeAll()
    if (mode === 'leave') return
    await Promise.all(this.#pool.map((p) => this.#log.initProducer(p.id, this.#options.transactionTimeoutMs)))
    await this.#retention?.over()
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  /** An audited epoch ends with its receipt, also when there is nothing else in it. */
  #appendReceipt(checkpoint: CheckpointId): void {
    const audit = this.#asides?.audit ?? null
    if (audit === null) return
    const open = this.#begin()
    if (open !== null) this.#appendAside(open, audit.receipt(checkpoint, this.#cut + 1))
  }

  /** The open transaction, closed to writes. Null: none, or one into which nothing was written. */
  #taken(): OpenTransaction | null {
    const open = this.#open
    this.#open = null
    if (open === null || open.records > 0) return open
    open.pooled.state = 'free'
    return null
  }

  /** Null: every id of the pool is prepared; a commit frees one (B3). */
  #begin(): OpenTransaction | null {
    if (this.#open !== null) return this.#open
    const pooled = this.#pool.find((p) => p.state === 'free')
    if (pooled === undefined) return null
    pooled.state = 'open'
    const { identity } = pooled
    const fresh = { lanes: new Map(), firstOffsets: {}, records: 0, unsent: 0 }
    const staging = this.#staged?.begin() ?? null
    this.#open = { pooled, identity, ...fresh, staging, sending: this.#sent, failure: null }
    return this.#open
  }

  async #later(write: () => Promise<void> | undefined): Promise<void> {
    while (this.#begin() === null) await this.#wakeUp()
    await write()
  }

  async #room(open: OpenTransaction): Promise<void> {
    while (open.unsent > UNSENT_BATCHES_MAX) await this.#wakeUp()
    await open.staging?.room()
    if (open.failure !== null) throw open.failure
  }

  async #wakeUp(): Promise<void> {
    this.#context.signal.throwIfAborted()
    await new Promise<void>((resolve) => this.#waiters.push(resolve))
    this.#context.signal.throwIfAborted()
  }

  #wakeAll(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  #partitionOf(key: Key | null, record: number): number {
    const count = this.#partitionCounts.get(this.#options.topic)!
    return key === null ? record % count : hashKey(key) % count
  }

  #flushAll(open: OpenTransaction): void {
    for (const lanes of open.lanes.values()) for (const lane of lanes) if (lane) this.#flush(open, lane)
  }

  #flush(open: OpenTransaction, lane: Lane): void {
    const { topic, partition, buffer: records, nextSequence: baseSequence } = lane
    if (records.length === 0) return
    lane.buffer = []
    lane.nextSequence += records.length
    open.unsent++
    open.staging?.append({ topic, partition, bytes: packr.pack(records) })
    const { id: transactionalId } = open.pooled
    // Behind the last batch of the transaction before, too: it may still be on its way, and nobody else keeps the order
    // of two producers.
    this.#sent = open.sending = open.sending.then(async () => {
      if (open.failure === null) {
        try {
          const request = { transactionalId, ...open.identity, topic, partition, baseSequence, records }
          const offset = await this.#log.append(request)
          open.firstOffsets[`${topic}-${partition}`] ??= String(offset)
        } catch (error) {
          open.failure = error
        }
      }
      open.unsent--
      this.#wakeAll()
    })
  }

  async #complete(open: OpenTransaction): Promise<void> {
    await open.sending
    if (open.failure !== null) throw open.failure
    const sequence = this.#sequence + 1
    const { id: transactionalId } = open.pooled
    const marked = this.#log.mark({ transactionalId, ...open.identity }, { group: this.#group, sequence })
    const [staged] = await Promise.all([open.staging?.finish(), marked])
    this.#sequence = sequence
    open.pooled.state = 'prepared'
    const { firstOffsets, records } = open
    this.#prepared.push({
      sequence,
      transactionalId,
      ...open.identity,
      firstOffsets,
      records,
      ...(staged && { staged }),
    })
  }

  /** The staged output of a lost transaction in one of its own, on an id just fenced. */
  async #heal(handle: PreparedHandle): Promise<void> {
    const producer = { transactionalId: this.#pool[0]!.id, ...this.#pool[0]!.identity }
    const sequences = new Map<string, number>()
    for await (const { topic, partition, bytes } of this.#staged!.read(handle.staged!)) {
      const records = packr.unpack(bytes) as LogRecord[]
      const place = `${topic}-${partition}`
      const baseSequence = sequences.get(place) ?? 0
      sequences.set(place, baseSequence + records.length)
      await this.#log.append({ ...producer, topic, partition, baseSequence, records })
    }
    await this.#commitMarker(handle.sequence)
  }

  /** Ends the transaction that is open on the first id, or one that holds nothing else. */
  async #commitMarker(sequence: number): Promise<void> {
    const pooled = this.#pool[0]!
    const producer = { transactionalId: pooled.id, ...pooled.identity }
    await this.#log.mark(producer, { group: this.#group, sequence })
    pooled.identity = await this.#log.end(producer, true)
  }

  /** False: refused. */
  async #tryCommit(handle: PreparedHandle): Promise<boolean> {
    try {
      await this.#log.end(handle, true)
      return true
    } catch (error) {
      if (isRefusal(error)) return false
      throw error
    }
  }

  async #control(handle: PreparedHandle): Promise<'commit' | 'abort' | 'none'> {
    const [place] = Object.entries(handle.firstOffsets)
    if (place === undefined) return 'none'
    const dash = place[0].lastIndexOf('-')
    return this.#log.outcome(
      handle.producerId,
      place[0].slice(0, dash),
      Number(place[0].slice(dash + 1)),
      Number(place[1]),
    )
  }

  async #marker(): Promise<number | null> {
    for (let i = 0; ; i++) {
      try {
        return await this.#log.marker(this.#group)
      } catch (error) {
        if (!(error instanceof WeirError) || error.code !== 'MARKER_UNSTABLE' || i >= MARKER_TRIES) throw error
        await this.#clock.sleep(MARKER_RETRY_MS, this.#context.signal)
      }
    }
  }
}

const bytesOf = (encoded: string | Uint8Array | null): Uint8Array | null =>
  typeof encoded === 'string' ? Buffer.from(encoded) : encoded
