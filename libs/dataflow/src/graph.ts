/**
 * The logical graph: what a job file describes. Nodes hold plain configuration (hashed, sent, shown) beside functions
 * (only in the bundle). A graph is immutable; `edges` go from lower to higher index, so node order is topological.
 */
import type { Key, OperatorUid, RecordHeader } from '@weir/model'
import type { IdempotentNode } from './claim-node.ts'
import type { CanarySettings } from './canary/shadow.ts'
import type { CallMode } from './call-queue.ts'
import type { OpenDecoding, OpenEncoding } from './codec-port.ts'
import type { EncodeHeaders, KeyOf, OutputRecord } from './output-record.ts'
import type { CallContext } from './operators/async-map.ts'
import type { RecordContext } from './record-context.ts'
import type { ResumableOperator } from './resumable.ts'
import type { RestartSettings } from './restart.ts'
import type { BroadcastDescriptors, BroadcastState } from './broadcast-state.ts'
import type { DiagnosisCode } from './doctor/diagnosis.ts'
import type { StateSchema } from './state-schema.ts'
import type { CustomWatermarks } from './watermark-fold.ts'
import type { FiredTimer, KeyedContext, Out, StateDescriptors, TimerKinds } from './keyed-state.ts'
import type { SideOutputs } from './side-output.ts'
import type { AggregateFunctions } from './aggregate.ts'
import type { Trigger, WindowSpec } from './window.ts'
import type { WindowProcess } from './window-process.ts'

/** Configuration of a connector: JSON. `connector` picks the adapter (`kafka`, `datagen`, `log`). */
export interface ConnectorDescriptor {
  readonly connector: string
  readonly [option: string]: unknown
}

/**
 * Turns `buffer[start, end)` into a value; throws on bad input. Must not keep the buffer.
 * `headers`: of the record, read from the buffer when they are asked for.
 */
export type Decode = (buffer: Buffer, start: number, end: number, headers?: () => readonly RecordHeader[]) => unknown
/** Turns a value into bytes (or a string, written as UTF-8); null = tombstone. Of a sink's value, `record` is there. */
export type Encode = (value: unknown, record?: OutputRecord) => Uint8Array | string | null

export interface SourceNode {
  readonly kind: 'source'
  readonly uid: OperatorUid
  readonly descriptor: ConnectorDescriptor
  /** Null for sources that make objects themselves. */
  readonly decode: Decode | null
  /** Makes the decoder that is used instead, once per slice. */
  readonly openDecoder?: OpenDecoding | undefined
  /** Event time of a value, ms; null = the log's own timestamp. */
  readonly timestamp: ((value: unknown) => number) | null
  /** Watermark = highest timestamp seen − this, unless the job has `watermarks` of its own. */
  readonly outOfOrderMs: number
  readonly watermarks?: CustomWatermarks<unknown, unknown> | null | undefined
  /** Without records for so long a split no longer holds the others' event time back; absent: it does until it ends. */
  readonly idleAfterMs?: number | null | undefined
  /** A split whose watermark is further ahead of the slowest is not read until that comes up; absent: all are read. */
  readonly alignWithinMs?: number | null | undefined
  /** Sources of one name wait for each other's splits; absent: for its own alone. */
  readonly alignGroup?: string | null | undefined
  /** Upper bound over all subtasks together; null = none. */
  readonly recordsPerSecond: number | null
  /** As far as it may be lowered while what lies behind cannot follow; absent: never. */
  readonly minRecordsPerSecond?: number | null | undefined
  /** The other direction of `decode`: how a test writes what the source is to read. Absent: as JSON. */
  readonly encode?: Encode | undefined
  readonly encodeHeaders?: EncodeHeaders | undefined
  /** The same of a codec that has to be opened. */
  readonly openEncoder?: OpenEncoding | undefined
}
export interface FilterNode {
  readonly kind: 'filter'
  readonly uid: OperatorUid
  readonly test: (value: unknown, context: RecordContext) => boolean
}
export interface MapNode {
  readonly kind: 'map'
  readonly uid: OperatorUid
  readonly map: (value: unknown, context: RecordContext) => unknown
}
export interface FlatMapNode {
  readonly kind: 'flatMap'
  readonly uid: OperatorUid
  readonly flatMap: (value: unknown, context: RecordContext) => Iterable<unknown>
}
/** Several streams of one type as one, in no order but that of each. */
export interface UnionNode {
  readonly kind: 'union'
  readonly uid: OperatorUid
}
/** Calls that take time, a bounded number at once. Times in ms. */
export interface AsyncMapNode {
  readonly kind: 'asyncMap'
  readonly uid: OperatorUid
  readonly call: (value: unknown, context: CallContext) => unknown
  readonly mode: CallMode
  /** Called and not handed on. */
  readonly capacity: number
  /** Of one try. */
  readonly timeoutMs: number
  /** Tries after the first one. */
  readonly retries: number
  /** Before the first of them; doubled before every other one. */
  readonly backoffMs: number
  readonly backoffMsMax: number
  /** False: the error would come again. Null: every one is tried again. */
  readonly retryIf: ((error: unknown) => boolean) | null
  /** Of the last try; without dead letters it is `restart`. */
  readonly onFailure: 'dead-letter' | 'restart'
}
/** An exchange: what follows runs where the key lives. */
export interface KeyByNode {
  readonly kind: 'keyBy'
  readonly uid: OperatorUid
  readonly key: (value: unknown) => Key
}
/** A key without an exchange: the source's split is the key group, state and event time are kept per split. */
export interface KeyedBySourceNode {
  readonly kind: 'keyedBySource'
  readonly uid: OperatorUid
  readonly key: (value: unknown) => Key
}
/** A custom operator with state of its own, one instance per subtask. */
export interface ResumableNode {
  readonly kind: 'resumable'
  readonly uid: OperatorUid
  readonly create: () => ResumableOperator<unknown, unknown, unknown, SideOutputs>
  /** Of the pieces of its state. */
  readonly schema?: StateSchema<unknown> | undefined
  /** Names of its side outputs; absent: it has none. */
  readonly sides?: readonly string[] | undefined
  /** Batches are to carry where their records were read. */
  readonly origins?: boolean | undefined
}
/** Takes a side output of the operator it comes behind (`side-output.ts`). */
export interface SideOutputNode {
  readonly kind: 'sideOutput'
  readonly uid: OperatorUid
  readonly side: string
}
/** Emits the new accumulator, or its result, for every record. */
export interface ReduceNode {
  readonly kind: 'reduce'
  readonly uid: OperatorUid
  readonly initial: unknown
  readonly reduce: (accumulator: unknown, value: unknown) => unknown
  /** What is put out of the accumulator; absent: it. */
  readonly result?: ((accumulator: unknown) => unknown) | undefined
  /** Of the accumulators. */
  readonly schema?: StateSchema<unknown> | undefined
}
/** Emits `{ start, end, value }` per key and window when it fires (`window.ts`). */
export interface WindowNode {
  readonly kind: 'window'
  readonly uid: OperatorUid
  readonly window: WindowSpec
  /** Besides at its end; a global window has one. */
  readonly trigger?: Trigger
  /** Absent: 0. */
  readonly allowedLatenessMs?: number
  readonly aggregate: AggregateFunctions
  /** Instead of the aggregate's result: over all records of the window, of which the aggregate keeps the number. */
  readonly process?: WindowProcess<unknown, unknown>
  /** Shown and hashed: `count`, `reduce`, `aggregate`, `process`. */
  readonly aggregateName: string
  /** Of the accumulators; of a function over the whole window, of its records. */
  readonly schema?: StateSchema<unknown> | undefined
}
/** User code with state and timers by key. */
export interface KeyedProcessNode {
  readonly kind: 'keyedProcess'
  readonly uid: OperatorUid
  readonly state: StateDescriptors
  readonly timers: TimerKinds
  /** Names of its side outputs; absent: it has none. */
  readonly sides?: readonly string[] | undefined
  /** Batches are to carry where their records were read. */
  readonly origins?: boolean | undefined
  /** What it puts out is what came in, or nothing: a record that fails behind it has had no effect in it. */
  readonly passes?: boolean | undefined
  readonly onRecord: (
    context: KeyedContext<StateDescriptors, TimerKinds, SideOutputs>,
    value: unknown,
    out: Out<unknown>,
  ) => void
  readonly onTimer:
    | ((context: KeyedContext<StateDescriptors, TimerKinds, SideOutputs>, timer: FiredTimer, out: Out<unknown>) => void)
    | null
}
/** Two keyed streams at one key: user code, or a join made of it. Its first input is the left one. */
export interface ConnectNode {
  readonly kind: 'connect'
  readonly uid: OperatorUid
  /** Plain data, shown and hashed: state is kept by another one only under another uid. */
  readonly of: ConnectKind
  readonly state: StateDescriptors
  readonly timers: TimerKinds
  readonly sides?: readonly string[] | undefined
  readonly onLeft: KeyedProcessNode['onRecord']
  readonly onRight: KeyedProcessNode['onRecord']
  readonly onTimer: KeyedProcessNode['onTimer']
}
/** Every record goes to all subtasks of what is behind it. */
export interface BroadcastNode {
  readonly kind: 'broadcast'
  readonly uid: OperatorUid
}
/** User code over its first input, keyed or not, and what the second one, a broadcast, has told all subtasks. */
export interface WithBroadcastNode {
  readonly kind: 'withBroadcast'
  readonly uid: OperatorUid
  readonly broadcast: BroadcastDescriptors
  /** By key; none where the first input has none. */
  readonly state: StateDescriptors
  readonly timers: TimerKinds
  readonly sides?: readonly string[] | undefined
  readonly onRecord: KeyedProcessNode['onRecord']
  readonly onBroadcast: (
    context: { readonly timestamp: number; readonly broadcast: Readonly<Record<string, BroadcastState<Key, unknown>>> },
    value: unknown,
  ) => void
  readonly onTimer: KeyedProcessNode['onTimer']
}
export type ConnectKind =
  | { readonly type: 'process' }
  /** left + lower ≤ right ≤ left + upper, in event time. */
  | { readonly type: 'interval-join'; readonly lowerMs: number; readonly upperMs: number }
  | { readonly type: 'window-join'; readonly window: JoinWindow; readonly keeps: JoinKeeps }
/** Windows of `sizeMs` that begin every `slideMs`; tumbling: both are the same. */
export interface JoinWindow {
  readonly sizeMs: number
  readonly slideMs: number
}
/** Of which sides records without a partner come out, too: none, the left one, both. */
export type JoinKeeps = 'inner' | 'left' | 'full'
/** What the records of a sink are made with. */
export interface RecordEncoders {
  /** Absent: records have the key of their stream. */
  readonly keyOf?: KeyOf | undefined
  /** Bytes of a record's key; the default writes strings and numbers as text. */
  readonly encodeKey: Encode
  readonly encodeValue: Encode
  readonly encodeHeaders?: EncodeHeaders | undefined
}
export interface SinkNode extends RecordEncoders {
  readonly kind: 'sink'
  readonly uid: OperatorUid
  readonly descriptor: ConnectorDescriptor
  /** The other direction of `encodeValue`: how a test reads what the sink has written. Absent: as JSON. */
  readonly decode?: Decode | undefined
  /** They ask where an output was read (`OutputRecord.origin`). */
  readonly origins?: boolean | undefined
  /** Makes the encoders of value and headers that are used instead, once per slice. */
  readonly openEncoder?: OpenEncoding | undefined
  /** The other direction of that: how a test reads what the sink has written. */
  readonly openDecoder?: OpenDecoding | undefined
}

export type GraphNode =
  | SourceNode
  | FilterNode
  | MapNode
  | FlatMapNode
  | AsyncMapNode
  | IdempotentNode
  | UnionNode
  | KeyByNode
  | KeyedBySourceNode
  | ResumableNode
  | SideOutputNode
  | ReduceNode
  | WindowNode
  | KeyedProcessNode
  | ConnectNode
  | BroadcastNode
  | WithBroadcastNode
  | SinkNode
export type NodeKind = GraphNode['kind']

export interface LogicalGraph {
  readonly nodes: readonly GraphNode[]
  /** [from, to] indices into `nodes`. */
  readonly edges: readonly (readonly [number, number])[]
}

export type CommitSettings = { readonly scope: 'epoch' } | { readonly scope: 'continuous'; readonly intervalMs: number }

/** Settings of a job; every duration in ms. */
export interface JobSettings {
  readonly parallelism: number
  readonly maxParallelism: number
  readonly checkpoint: {
    /** From trigger to trigger. */
    readonly intervalMs: number
    /** Records over all sources since the last trigger; null = by time only. */
    readonly everyRecords: number | null
    /** Behind an epoch that has ended; above `intervalMs` it counts as that. */
    readonly minPauseMs: number
    readonly alignTimeoutMs: number
    readonly toleratedAborts: number
    /**
     * Where the sources are cut. `barrier`, the default: wherever a barrier falls. `watermark`: all at one event time, so that an
     * epoch holds what happened before it; an epoch for which no such time can be had is taken as `barrier`, and says so.
     */
    readonly mode?: 'barrier' | 'watermark'
    /** Of mode `watermark`: how far ahead of the slowest source that time may be, in event time; default `alignTimeoutMs` / 2. */
    readonly cutBoundMs?: number
    /** Barriers overtake records on keyed edges at once; what they overtake is stored with the epoch. */
    readonly unaligned: boolean
    /** Barriers are aligned, and overtake when that takes longer; 0 = at once; null = never, unless `unaligned`. */
    readonly alignedTimeoutMs: number | null
    /** Published epochs kept, the newest among them: what a start may be asked to begin from. Absent: 3. */
    readonly retained?: number
    /**
     * What is left out has its default. `failures`: epochs given up in a row that open the circuit, which restarts the
     * attempt and lengthens the time to its first checkpoint; default `toleratedAborts` + 1. `pauseMsMax`: the longest such time.
     */
    readonly circuit?: { readonly failures?: number; readonly pauseMsMax?: number }
  }
  /**
   * What a transaction holds. `epoch`: output of one checkpoint, committed when it is published; any graph. `continuous`:
   * output and source offsets of one interval, whatever checkpoints do; a Kafka → Kafka chain without a shuffle.
   */
  readonly commit: CommitSettings
  readonly transactionTimeoutMs: number
  /** Time a recovery may take before a prepared transaction expires (PROTOCOL B1). */
  readonly recoveryBudgetMs: number
  readonly restart: RestartSettings
  /**
   * Records leave for the next stage at the latest after this time, also while the input is busy: lower latency, smaller frames.
   * 0: behind every batch. Absent: when a frame is full, event time moves or the input is empty for a moment.
   */
  readonly bufferTimeoutMs?: number
  /**
   * What a failure restarts. `region`: the slices that exchange records with the failed one, while the others go on; in a
   * graph with a keyBy that is all of them. `full`: every slice. Absent: `region`.
   */
  readonly failover?: 'region' | 'full'
  /**
   * Who decides that an epoch is published: `etcd` = etcd and head.json in the object store, the latter alone while etcd is
   * silent; `s3` = head.json alone. Fixed for the life of a job.
   */
  readonly arbiter: 'etcd' | 's3'
  /**
   * In words what `arbiter: 'etcd'` does: an epoch is acknowledged when etcd and the object store both have it, read back
   * and verified; the object store goes on alone. There are no other values: weaker ones could lose a published epoch.
   */
  readonly metadata?: { readonly primary: 'etcd'; readonly fallback: 's3'; readonly consistency: 'strong' }
  /** The topic for records that cannot be decoded, processed or written; null: such a record stops the job. */
  readonly deadLetters: ConnectorDescriptor | null
  /**
   * The job has a switch that people and remediation turn: user code asks `context.degraded`. Not in the scope `continuous`. Absent: false.
   */
  readonly degradable?: boolean
  /** Outputs have the W3C trace context (`traceparent`, `tracestate`) of the record that caused them. Absent: false. */
  readonly traceContext?: boolean
  /**
   * One record of so many is a trace, of its way from source to commit, and so is each that comes with a sampled `traceparent`: where the
   * task-managers send traces. Its outputs are written with a `traceparent`. Absent: as the task-managers are told.
   */
  readonly traces?: { readonly sampleRate: number }
  /** The topic for receipts of every transaction (`receipt.ts`); null: none are written. */
  readonly audit: ConnectorDescriptor | null
  /** Codes of `weir doctor` with which the job starts although they are unsafe; the audit log keeps them. Absent: none. */
  readonly acceptUnsafe?: readonly DiagnosisCode[]
  /** The job is the shadow run of a new version of another one (`canary/shadow.ts`). Absent: it is not. */
  readonly canary?: CanarySettings
}

/** What a job file's default export is. `kind` and `version` let a task-manager refuse a bundle of another time. */
export interface JobDefinition {
  readonly kind: 'weir.job'
  readonly version: 1
  readonly name: string
  readonly settings: JobSettings
  readonly graph: LogicalGraph
}
