/** What a slice tells of itself and of its checkpoints: in its thread, and, behind it, to the leader (`@weir/wire`). */
import type { LateInputs, SourceReach, SubtaskSnapshot } from '@weir/checkpoint'
import type {
  ClaimCounts,
  ClaimsNews,
  LateCount,
  OffsetGap,
  SliceMetrics,
  SourceLow,
  SourceRate,
  SplitTime,
} from '@weir/dataflow'
import type { CheckpointId, Epoch, OperatorUid, WeirError } from '@weir/model'

export interface SliceProgress {
  readonly recordsIn: number
  readonly recordsOut: number
  readonly watermark: number
  /** Of its active sources; null: none is. Only where epochs are cut at an event time. */
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

/** How long a slice took for a checkpoint, ms: for people, nothing is decided by it. */
export interface AckTimes {
  readonly alignMs: number
  readonly syncMs: number
  readonly asyncMs: number
  /** From the trigger until its last stage had taken its snapshot. */
  readonly cutMs: number
  /** The longest of a stage from its snapshot until its sinks had prepared, and until its state was durable. */
  readonly prepareMs: number
  readonly uploadMs: number
}

/** `Failed`: how it is told what went wrong, an error or what travels of it. `Times`: an older task-manager tells less of them. */
export type ReportOfSlice<Failed, Times = AckTimes> =
  | ({ readonly type: 'progress' } & SliceProgress)
  | ({ readonly type: 'ack'; readonly checkpoint: CheckpointId; readonly snapshot: SubtaskSnapshot } & Times)
  | ({ readonly type: 'declined'; readonly checkpoint: CheckpointId } & Failed)
  | { readonly type: 'gave-up'; readonly checkpoint: CheckpointId; readonly late: LateInputs }
  | { readonly type: 'committed'; readonly epoch: Epoch }
  /** A source goes on behind a gap. Told again by every attempt while the split has it in its state. */
  | { readonly type: 'source-gap'; readonly source: OperatorUid; readonly gap: OffsetGap }
  | { readonly type: 'claims'; readonly operator: OperatorUid; readonly news: ClaimsNews }
  /** The last one: the slice is closed. `ahead`: operators whose state had gone on from the last barrier; it is made again. */
  | { readonly type: 'finalized'; readonly committed: Epoch | null; readonly ahead: readonly OperatorUid[] }
  | { readonly type: 'input-ended' }
  | ({ readonly type: 'failed' } & Failed)

export type SliceReport = ReportOfSlice<{ readonly error: WeirError }>
