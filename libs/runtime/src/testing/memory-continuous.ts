/** The continuous scope without a server: transactions of outputs and offsets in memory, over the real committer. */
import {
  ContinuousCommitter,
  type CommittedOffset,
  type ContinuousSink,
  type SplitBegin,
  type SplitCommit,
  type SplitProgress,
  type SubtaskContext,
  type TransactionListener,
} from '@weir/dataflow'
import {
  WeirError,
  operatorUid,
  type AsideRecord,
  type CheckpointId,
  type Clock,
  type Key,
  type OperatorUid,
  type RecordBatch,
} from '@weir/model'

export interface MemoryOutput {
  readonly sink: OperatorUid
  readonly key: Key | null
  readonly value: unknown
}

/** What outlives the attempts, as a broker does. */
export class MemoryBroker {
  readonly outputs: MemoryOutput[] = []
  readonly offsets = new Map<number, CommittedOffset>()
  fence = 0
  /** Awaited inside every commit, before it takes effect: tests hold it, or make it fail. */
  ending: (sequence: number) => Promise<void> = () => Promise.resolve()
  /** Awaited when it has taken effect: a failure here is an answer that never came. */
  answering: (sequence: number) => Promise<void> = () => Promise.resolve()
}

export class MemoryContinuousSink implements ContinuousSink {
  readonly group = 'group'
  readonly #broker: MemoryBroker
  readonly #committer: ContinuousCommitter
  readonly #open = new Map<number, MemoryOutput[]>()
  #fence = 0

  constructor(broker: MemoryBroker, context: SubtaskContext, clock: Clock, intervalMs: number) {
    this.#broker = broker
    const { jobId, attempt } = context
    this.#committer = new ContinuousCommitter(
      { jobId, attempt, intervalMs },
      { clock, commit: (sequence, offsets) => this.#commit(sequence, offsets) },
    )
  }

  recover(): Promise<ReadonlyMap<number, CommittedOffset>> {
    this.#fence = ++this.#broker.fence
    return Promise.resolve(new Map(this.#broker.offsets))
  }

  begin(splits: ReadonlyMap<number, SplitBegin>): Promise<void> {
    return this.#committer.begin(splits)
  }

  write(sink: OperatorUid, { keys, values }: RecordBatch): undefined {
    this.#keep(values.map((value, i) => ({ sink, key: keys?.[i] ?? null, value })))
  }

  writeAside(records: readonly AsideRecord[]): undefined {
    this.#keep(records.map((value) => ({ sink: operatorUid('aside'), key: null, value })))
  }

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

  async close(mode: 'abort' | 'leave'): Promise<void> {
    if (mode === 'abort') await this.#committer.drain()
    this.#committer.close()
  }

  #keep(outputs: readonly MemoryOutput[]): void {
    const { sequence } = this.#committer
    this.#open.set(sequence, [...(this.#open.get(sequence) ?? []), ...outputs])
    this.#committer.wrote()
  }

  async #commit(sequence: number, offsets: readonly SplitCommit[]): Promise<void> {
    await this.#broker.ending(sequence)
    if (this.#fence !== this.#broker.fence) {
      throw new WeirError({ code: 'PRODUCER_FENCED', kind: 'fenced' }, 'a newer attempt has taken over')
    }
    this.#broker.outputs.push(...(this.#open.get(sequence) ?? []))
    this.#open.delete(sequence)
    for (const { split, offset, metadata } of offsets) this.#broker.offsets.set(split, { offset, metadata })
    await this.#broker.answering(sequence)
  }
}
