/** Event time of one split, as its slice tells. JSON. */
import type { OperatorUid, Watermark } from '@weir/model'

export interface SplitTime {
  readonly source: OperatorUid
  readonly split: number
  /** ms since 1970; WATERMARK_MIN before its first record, WATERMARK_MAX once it has ended. */
  readonly watermark: Watermark
  /** `idle`: without records for so long that nobody waits for it; `ahead`: not read until the others come up. */
  readonly state: 'active' | 'idle' | 'ahead' | 'ended'
  /** Consumer lag: records in its log that readers may see and that are not read yet. Absent: the source does not know. */
  readonly lag?: number
}

/** Splits one slice tells of: those that are furthest behind. */
export const SPLIT_TIMES_MAX = 256

/** Of one source in one subtask: event time of the slowest split that counts for alignment; null: none does. */
export interface SourceLow {
  readonly source: OperatorUid
  readonly low: Watermark | null
}

/** How far a subtask may read a source; null: as far as its own splits let it. */
export interface AlignBound {
  readonly source: OperatorUid
  readonly atMost: Watermark | null
}

/** Since the slice began to run. */
export interface LateCount {
  readonly operator: OperatorUid
  readonly records: number
}
