/** What a slice tells of itself and of its checkpoints: in its thread, and, behind it, to the leader (`@weir/wire`). */
import type { AckTimes, LateInputs, SubtaskSnapshot } from '@weir/checkpoint'
import type { ClaimsNews, OffsetGap, SliceProgress } from '@weir/dataflow'
import type { CheckpointId, Epoch, OperatorUid, WeirError } from '@weir/model'

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
