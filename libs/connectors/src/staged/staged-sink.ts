/**
 * The sink of everything that has transactions of its own, or none at all: what it prepares is staged in the object store,
 * and the destination hears of it when its epoch is published. Exactly once where the destination writes rows and sequence
 * together (`dataflow/src/staged-recovery.ts` has the rules). No transaction is open while an epoch is, so there are no
 * locks held over failures, no limit of prepared transactions, and nothing that could expire.
 */
import {
  StagedRetention,
  encodeFailed,
  judgeStaged,
  poolGroup,
  type HandleProof,
  type PreparedHandle,
  type SinkAsides,
  type SinkState,
  type StagedOutput,
  type StagedWriter,
  type SubtaskContext,
  type TwoPhaseSink,
} from '@weir/dataflow'
import { WeirError, asWeirError, type CheckpointId, type Clock, type RecordBatch } from '@weir/model'
import type { Destination } from './destination.ts'
import { joinRows, splitRows } from './rows.ts'

/** Rows and bytes in one staged chunk: what the destination takes at once. */
const CHUNK_ROWS = 1_000
const CHUNK_BYTES = 1 << 20
/** How long a destination that is away is asked again, by one commit or recovery. */
const AWAY_MS = 60_000
const RETRY_MS = 100
const RETRY_MS_MAX = 5_000

interface OpenTransaction {
  readonly staging: StagedWriter
  rows: Uint8Array[]
  bytes: number
  records: number
}

export interface StagedSinkDeps {
  readonly context: SubtaskContext
  readonly clock: Clock
  readonly staged: StagedOutput
  readonly destination: Destination
  /** Null: nothing goes aside, and a record that cannot be encoded ends the attempt. */
  readonly asides: SinkAsides | null
}

export class StagedSink implements TwoPhaseSink {
  readonly #deps: StagedSinkDeps
  readonly #group: string
  readonly #retention: StagedRetention
  #open: OpenTransaction | null = null
  #prepared: readonly PreparedHandle[] = []
  #sequence = 0
  #closed = false
  #preparing: Promise<unknown> = Promise.resolve()
  /** One call at a time: the destination has one connection. */
  #applying: Promise<unknown> = Promise.resolve()

  constructor(deps: StagedSinkDeps) {
    this.#deps = deps
    const { jobId, operatorUid, subtask } = deps.context
    this.#group = poolGroup(jobId, operatorUid, subtask)
    this.#retention = new StagedRetention(deps.staged)
  }

  get pending(): { open: boolean; prepared: number } {
    return { open: this.#open !== null, prepared: this.#prepared.length }
  }

  /** Throws as `judgeStaged` and `Destination.take`; `STAGED_OUTPUT_MISSING`, `STAGED_OUTPUT_CORRUPT` (invalid). */
  async recover(restored: SinkState | null): Promise<readonly HandleProof[]> {
    const { destination } = this.#deps
    const marker = await this.#patiently(() => destination.take())
    const of = { destination: destination.name, group: this.#group }
    const { proofs, due, initialise } =
      marker === 'unmarked'
        ? { proofs: [], due: restored?.handles ?? [], initialise: null }
        : judgeStaged(of, restored, marker)
    if (initialise !== null) await this.#patiently(() => destination.initialise(initialise))
    for (const handle of due) await this.#apply(handle)
    this.#sequence = restored?.sequence ?? 0
    return [...proofs, ...due.map(({ sequence }) => ({ sequence, outcome: 'committed', by: 'end-txn' }) as const)]
  }

  write(batch: RecordBatch): Promise<void> | undefined {
    const open = (this.#open ??= { staging: this.#deps.staged.begin(), rows: [], bytes: 0, records: 0 })
    for (let i = 0; i < batch.values.length; i++) {
      const row = this.#encode(batch, i)
      if (row === null) continue
      open.records++
      open.bytes += row.byteLength
      if (open.rows.push(row) >= CHUNK_ROWS || open.bytes >= CHUNK_BYTES) this.#stage(open)
    }
    return open.staging.room()
  }

  /** The planner lets dead letters and receipts go to topics only, by a sink that writes there. */
  writeAside(): never {
    throw new WeirError({ code: 'INTERNAL', kind: 'restart' }, `internal: ${this.#group} has no topics for asides`)
  }

  /** Null: it cannot be written and was refused. */
  #encode(batch: RecordBatch, i: number): Uint8Array | null {
    const { destination, asides, context } = this.#deps
    try {
      return destination.encode(batch, i)
    } catch (error) {
      const failed = encodeFailed(error, context.operatorUid, batch, i)
      if (asides === null) throw failed
      asides.refuse(batch, i, failed)
      return null
    }
  }

  #stage(open: OpenTransaction): void {
    if (open.rows.length === 0) return
    open.staging.append({ topic: '', partition: 0, bytes: joinRows(open.rows) })
    open.rows = []
    open.bytes = 0
  }

  prepare(_checkpoint: CheckpointId): Promise<SinkState> {
    const open = this.#open
    this.#open = null
    if (open !== null) this.#stage(open)
    const turn = this.#preparing.then(async (): Promise<SinkState> => {
      if (open !== null && open.records > 0) await this.#complete(open)
      return { sequence: this.#sequence, handles: this.#prepared }
    })
    this.#preparing = turn.catch(() => undefined)
    return turn
  }

  async #complete({ staging, records }: OpenTransaction): Promise<void> {
    const staged = await staging.finish()
    const { generation, attempt } = this.#deps.context.attempt
    this.#sequence++
    // Who prepared it stands where a broker's producer would: no two attempts have one name for different output.
    const name = { producerId: String(generation), producerEpoch: attempt, transactionalId: `${this.#group}.0` }
    const handle = { sequence: this.#sequence, ...name, firstOffsets: {}, records, staged }
    this.#prepared = [...this.#prepared, handle]
  }

  async commit(upTo: number): Promise<void> {
    if (upTo > this.#sequence) {
      throw new WeirError(
        { code: 'SEQUENCE_NOT_PREPARED', kind: 'restart', upTo, prepared: this.#sequence },
        `told to commit transaction ${upTo} of ${this.#group}, but only ${this.#sequence} are prepared: the command is not for this attempt`,
      )
    }
    this.#retention.commanded()
    const turn = this.#applying.then(async () => {
      for (let handle = this.#prepared[0]; handle && handle.sequence <= upTo; handle = this.#prepared[0]) {
        await this.#apply(handle)
        this.#prepared = this.#prepared.slice(1)
        this.#retention.ended(handle)
      }
    })
    this.#applying = turn.catch(() => undefined)
    return turn
  }

  async close(mode: 'abort' | 'leave'): Promise<void> {
    this.#open = null
    this.#closed = true
    await this.#deps.destination.close()
    if (mode === 'leave') return
    this.#prepared = []
    await this.#preparing // what it is storing is swept too
    await this.#retention.over()
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  #apply(handle: PreparedHandle): Promise<void> {
    const { destination, staged } = this.#deps
    const rows = async function* (): AsyncGenerator<readonly Buffer[]> {
      for await (const { bytes } of staged.read(handle.staged!)) yield splitRows(bytes)
    }
    return this.#patiently(() => destination.apply({ handle, rows }))
  }

  /** Again while the destination is away, within `AWAY_MS`; then the attempt is over, and the next one begins with it. */
  async #patiently<T>(call: () => Promise<T>): Promise<T> {
    const { clock, context, destination } = this.#deps
    const deadline = clock.monotonic() + AWAY_MS
    for (let pause = RETRY_MS; ; pause = Math.min(2 * pause, RETRY_MS_MAX)) {
      try {
        return await call()
      } catch (thrown) {
        const error = asWeirError(thrown, 'DESTINATION_FAILED')
        if (error.kind !== 'retry' || this.#closed) throw error
        context.signal.throwIfAborted()
        if (clock.monotonic() + pause > deadline) {
          throw new WeirError(
            {
              ...error.facts,
              code: 'DESTINATION_AWAY',
              kind: 'restart',
              destination: destination.name,
              last: error.code,
            },
            `${destination.name} has not answered for ${AWAY_MS / 1_000} s; last: ${error.message}. Nothing is lost: what is published is written as soon as it answers.`,
            { cause: error },
          )
        }
        await clock.sleep(pause, context.signal)
        if (this.#closed) throw error
      }
    }
  }
}
