/** One stage of a slice while it runs: its operators, sinks and state, and how far it has come. */
import {
  SplitWatermarks,
  eventTimeStepsMs,
  fanOut,
  rateLimitOf,
  watermarkQuantumMs,
  withCheckedEncoders,
  type AsyncCalls,
  type CommittedOffset,
  type ContinuousSink,
  type Input,
  type OperatorCounters,
  type ProcessingTimers,
  type Refusal,
  type Resumable,
  type SinkNode,
  type SourceNode,
  type SourceReader,
  type SplitBegin,
  type SplitProgress,
  type Stage,
  type StateStore,
  type TwoPhaseSink,
} from '@weir/dataflow'
import { WATERMARK_MIN, type OperatorUid, type Subtask, type Watermark } from '@weir/model'
import { asidesOf } from './asides.ts'
import type { BufferTimeout } from './buffer-timeout.ts'
import { LateEncoder, PreparedReader, codecContext } from './codecs.ts'
import { CommitLatency } from './commit-latency.ts'
import { CuttingReader } from './cutting-reader.ts'
import type { FiringRun } from './firings.ts'
import type { InputGate } from './input-gate.ts'
import type { Outlet } from './outlet.ts'
import type { InFlightElement } from './restored-flight.ts'
import type { RecordCounts } from './slice-metrics.ts'
import type { SliceScope } from './slice-scope.ts'
import { SourcePace } from './source-pace.ts'
import { StageClock } from './stage-time.ts'
import type { SplitTiming } from './split-timing.ts'

/** A split with a chain of its own: its operators, state and event time are a function of its records alone. */
export interface SplitRun {
  readonly input: Input
  /** Those of its chain; they are in `StageRun.firings`, too. */
  readonly firings: readonly FiringRun[]
  watermark: Watermark
  /** Continuous scope: outputs of records below are committed already; the records only rebuild state. */
  readonly replayUntil: number
  /** Continuous scope: and so is what the end of the split puts out. */
  readonly endCommitted: boolean
  /** Of the next record, as far as it is known. */
  offset: number
  ended: boolean
}

export interface SourceRun {
  readonly node: SourceNode
  readonly reader: SourceReader
  /** The reader again, where epochs are cut at an event time. */
  readonly cutting: CuttingReader | null
  watermarks: SplitWatermarks
  /** Where a job claims by origin. */
  logId: string | null
  /** Records in this attempt. */
  read: number
  /** Of them: those that could be decoded. */
  emitted: number
  readonly latency: CommitLatency
  /** Of a source that looks for idle splits, or aligns them. */
  timing: SplitTiming | null
  readonly pace: SourcePace
}

/** Who sends on a channel. */
export interface Sender {
  /** Operator at the head of the sending stage. */
  readonly uid: OperatorUid
  readonly subtask: Subtask
  /** Which input of the receiving stage it is, and which operand. */
  readonly input: number
  readonly operand: number
}

export interface StageRun {
  readonly stage: Stage
  readonly clock: StageClock
  /** First operator of the stage; of a stage with chains per split, what lies behind them. */
  input: Input
  /** Where the records of each operand go (`StageInput`): to `input`, and to the right of an operator with two. */
  operands: readonly Pick<Input, 'emit'>[]
  /** Of a stage that is keyed by its source, and in the continuous scope. */
  splits: Map<number, SplitRun> | null
  readonly quantumMs: number | null
  /** Continuous scope: what each split goes on from. */
  begins: ReadonlyMap<number, SplitBegin> | null
  readonly sinks: { readonly node: SinkNode; readonly sink: TwoPhaseSink }[]
  /** Of sinks whose codec has to be opened. */
  readonly encoders: readonly LateEncoder[]
  /** Continuous scope, instead of `sinks`. */
  continuous: { readonly sink: ContinuousSink; committed: ReadonlyMap<number, CommittedOffset> } | null
  /** The job's degrade switch, behind the barrier this stage took last. */
  degraded: boolean
  /** What reaches a sink now is committed already. */
  muted: boolean
  /** Continuous scope: read and processed, and told to the sink when nothing of it is left to be written. */
  moved: SplitProgress[]
  outputs: Outlet[]
  /** Null: half-filled frames leave when the input is empty. */
  bufferTimeout: BufferTimeout | null
  state: StateStore | null
  /** Custom operators, by node. */
  readonly resumables: Map<number, Resumable>
  gate: InputGate | null
  /** By channel of the gate. */
  senders: readonly Sender[]
  /** Of the restored epoch: what the gate hands out first. */
  inFlight: readonly InFlightElement[]
  readonly source: SourceRun | null
  /** Writes the sinks have not taken yet; awaited before the next element. */
  pending: Promise<void>[]
  /** Taken out of the flow; on their way aside before the next element. */
  refused: Refusal[]
  /** Operators with timers of processing time, and what each emits into. */
  timed: { readonly timers: ProcessingTimers; readonly out: Input }[]
  /** Operators that event time makes put something out. */
  readonly firings: FiringRun[]
  /** Operators that make calls, and what each emits into. */
  calls: { readonly calls: AsyncCalls; readonly out: Input }[]
  /** Of each operator; one with a chain per split has several. */
  readonly counters: { readonly uid: OperatorUid; readonly counters: OperatorCounters }[]
  /** Of each operator and sink; one with a chain per split has several. */
  readonly records: RecordCounts[]
  watermark: Watermark
  /** Nobody behind waits for its event time. */
  isIdle: boolean
}

/** With its reader and sinks, none of them opened. */
export function makeStageRun(scope: SliceScope, stage: Stage): StageRun {
  const { deps, options } = scope
  const head = scope.node(stage.head)
  const refused: Refusal[] = []
  const encoders: LateEncoder[] = []
  const sinkNodes = stage.nodes.flatMap((index) => {
    const node = scope.node(index)
    return node.kind === 'sink'
      ? [{ node, opened: openedSink(scope, node, encoders), asides: asidesOf(scope, refused, index, node) }]
      : []
  })
  const isContinuous = options.plan.job.settings.commit.scope === 'continuous' && head.kind === 'source'
  const continuous = isContinuous
    ? deps.createContinuousSink(
        head,
        sinkNodes.map(({ opened, asides }) => ({ node: opened, asides })),
        scope.contextOf(head.uid),
      )
    : null
  const sinks = isContinuous
    ? []
    : sinkNodes.map(({ node, opened, asides }) => {
        return { node, sink: deps.createSink(opened, scope.contextOf(node.uid), asides) }
      })
  const stepsMs = stage.nodes.flatMap((index) => eventTimeStepsMs(scope.node(index)))
  const source = head.kind === 'source' ? makeSourceRun(scope, head) : null
  return {
    stage,
    clock: new StageClock(),
    input: fanOut([]),
    operands: [],
    splits: null,
    begins: null,
    quantumMs: watermarkQuantumMs(stepsMs),
    sinks,
    encoders,
    continuous: continuous && { sink: continuous, committed: new Map() },
    degraded: false,
    muted: false,
    moved: [],
    outputs: [],
    bufferTimeout: null,
    state: null,
    resumables: new Map(),
    gate: null,
    senders: [],
    inFlight: [],
    source,
    pending: [],
    refused,
    timed: [],
    firings: [],
    calls: [],
    counters: [],
    records: [],
    watermark: WATERMARK_MIN,
    isIdle: false,
  }
}

function openedSink(scope: SliceScope, node: SinkNode, encoders: LateEncoder[]): SinkNode {
  const { openEncoder } = node
  if (openEncoder === undefined) return withCheckedEncoders(node)
  const late = new LateEncoder(node, () => openEncoder(codecContext(scope, node)))
  encoders.push(late)
  return withCheckedEncoders(late.node)
}

function makeSourceRun(scope: SliceScope, declared: SourceNode): SourceRun {
  const { deps, options } = scope
  const { openDecoder } = declared
  const reader = deps.createSource(declared, scope.contextOf(declared.uid))
  const prepared = openDecoder
    ? new PreparedReader(declared, reader, () => openDecoder(codecContext(scope, declared)))
    : null
  const [node, plain] = prepared === null ? [declared, reader] : [prepared.node, prepared]
  const isCut = options.plan.job.settings.checkpoint.mode === 'watermark'
  const cutting = isCut ? new CuttingReader(node, plain, { clock: deps.clock, watermarks: () => run.watermarks }) : null
  const run: SourceRun = {
    node,
    reader: cutting ?? plain,
    cutting,
    watermarks: new SplitWatermarks(node, []),
    logId: null,
    read: 0,
    emitted: 0,
    latency: new CommitLatency(),
    timing: null,
    pace: new SourcePace(node.uid, rateLimitOf(node), options.plan.job.settings.parallelism, () =>
      deps.clock.monotonic(),
    ),
  }
  return run
}
