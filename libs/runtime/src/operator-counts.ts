/** What operators count, as a slice tells it: records that came too late, events that had been there already. */
import type { ClaimCounts, LateCount, OperatorCounters } from '@weir/dataflow'
import type { OperatorUid } from '@weir/model'
import type { StageRun } from './stage-run.ts'

type Counted = readonly Pick<StageRun, 'counters'>[]

export const lateCountsOf = (stages: Counted): LateCount[] =>
  [...totalsOf(stages)].flatMap(([operator, { lateRecords: records }]) => (records > 0 ? [{ operator, records }] : []))

/** Undefined: nothing of it claims. */
export function claimCountsOf(stages: Counted): readonly ClaimCounts[] | undefined {
  const counts = [...totalsOf(stages)].flatMap(([operator, { duplicates, conflicts }]): ClaimCounts[] =>
    duplicates === undefined && conflicts === undefined
      ? []
      : [{ operator, duplicates: duplicates ?? 0, conflicts: conflicts ?? 0 }],
  )
  return counts.length > 0 ? counts : undefined
}

/** By operator: those of several splits together. */
function totalsOf(stages: Counted): Map<OperatorUid, OperatorCounters> {
  const totals = new Map<OperatorUid, OperatorCounters>()
  for (const { uid, counters } of stages.flatMap((run) => run.counters)) {
    const total = totals.get(uid)
    if (total === undefined) {
      totals.set(uid, { ...counters })
      continue
    }
    total.lateRecords += counters.lateRecords
    if (counters.duplicates !== undefined) total.duplicates = (total.duplicates ?? 0) + counters.duplicates
    if (counters.conflicts !== undefined) total.conflicts = (total.conflicts ?? 0) + counters.conflicts
  }
  return totals
}
