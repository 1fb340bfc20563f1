/** What a slot tells of one slice, as the job room knows it. */
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
import type { Failure, SliceId, UntimedEvent } from '@weir/job'
import type { CheckpointId, Epoch, OperatorUid } from '@weir/model'

/** What became of one restored transaction; `subtask` is not always the slice's own (PROTOCOL B4). */
interface SliceProof {
  readonly sink: string
  readonly subtask: number
  readonly sequence: number
  readonly by: string
}

/** What a slot tells of one slice. */
export type SliceReportMessage = { readonly slice: SliceId } & (
  | { readonly type: 'deployed'; readonly exchangeAddress: string }
  | { readonly type: 'recovered'; readonly proofs: readonly SliceProof[] }
  | {
      readonly type: 'progress'
      readonly recordsIn: number
      readonly recordsOut: number
      readonly watermark: number
      readonly reach?: SourceReach | null
      readonly splits?: readonly SplitTime[]
      readonly claims?: readonly ClaimCounts[]
      readonly lows?: readonly SourceLow[]
      readonly late?: readonly LateCount[]
      readonly rates?: readonly SourceRate[]
      readonly metrics?: SliceMetrics
    }
  | {
      readonly type: 'ack'
      readonly checkpoint: CheckpointId
      readonly snapshot: SubtaskSnapshot
      readonly alignMs: number
      readonly syncMs: number
      readonly asyncMs: number
      /** From the trigger until its last stage had taken its snapshot; absent: not told. */
      readonly cutMs?: number
      /** From a stage's snapshot until its sinks had prepared, and until its state was durable; absent: not told. */
      readonly prepareMs?: number
      readonly uploadMs?: number
    }
  | { readonly type: 'declined'; readonly checkpoint: CheckpointId; readonly failure: Failure }
  | { readonly type: 'gave-up'; readonly checkpoint: CheckpointId; readonly late: LateInputs }
  | { readonly type: 'committed'; readonly epoch: Epoch }
  | { readonly type: 'source-gap'; readonly source: OperatorUid; readonly gap: OffsetGap }
  | { readonly type: 'claims'; readonly operator: OperatorUid; readonly news: ClaimsNews }
  | { readonly type: 'finalized'; readonly committed: Epoch | null; readonly ahead: readonly OperatorUid[] }
  | { readonly type: 'input-ended' }
  | { readonly type: 'failed'; readonly failure: Failure }
  | { readonly type: 'stopped' }
)

/** The event the job machine takes for a report. */
export function reportEvent(report: SliceReportMessage): UntimedEvent {
  return report.type === 'failed' ? { ...report, type: 'slice-failed' } : report
}
