/** What a slot tells of one slice, as the job room knows it. */
import type { ToldTimes } from '@weir/checkpoint'
import type { Failure, SliceId, UntimedEvent } from '@weir/job'
import type { ReportOfSlice } from '@weir/runtime'

/** What became of one restored transaction; `subtask` is not always the slice's own (PROTOCOL B4). */
interface SliceProof {
  readonly sink: string
  readonly subtask: number
  readonly sequence: number
  readonly by: string
}

/** What a slice tells, and its slot of it. */
export type SliceReportMessage = { readonly slice: SliceId } & (
  | { readonly type: 'deployed'; readonly exchangeAddress: string }
  | { readonly type: 'recovered'; readonly proofs: readonly SliceProof[] }
  | ReportOfSlice<{ readonly failure: Failure }, ToldTimes>
  | { readonly type: 'stopped' }
)

/** The event the job machine takes for a report. */
export function reportEvent(report: SliceReportMessage): UntimedEvent {
  return report.type === 'failed' ? { ...report, type: 'slice-failed' } : report
}
