/** What a slice is made of and with, and what it tells: everything outside (Kafka, disk, network) comes in here. */
import type { InFlightStore } from '@weir/checkpoint'
import type {
  ChainedSink,
  ClaimStore,
  ClaimsNews,
  ContinuousSink,
  IdempotentNode,
  Plan,
  RegistrySettings,
  SchemaRegistry,
  SinkAsides,
  SinkNode,
  SourceNode,
  SourceReader,
  StateStore,
  SubtaskContext,
  TwoPhaseSink,
} from '@weir/dataflow'
import type { AttemptId, Clock, JobId, Subtask } from '@weir/model'
import type { ExchangePort } from './ports.ts'
import type { RecordTracePort } from './record-span.ts'
import type { SliceReport } from './slice-report.ts'

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
