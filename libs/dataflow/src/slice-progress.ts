/** How far a slice has come, as it tells a few times a second. JSON. */
import type { SourceReach, Watermark } from '@weir/model'
import type { ClaimCounts } from './claims.ts'
import type { SourceRate } from './rate.ts'
import type { SliceMetrics } from './slice-metrics.ts'
import type { LateCount, SourceLow, SplitTime } from './split-time.ts'

export interface SliceProgress {
  readonly recordsIn: number
  readonly recordsOut: number
  readonly watermark: Watermark
  /** Of its active sources; null: none is. Only where epochs are cut at an event time. */
  readonly reach?: SourceReach | null
  /** Once a second. Absent: as they were told last. */
  readonly splits?: readonly SplitTime[]
  /** As often. Absent: nothing of it claims. */
  readonly claims?: readonly ClaimCounts[]
  /** Where splits of several subtasks wait for each other; for alignment alone. */
  readonly lows?: readonly SourceLow[]
  /** With `splits`: of operators to which records came too late. */
  readonly late?: readonly LateCount[]
  /** With `splits`, and where one has changed: of sources that are limited. */
  readonly rates?: readonly SourceRate[]
  /** With `splits`. */
  readonly metrics?: SliceMetrics
}
