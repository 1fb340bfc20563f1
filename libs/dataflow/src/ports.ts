/**
 * What the dataflow room asks of the world. Adapters implement these; the task-manager joins the two.
 *
 * One slice of a job (subtask i) owns one instance of every source, sink and state store in it. All calls to one
 * instance come from one event loop; a call never overlaps another of the same instance unless its text says so.
 */
import type { RecordEncoders, SinkNode } from './graph.ts'
import type { SplitResume } from './continuous-resume.ts'
import type { SegmentState } from './state-schema.ts'
import type {
  AsideRecord,
  AttemptId,
  CheckpointId,
  JobId,
  Key,
  KeyGroupRange,
  OperatorUid,
  RecordBatch,
  RecordHeader,
  Subtask,
  TopicRecord,
  WeirError,
} from '@weir/model'
import type { OffsetGap } from './offset-range.ts'
import type { KnownPoison } from './poison.ts'
import type { RestoreContext } from './resumable.ts'

/** Everything an adapter may know of the place it runs in. */
export interface SubtaskContext {
  readonly jobId: JobId
  readonly attempt: AttemptId
  readonly operatorUid: OperatorUid
  readonly subtask: Subtask
  readonly parallelism: number
  readonly maxParallelism: number
  /** Aborted when the attempt ends: every wait inside the adapter must end with it. */
  readonly signal: AbortSignal
}

// ---- sources --------------------------------------------------------------------------------------------------------

/**
 * Records as they lie in a fetched buffer: nothing is copied or decoded until the chain looks at it.
 * All arrays have `count` used entries. `valueStart[i] = -1` is a null value, `keyStart[i] = -1` a null key.
 */
export interface RawRecords {
  readonly buffer: Buffer
  readonly count: number
  readonly keyStart: Int32Array
  readonly keyEnd: Int32Array
  readonly valueStart: Int32Array
  readonly valueEnd: Int32Array
  /** ms since 1970, from the log. */
  readonly timestamps: Float64Array
  readonly offsets: Float64Array
  /** Headers of a record; absent where there are none. A function of the arrays, so that views may share it. */
  readonly headers?: (raw: RawRecords, index: number) => readonly RecordHeader[]
}

/** A bounded run of records of one split (Kafka: one partition), in order. */
export type SourceBatch = {
  /** Index of the split in the topic; watermarks are kept per split. */
  readonly split: number
} & (
  | { readonly kind: 'raw'; readonly raw: RawRecords }
  /** For sources that make objects themselves: parallel arrays. */
  | { readonly kind: 'values'; readonly values: unknown[]; readonly timestamps: number[]; readonly offsets: number[] }
)

export type SourcePoll =
  | SourceBatch
  /** Nothing there now. The reader has already waited up to its own bound (≤ 100 ms). */
  | 'idle'
  /** Bounded input: this split has no more records; its watermark no longer holds others back. */
  | { readonly kind: 'split-end'; readonly split: number }
  /** Bounded input: every split of this subtask is exhausted. Polled again, it says so again. */
  | 'end'

/**
 * JSON; what a restored reader needs to go on at exactly the next record. For Kafka: offsets per partition. A map by split,
 * perhaps inside of others: behind a rescale a reader is given those of all splits and takes what it owns.
 */
export type SourceState = Readonly<Record<string, unknown>>

/** A replayable source. Its position is state of the job, never an early commit at the server. */
export interface SourceReader {
  /**
   * Connects and positions. `restored` null = first start: take the configured starting point.
   * Throws WeirError `invalid` for what no retry can mend (unknown topic: `UNKNOWN_TOPIC`; a position outside of its log:
   * `OFFSET_OUT_OF_RANGE`).
   * @param context of the checkpoint the position is from; null: it is not from one.
   * @returns the splits this subtask owns; a subtask may own none.
   */
  open(restored: SourceState | null, context?: RestoreContext | null): Promise<readonly number[]>
  /** Called once, before `open`. Told of every move over a gap, also of those in the restored position (`OffsetPolicy`). */
  onGap?(call: (gap: OffsetGap) => void): void
  /** Of the log it reads, where logs have ids: one that is made again under the same name has another. Asked once it is open. */
  logId?(): Promise<string | null>
  /** At most `maxRecords` records of one split, none of `held`. Takes turns between splits. */
  poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll>
  /** A barrier waits for the poll that is under way: one that has nothing to hand out ends with `idle`. Absent: it soon would anyway. */
  interrupt?(): void
  /**
   * The position just behind the last record handed out by `poll`. Synchronous: it is part of the barrier.
   * @param from splits whose records from this offset on count as not handed out
   */
  snapshot(from?: ReadonlyMap<number, number>): SourceState
  /**
   * Records as they lie in the topic, any split of it, for the given offsets in ascending order; null where one is not
   * there any more. Beside `poll`. Absent: records cannot be read again.
   */
  originals?(split: number, offsets: readonly number[]): Promise<readonly (TopicRecord | null)[]>
  /** By split: records that readers may see and that `poll` has not handed out; of those it knows it of. Absent: of none. */
  lags?(): ReadonlyMap<number, number>
  /** Told once per final epoch with the snapshot in it: publish offsets as information, if at all. Never throws. */
  committed?(state: SourceState): void
  close(): Promise<void>
}

// ---- sinks ----------------------------------------------------------------------------------------------------------

/**
 * A transaction that is complete at the server and waits for its decision (PROTOCOL A2, A10).
 * Opaque to the engine but for `sequence`; JSON; stored in the manifest.
 */
export interface PreparedHandle {
  /** Grows by one per prepared transaction of this sink subtask, for the life of the job id. From 1. */
  readonly sequence: number
  readonly transactionalId: string
  /** Decimal int64. */
  readonly producerId: string
  readonly producerEpoch: number
  /** `topic-partition` → decimal offset of the first batch of this transaction in that partition. */
  readonly firstOffsets: Readonly<Record<string, string>>
  /** Records in it, those for other topics too: for people and receipts. */
  readonly records: number
  /** Everything in it, once more, in the object store: there with `onLost: 'heal'` (PROTOCOL A16). */
  readonly staged?: StagedRef
}

/** JSON; a sink's part of the snapshot. */
export interface SinkState {
  /** The highest sequence ever prepared by this sink subtask. */
  readonly sequence: number
  /** Prepared and not known to be committed, in sequence order. */
  readonly handles: readonly PreparedHandle[]
  /** Hash of the newest receipt; audited jobs only, put in by the slice. */
  readonly receipt?: string
}

export const EMPTY_SINK_STATE: SinkState = { sequence: 0, handles: [] }

/** What became of a restored handle, and how that is known. */
export interface HandleProof {
  readonly sequence: number
  readonly outcome: 'committed'
  /**
   * `end-txn`: the server said yes; `control-record`: read from the log; `marker`: the log is gone, the marker proves it;
   * `heal`: it was lost and its staged output is committed now; `healed-before`: by an earlier recovery, as the marker proves.
   */
  readonly by: 'end-txn' | 'control-record' | 'marker' | 'heal' | 'healed-before'
}

// ---- staged output --------------------------------------------------------------------------------------------------

/** Where a copy of a transaction's output lies. JSON; in the order it was written. */
export interface StagedRef {
  readonly parts: readonly {
    readonly key: string
    readonly bytes: number
    /** Hex SHA-256 of the stored bytes: verified when read. */
    readonly sha256: string
  }[]
}

/** A run of output of one partition, in the sink's own bytes. */
export interface StagedChunk {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

/** Copies of what one sink subtask prepares, durable before the handle is acknowledged. */
export interface StagedOutput {
  begin(): StagedWriter
  /**
   * In the order of writing. Throws `STAGED_OUTPUT_MISSING`, `STAGED_OUTPUT_CORRUPT` (invalid), before the first chunk
   * of a part that is so.
   */
  read(ref: StagedRef): AsyncIterable<StagedChunk>
  delete(ref: StagedRef): Promise<void>
  /** Deletes what attempts before this one have staged for the subtask, or what this one has. */
  sweep(of: 'earlier-attempts' | 'this-attempt'): Promise<void>
}

export interface StagedWriter {
  /** Takes the bytes; they must not change afterwards. */
  append(chunk: StagedChunk): void
  /** A promise while too much waits to be stored: wait for it before the next `append`. */
  room(): Promise<void> | undefined
  /** Resolves when everything is durable. An object store that is away is waited for until the attempt ends. */
  finish(): Promise<StagedRef>
}

/** Takes one record out of the flow, with the reason. Where nobody takes such records it throws the error. */
export type Refuse = (batch: RecordBatch, index: number, error: WeirError) => void

/** What a sink may write beside its own topic, and what becomes of records it cannot write. */
export interface SinkAsides {
  /** Topics of `writeAside`; `recover` throws `UNKNOWN_TOPIC` where one is missing. */
  readonly topics: readonly string[]
  /**
   * Told of every record that is found unwritable (encoding, size) before it is sent, inside `write` or before the
   * promise of that `write` resolves.
   */
  readonly refuse: Refuse
  /**
   * What a broker has refused before. A sink takes poisoned records aside unsent, sends suspects each in a batch of its own,
   * and answers the refusal of a batch with `RECORDS_REFUSED` (restart), naming its records. Null: without dead letters.
   */
  readonly known: KnownPoison | null
  /** An audited job's receipts; null: none are written. */
  readonly audit: SinkAudit | null
}

/** Of a two-phase sink of a log, which writes under a pool of transactional ids. */
export interface PooledSinkOptions extends RecordEncoders {
  readonly topic: string
  /** Transactional ids in the pool: tolerated aborts + 1, at least 2 (PROTOCOL B3). */
  readonly poolSize: number
  readonly transactionTimeoutMs: number
  /** Null: nothing goes aside, and a record that cannot be written ends the attempt. */
  readonly asides?: SinkAsides | null
}

/**
 * The receipts of one sink subtask (`receipt.ts`). The sink tells of every record as it joins the open transaction, in the
 * order it will have in its partition, and ends each transaction with its receipt. An epoch without output has one too,
 * unless the pool is exhausted: then the next one speaks for both.
 */
export interface SinkAudit {
  add(topic: string, partition: number, record: TopicRecord): void
  /** At the barrier, synchronously, once per transaction. The answer is not told of by `add`. */
  receipt(checkpoint: CheckpointId, sequence: number): AsideRecord
}

/** Records for a sink in the sink's own order: parallel arrays, already serialised by the sink's descriptor. */
export interface TwoPhaseSink {
  /**
   * Recovery, PROTOCOL A11, before anything else and before any source of the attempt starts: end the stored handles
   * in order, stop at the first refusal → fence every transactional id of the pool, always → prove the outcome of each
   * handle without a success → read the marker → heal what is lost from its staged output, in order. Safe to repeat, also
   * by another process.
   *
   * Throws WeirError:
   * - `TRANSACTION_LOST` (invalid): the log proves an abort, and it is not to be healed; facts name sequence, id, first
   *   offsets, records
   * - `TRANSACTION_UNKNOWN` (invalid): neither log nor marker proves anything
   * - `EPOCH_REGRESSION` (invalid): the marker stands above `restored.sequence`: the metadata is older than the output
   * - `PRODUCER_FENCED` (fenced): another recovery is at work on the same ids
   * - `UNKNOWN_TOPIC`, `TRANSACTIONS_UNSAFE` (invalid)
   */
  recover(restored: SinkState | null): Promise<readonly HandleProof[]>
  /**
   * Adds a batch to the open transaction; begins one where there is none. Returns a promise only when the caller must
   * wait for room (bounded in-flight bytes); it may ignore nothing: a rejected promise ends the attempt.
   */
  write(batch: RecordBatch): Promise<void> | undefined
  /**
   * Adds records for other topics (`SinkAsides.topics`) to the same transaction: begun, staged, healed and committed with
   * it as `write`'s are. Answers as `write` does.
   */
  writeAside(records: readonly AsideRecord[]): Promise<void> | undefined
  /**
   * The barrier. Synchronously closes the open transaction to further writes: what is written after this call belongs
   * to the next one, under another id of the pool (waits for a free id happen inside the next `write`, PROTOCOL B3).
   * Resolves when everything written before is in the log and the marker with the sequence is in the transaction.
   * The state lists *all* handles prepared and not yet committed, also those of epochs that were given up (PROTOCOL A2).
   * A transaction without records makes no handle.
   */
  prepare(checkpoint: CheckpointId): Promise<SinkState>
  /**
   * Ends every prepared handle with sequence ≤ `upTo`, in order, stopping at the first refusal (PROTOCOL A10).
   * May run beside `write` and `prepare`. `upTo` must have been prepared (PROTOCOL C6): else `SEQUENCE_NOT_PREPARED`.
   * A refusal rejects with `COMMIT_REFUSED` (restart): recovery proves the outcome.
   */
  commit(upTo: number): Promise<void>
  /** Nothing prepared, nothing open: used by tests and by the end of a job. */
  readonly pending: { readonly open: boolean; readonly prepared: number }
  /**
   * Ends the instance. `abort`: abort what is open or prepared, so that nothing is left behind (cancel, failed job);
   * `leave`: touch nothing at the server (attempt replaced, process drains): recovery will resolve it.
   */
  close(mode: 'abort' | 'leave'): Promise<void>
}

// ---- the continuous scope -------------------------------------------------------------------------------------------

/** Where a source stands in one split that is a log. Offsets are decimal; `end` null = unbounded. */
export interface LogPosition {
  /** Of the next record. */
  readonly offset: string
  readonly end: string | null
}

/** The state of a source over logs, by split: what a source in the continuous scope must have. */
export interface LogSourceState {
  /** Which log the positions are of, as the source tells it; absent: unknown. */
  readonly log?: string
  readonly partitions: Readonly<Record<string, LogPosition>>
  /** Taken over from another job: nothing can be committed under this one's id yet, and output begins here. */
  readonly takenOver?: boolean
}

export interface CommittedOffset {
  readonly offset: number
  readonly metadata: string | null
}

/** How far a split has been read and its outputs written. */
export interface SplitProgress {
  readonly split: number
  /** Of the next record. */
  readonly offset: number
  /** Bounded input: the split has ended, and what its end puts out is written. */
  readonly ended: boolean
}

/** One of the sinks that share a ContinuousSink. */
export interface ChainedSink {
  readonly node: SinkNode
  readonly asides: SinkAsides | null
}

/** What a split goes on from. */
export interface SplitBegin {
  /** Where the job began to read it. */
  readonly start: LogPosition
  readonly resume: SplitResume
}

export interface TransactionListener {
  sealed(sequence: number): void
  committed(sequence: number): void
}

/**
 * Every sink of one source's chain in one slice, and the offsets of that source: they share transactions, which follow
 * each other at the job's commit interval (`continuous-commit.ts` has the rules). Nothing in it is prepared or restored:
 * the truth about it is the committed offset.
 */
export interface ContinuousSink {
  /** The consumer group that holds the offsets. */
  readonly group: string
  /**
   * Before any source starts: fence both ids, then read the group stably. What was open is aborted, what was on its way
   * has ended or is aborted; the answer is final. Safe to repeat. Throws `PRODUCER_FENCED`, `UNKNOWN_TOPIC`,
   * `TRANSACTIONS_V2_REQUIRED` as `TwoPhaseSink.recover`.
   * @returns per split of this subtask that has a committed offset.
   */
  recover(): Promise<ReadonlyMap<number, CommittedOffset>>
  /**
   * After `recover`, before the first write. Splits that begin are committed at their start, in a transaction (a fenced
   * producer cannot set one back): from then on a missing offset is a fact (PROTOCOL A14).
   */
  begin(splits: ReadonlyMap<number, SplitBegin>): Promise<void>
  /** As `TwoPhaseSink.write`. Nothing is committed before an `advance` says where it came from. */
  write(sink: OperatorUid, batch: RecordBatch): Promise<void> | undefined
  /** As `TwoPhaseSink.writeAside`. */
  writeAside(records: readonly AsideRecord[]): Promise<void> | undefined
  /** Everything written so far is the output of everything read so far. What is committed already is ignored. */
  advance(progress: readonly SplitProgress[]): void
  /** Resolves when everything up to `progress` is committed (PROTOCOL A17). */
  barrier(checkpoint: CheckpointId, progress: readonly SplitProgress[]): Promise<void>
  /** Called once, when a transaction was refused or its outcome is unknown: the attempt is over (PROTOCOL A19). */
  onFailure(call: (error: WeirError) => void): void
  /** One listener, for metrics: what is written so far belongs to transaction `sequence`; it is committed. Never throws. */
  onTransaction?(listener: TransactionListener): void
  /** `abort`: commit what is whole (the job ends: nothing processed is thrown away), then fence; `leave`: touch nothing. */
  close(mode: 'abort' | 'leave'): Promise<void>
}

// ---- state ----------------------------------------------------------------------------------------------------------

/**
 * Values of one state of one operator, by key, in key groups owned by this subtask. Synchronous.
 * Values are replaced, never mutated: put a new object. `namespace` separates e.g. windows of one key; 0 for none.
 */
export interface KeyedState<V> {
  get(key: Key, namespace?: number): V | undefined
  put(key: Key, value: V, namespace?: number): void
  delete(key: Key, namespace?: number): void
  /** The keys from there on are asked for next, in their order: a store may read ahead. @returns up to where it has */
  ahead?(keys: readonly Key[], from: number): number
  /** `put` of the bytes before `end`, which are copied: for who writes them into the same place again. Absent: put a copy. */
  putBytes?(key: Key, bytes: Uint8Array, end: number): void
  /** Namespaces ≠ 0 with at least one value, ascending. */
  namespaces(): number[]
  /** Every (key, value) of a namespace ≠ 0, in insertion order. These are kept in memory. */
  entries(namespace: number): IterableIterator<[Key, V]>
  /** Deletes every value of a namespace ≠ 0. */
  clear(namespace: number): void
  /**
   * Where values are times, or lists that begin with one: at most `max` keys (namespace 0) whose time is below `before`, of those
   * the store has met on its own way through stored rows. Hints: look again before deleting. A store without it never finds any.
   */
  stale?(before: number, max: number): Key[]
}

/** One stored piece of state: an object in the object store. JSON; stands in the manifest. */
export interface SegmentRef {
  readonly key: string
  readonly bytes: number
  readonly entries: number
  /** Hex SHA-256 of the stored bytes: verified at restore. */
  readonly sha256: string
  /** `base` begins a chain; a `delta` follows it. */
  readonly kind: 'base' | 'delta'
  /** Byte ranges per key group inside the object are in the segment's own index. */
  readonly keyGroups: KeyGroupRange
  /** Only these of them count: behind a rescale, the others are another subtask's or stand in a newer segment. Absent: all. */
  readonly only?: KeyGroupRange
  /** Where the index begins, and the SHA-256 from there to the end. Absent: format 1. */
  readonly index?: { readonly at: number; readonly sha256: string }
  /** Absent: written by a build that did not say. The segment's own index names them too. */
  readonly states?: readonly SegmentState[]
  /**
   * Operators (`uid`), or single states of one (`uid/state`), whose rows in it count for nothing: the job was started from it
   * without them. Stays with the segment until it is folded into another one.
   */
  readonly without?: readonly string[]
}

/** All keyed state of one slice. */
export interface StateStore {
  /** Rebuilds from segment chains (oldest first). Called once, before the first element; empty = fresh. */
  restore(segments: readonly SegmentRef[]): Promise<void>
  /**
   * The state `name` of an operator: the same instance for the same names. With `split` it belongs to that split of the
   * source: the split is its key group, and equal keys of two splits are two keys.
   */
  keyed<V>(operatorUid: OperatorUid, name: string, split?: number): KeyedState<V>
  /**
   * The barrier. The synchronous part freezes what changed since the last snapshot; the promise resolves when the
   * segments are durable in the object store, with the whole chain that restores this moment (oldest first).
   * A rejected snapshot loses nothing: the next one contains its changes.
   */
  snapshot(checkpoint: CheckpointId): Promise<readonly SegmentRef[]>
  /** Operators whose state has changed since the last snapshot. A snapshot without any answers the chain it answered before. */
  dirtyOperators?(): ReadonlySet<OperatorUid>
  close(): Promise<void>
}
