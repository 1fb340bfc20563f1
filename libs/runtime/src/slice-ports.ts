/** What a slice is made of and with, and what it tells: everything outside (Kafka, disk, network) comes in here. */
import type { InFlightStore, LateInputs, SourceReach, SubtaskSnapshot } from '@weir/checkpoint'
import type {
  ChainedSink,
  ClaimCounts,
  ClaimStore,
  ClaimsNews,
  ContinuousSink,
  IdempotentNode,
  LateCount,
  OffsetGap,
  Plan,
  RegistrySettings,
  SchemaRegistry,
  SinkAsides,
  SinkNode,
  SliceMetrics,
  SourceLow,
  SourceNode,
  SourceRate,
  SourceReader,
  SplitTime,
  StateStore,
  SubtaskContext,
  TwoPhaseSink,
} from '@weir/dataflow'
import type { AttemptId, CheckpointId, Clock, Epoch, JobId, OperatorUid, Subtask, WeirError } from '@weir/model'
import type { ExchangePort } from './ports.ts'
import type { RecordTracePort } from './record-span.ts'

export interface SliceOptions {
  readonly jobId: JobId
  readonly attempt: AttemptId
  readonly subtask: Subtask
  readonly plan: Plan
  /** Deep-freeze accumulators: on in development. */
  readonly freeze: boolean
  /** Of one stage, on one side of its cut: a barrier that would overtake more waits for its turn. Absent: 32 MiB. */
  readonly inFlightBytesMax?: number
  /** Results of a firing that leave a stage before it looks whether there is room. Absent: 1,000. */
  readonly firingPartMax?: number
}

export interface SliceDeps {
  readonly clock: Clock
  readonly exchange: ExchangePort
  createSource(node: SourceNode, context: SubtaskContext): SourceReader
  /** `asides` null: nothing goes aside. */
  createSink(node: SinkNode, context: SubtaskContext, asides: SinkAsides | null): TwoPhaseSink
  /** All sinks behind a source in the continuous scope; `context` is the source's. */
  createContinuousSink(source: SourceNode, sinks: readonly ChainedSink[], context: SubtaskContext): ContinuousSink
  /** A fresh store for one stage of this slice. */
  openState(stage: number, context: SubtaskContext): Promise<StateStore>
  /** Only needed where a codec reads schemas from one. `signal`: of the attempt. */
  schemaRegistry?(this: void, settings: RegistrySettings, signal: AbortSignal): SchemaRegistry
  /** Only needed where a job keeps claims in a store outside. `told`: what people should know of it. */
  createClaims?(this: void, node: IdempotentNode, context: SubtaskContext, told: (news: ClaimsNews) => void): ClaimStore
  /** Only needed where barriers may overtake, or have. */
  readonly inFlight?: InFlightStore
  /** Absent: no records are traced. */
  readonly traces?: RecordTracePort
  readonly report: (report: SliceReport) => void
  /** Lets the event loop run once (setImmediate). */
  readonly turn: () => Promise<void>
}

export type SliceReport =
  | {
      readonly type: 'progress'
      readonly recordsIn: number
      readonly recordsOut: number
      readonly watermark: number
      readonly reach?: SourceReach | null
      /** Once a second. Absent: as they were told last. */
      readonly splits?: readonly SplitTime[]
      /** As often. Absent: nothing of it claims. */
      readonly claims?: readonly ClaimCounts[]
      /** Where splits of several subtasks wait for each other. */
      readonly lows?: readonly SourceLow[]
      /** With `splits`: of operators to which records came too late. */
      readonly late?: readonly LateCount[]
      /** With `splits`, and where one has changed: of sources that are limited. */
      readonly rates?: readonly SourceRate[]
      /** With `splits`. */
      readonly metrics?: SliceMetrics
    }
  | {
      readonly type: 'ack'
      readonly checkpoint: CheckpointId
      readonly snapshot: SubtaskSnapshot
      readonly alignMs: number
      readonly syncMs: number
      readonly asyncMs: number
      /** From the trigger until its last stage had taken its snapshot. */
      readonly cutMs: number
      /** The longest of a stage from its snapshot until its sinks had prepared, and until its state was durable. */
      readonly prepareMs: number
      readonly uploadMs: number
    }
  | { readonly type: 'declined'; readonly checkpoint: CheckpointId; readonly error: WeirError }
  | { readonly type: 'gave-up'; readonly checkpoint: CheckpointId; readonly late: LateInputs }
  | { readonly type: 'committed'; readonly epoch: Epoch }
  /** A source goes on behind a gap. Told again by every attempt while the split has it in its state. */
  | { readonly type: 'source-gap'; readonly source: OperatorUid; readonly gap: OffsetGap }
  | { readonly type: 'claims'; readonly operator: OperatorUid; readonly news: ClaimsNews }
  /** The last one: the slice is closed. `ahead`: operators whose state had gone on from the last barrier; it is made again. */
  | { readonly type: 'finalized'; readonly committed: Epoch | null; readonly ahead: readonly OperatorUid[] }
  | { readonly type: 'input-ended' }
  | { readonly type: 'failed'; readonly error: WeirError }
