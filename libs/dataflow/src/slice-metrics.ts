/** What a slice tells of its work once a second, for metrics and people: nothing is decided by it. JSON. */
import type { OperatorUid } from '@weir/model'

/** Of one stage in one subtask, ms of each second since it was told last: together 1,000. */
export interface StageTime {
  /** The operator at its head. */
  readonly stage: OperatorUid
  readonly busyMsPerSecond: number
  /** Nothing to work on: no input, or the rate of the source does not let it read. */
  readonly idleMsPerSecond: number
  /** A stage behind it has no room. */
  readonly backPressuredMsPerSecond: number
}

/** Since the slice began to run. */
export interface OperatorRecords {
  readonly operator: OperatorUid
  readonly recordsIn: number
  readonly recordsOut: number
}

/**
 * Records whose output was committed since it was told last, by the time from when they were written to their log. A batch of
 * the source counts as old as its first record.
 */
export interface LatencyCounts {
  readonly sumMs: number
  /** One per bound of `LATENCY_BOUNDS_MS`: records at most so old and older than the bound before; and those beyond the last. */
  readonly counts: readonly number[]
}

export const LATENCY_BOUNDS_MS: readonly number[] = [
  10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
]

export interface SliceMetrics {
  readonly stages: readonly StageTime[]
  readonly operators: readonly OperatorRecords[]
  /** Absent: nothing was committed, or the records of its sources do not say when they were written. */
  readonly latency?: LatencyCounts
}
