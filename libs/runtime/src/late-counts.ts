/** Which operators have dropped records, or put them aside, because they came too late: as a slice tells it. */
import type { LateCount } from '@weir/dataflow'
import type { OperatorUid } from '@weir/model'
import type { StageRun } from './stage-run.ts'

/** Those of several splits together. */
export function lateCountsOf(stages: readonly Pick<StageRun, 'counters'>[]): LateCount[] {
  const late = new Map<OperatorUid, number>()
  for (const { uid, counters } of stages.flatMap((run) => run.counters)) {
    if (counters.lateRecords > 0) late.set(uid, (late.get(uid) ?? 0) + counters.lateRecords)
  }
  return [...late].map(([operator, records]) => ({ operator, records }))
}
