import { WeirError, type RecordHeader } from '@weir/model'

/** The embedded transactional log as its users see it: in the same process or over gRPC. Semantics of Kafka's transactions v2. */
export interface ProducerIdentity {
  readonly producerId: string
  readonly producerEpoch: number
}
export interface LogRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** ms since 1970. */
  readonly timestamp: number
  readonly headers?: readonly RecordHeader[] | undefined
}
export interface ReadRecord extends LogRecord {
  readonly offset: number
  /** Of its transaction, in every topic; of no other one. */
  readonly transaction: string
}
export interface Marker {
  readonly group: string
  readonly sequence: number
}

export interface AppendRequest extends ProducerIdentity {
  readonly transactionalId: string
  readonly topic: string
  readonly partition: number
  /** Per partition and transaction, from 0: a repeated one is acknowledged and not written twice. */
  readonly baseSequence: number
  readonly records: readonly LogRecord[]
}

export interface OpenTransactionInfo extends ProducerIdentity {
  readonly transactionalId: string
  readonly timeoutMs: number
  /** `topic-partition` */
  readonly partitions: readonly string[]
}

/** Errors are WeirErrors; `PRODUCER_FENCED` (fenced) for an epoch that is not current. Which are refusals: `isRefusal`. */
export interface TransactionalLog {
  /** False when it was there. */
  createTopic(topic: string, partitions: number): Promise<boolean>
  /** Throws `UNKNOWN_TOPIC` (invalid). Offsets per partition: next to be written, last stable. */
  describe(topic: string): Promise<{ endOffsets: number[]; stableOffsets: number[]; openTransactions: number }>
  /** Aborts what is open under the id and fences every holder of an older epoch. */
  initProducer(transactionalId: string, timeoutMs: number): Promise<ProducerIdentity>
  /** Opens a transaction with the first batch. @returns the offset of its first record. */
  append(request: AppendRequest): Promise<number>
  /** The marker joins the open transaction: visible with its commit. */
  mark(producer: ProducerIdentity & { readonly transactionalId: string }, marker: Marker): Promise<void>
  /** On disk when it resolves. A repeated commit is a success again; `TRANSACTION_ABORTED` (restart) after an abort. */
  end(producer: ProducerIdentity & { readonly transactionalId: string }, commit: boolean): Promise<ProducerIdentity>
  /** Every open transaction whose id begins with `prefix`. */
  transactions(prefix: string): Promise<readonly OpenTransactionInfo[]>
  /** First control record of the producer id in the partition at or after the offset. */
  outcome(
    producerId: string,
    topic: string,
    partition: number,
    fromOffset: number,
  ): Promise<'commit' | 'abort' | 'none'>
  /** Null: none. `MARKER_UNSTABLE` (retry) while a transaction that holds one is open. */
  marker(group: string): Promise<number | null>
  /** Waits up to `maxWaitMs` for a first record. */
  read(request: {
    readonly topic: string
    readonly partition: number
    readonly offset: number
    readonly maxRecords: number
    readonly readCommitted: boolean
    /** Of committed records those too that lie behind an open transaction. Default: no. */
    readonly beyondOpen?: boolean
    readonly maxWaitMs: number
  }): Promise<{ readonly records: readonly ReadRecord[]; readonly nextOffset: number }>
}

const REFUSALS: ReadonlySet<string> = new Set([
  'PRODUCER_FENCED',
  'NO_TRANSACTION',
  'TRANSACTION_COMMITTED',
  'TRANSACTION_ABORTED',
])

/** The log has answered, and it will never do it. Any other error decides nothing: it may have been done (PROTOCOL C8). */
export const isRefusal = (error: unknown): boolean => error instanceof WeirError && REFUSALS.has(error.code)
