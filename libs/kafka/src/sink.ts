/**
 * The two-phase sink. Records go into the open transaction (`sink-writer.ts`) of one transactional id (a lane, `transaction.ts`); at
 * the barrier that transaction is completed, marked and put aside, and the next lane of the pool (`lane-pool.ts`) takes over. Every
 * transaction has a producer epoch of its own, so nothing delayed can leak into the next one. With `staged`, every batch also goes to
 * the object store: what the broker throws away after the epoch was published is written again from there.
 */
import {
  EMPTY_SINK_STATE,
  StagedRetention,
  recoverSink,
  type HandleProof,
  type PooledSinkOptions,
  type PreparedHandle,
  type SinkAsides,
  type SinkState,
  type StagedOutput,
  type SubtaskContext,
  type TwoPhaseSink,
} from '@weir/dataflow'
import { WeirError, whileAwake, type AsideRecord, type CheckpointId, type Clock, type RecordBatch } from '@weir/model'
import type { KafkaConnections } from './connections.ts'
import { ControlRecords } from './control-records.ts'
import { InFlight } from './in-flight.ts'
import { LanePool } from './lane-pool.ts'
import { SinkWriter, type OpenTransaction } from './sink-writer.ts'
import type { Marker } from './transaction-state.ts'
import { offsetCommit, offsetFetch } from './wire/apis.ts'
import { refused } from './wire/errors.ts'
import { StoredBatch } from './wire/records.ts'

/** How long `close('abort')` may take, ms. */
const ABORT_BUDGET_MS = 10_000

export interface KafkaSinkDeps {
  readonly context: SubtaskContext
  readonly kafka: KafkaConnections
  readonly clock: Clock
  /** Null: a lost transaction stops the job (`onLost: 'fail'`). */
  readonly staged: StagedOutput | null
}

export class KafkaSink implements TwoPhaseSink {
  readonly #options: PooledSinkOptions
  readonly #context: SubtaskContext
  readonly #kafka: KafkaConnections
  readonly #clock: Clock
  readonly #staged: StagedOutput | null
  readonly #retention: StagedRetention | null
  readonly #group: string
  readonly #audit: SinkAsides['audit']
  readonly #inFlight: InFlight
  readonly #pool: LanePool
  readonly #writer: SinkWriter
  #prepared: PreparedHandle[] = []
  /** Ends prepares in the order of their barriers. */
  #preparing: Promise<unknown> = Promise.resolve()
  #sequence = 0
  /** Sequence of the newest transaction that was closed to writes. */
  #cut = 0

  constructor(options: PooledSinkOptions, deps: KafkaSinkDeps) {
    const { context, kafka, clock, staged } = deps
    const { jobId, operatorUid, subtask, signal } = context
    const { poolSize, transactionTimeoutMs, asides = null } = options
    this.#options = options
    this.#context = context
    this.#kafka = kafka
    this.#clock = clock
    this.#staged = staged
    this.#retention = staged && new StagedRetention(staged)
    this.#group = `weir.${jobId}.${operatorUid}.${subtask}`
    this.#audit = asides?.audit ?? null
    const inFlight = new InFlight(signal)
    this.#inFlight = inFlight
    const released = (bytes: number): void => inFlight.released(bytes)
    this.#pool = new LanePool(
      { group: this.#group, poolSize, transactionTimeoutMs },
      { kafka, clock, signal, released },
    )
    this.#writer = new SinkWriter(
      { ...options, uid: operatorUid, group: this.#group, asides },
      { kafka, clock, pool: this.#pool, inFlight, staged, signal },
    )
  }

  get pending(): { open: boolean; prepared: number } {
    return { open: this.#writer.isOpen, prepared: this.#pool.prepared }
  }

  // ---- recovery -----------------------------------------------------------------------------------------------------

  recover(restored: SinkState | null): Promise<readonly HandleProof[]> {
    return whileAwake(this.#clock, (awake) => this.#recover(restored, awake))
  }

  async #recover(restored: SinkState | null, awake: () => void): Promise<readonly HandleProof[]> {
    const { topic } = this.#options
    await this.#writer.prepare()
    const protocol = await this.#kafka.transactionProtocol()
    const controls = new ControlRecords(this.#kafka, this.#signal)
    const onLost = this.#staged === null ? 'fail' : 'heal'
    const proofs = await recoverSink({ topic, group: this.#group, onLost }, restored, {
      end: (handle) => this.#pool.endRestored(protocol, handle),
      control: (handle) => controls.of(handle),
      fence: (handleIds) => {
        awake()
        return this.#pool.fence(protocol, handleIds)
      },
      marker: () => this.#readMarker(),
      heal: (handle) => this.#heal(handle),
      initialiseMarker: (sequence) => this.#initialiseMarker(sequence),
    })
    this.#sequence = this.#cut = (restored ?? EMPTY_SINK_STATE).sequence
    return proofs
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
    const lane = this.#pool.first
    const known = new Set([this.#options.topic])
    for await (const { topic, partition, bytes } of this.#staged!.read(handle.staged!)) {
      if (!known.has(topic)) await this.#kafka.partitions(topic) // leaders are known only of topics that were asked for
      known.add(topic)
      this.#inFlight.sent(bytes.length)
      lane.append({ topic, partition }, new StoredBatch(bytes))
      await this.#writer.roomAgain()
    }
    await lane.flush()
    await lane.mark(this.#marker(handle.sequence, null, lane.transactionalId))
    await lane.commit()
  }

  // ---- writing ------------------------------------------------------------------------------------------------------

  write(batch: RecordBatch): Promise<void> | undefined {
    return this.#writer.write(batch)
  }

  writeAside(records: readonly AsideRecord[]): Promise<void> | undefined {
    return this.#writer.writeAside(records)
  }

  // ---- two phases ---------------------------------------------------------------------------------------------------

  prepare(checkpoint: CheckpointId): Promise<SinkState> {
    const audit = this.#audit
    // An audited epoch ends with its receipt, also when there is nothing else in it.
    if (audit !== null) this.#writer.appendLast(() => audit.receipt(checkpoint, this.#cut + 1))
    const open = this.#writer.taken()
    if (open !== null) this.#cut++
    const completed = open && this.#completed(open, checkpoint, this.#cut)
    completed?.catch(() => {}) // awaited in its turn
    const turn = this.#preparing.then(async (): Promise<SinkState> => {
      if (open !== null) this.#isPrepared(open, await completed!)
      return { sequence: this.#sequence, handles: [...this.#prepared] }
    })
    this.#preparing = turn.catch(() => {})
    return turn
  }

  /** In the log, staged, and the marker in the transaction: it is a handle. */
  async #completed(open: OpenTransaction, checkpoint: CheckpointId, sequence: number): Promise<PreparedHandle> {
    const { batches, staging, pooled } = open
    const { lane } = pooled
    const { transactionalId } = lane
    const flushed = this.#writer.flushed(open)
    const marked = lane.mark(this.#marker(sequence, checkpoint, transactionalId))
    const staged = flushed.then(() => staging?.finish())
    const [firstOffsets, ref] = await Promise.all([flushed, staged, marked])
    const { producerId, producerEpoch } = lane.identity
    return {
      ...{ sequence, transactionalId, producerId: String(producerId), producerEpoch, firstOffsets },
      records: batches.records,
      ...(ref && { staged: ref }),
    }
  }

  #isPrepared({ pooled }: OpenTransaction, handle: PreparedHandle): void {
    this.#sequence = handle.sequence
    pooled.state = 'prepared'
    this.#prepared.push(handle)
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
      const pooled = this.#pool.of(handle.transactionalId)
      await pooled.lane.commit()
      this.#prepared.shift()
      this.#retention?.ended(handle)
      pooled.state = 'free'
      this.#inFlight.wakeAll()
    }
  }

  async close(mode: 'abort' | 'leave'): Promise<void> {
    this.#writer.close()
    if (mode === 'leave') return
    await this.#pool.abort(AbortSignal.timeout(ABORT_BUDGET_MS))
    await this.#retention?.over()
  }

  get #signal(): AbortSignal {
    return this.#context.signal
  }
}
