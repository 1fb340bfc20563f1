/**
 * Pipeline regions: slices that exchange records, directly or through others, and so have one cut in common. An exchange
 * (keyBy) is from every subtask to every subtask, hence one makes a region of all slices; without any, each slice is its own.
 * What a union of several stages gets stays in the slice.
 */
import type { PlanSummary } from '@weir/dataflow'
import { SubtaskMap, type Subtask } from '@weir/model'

type Region = readonly Subtask[]

/** In order of subtasks; every subtask is in one. */
export function regionsOf(plan: PlanSummary): readonly Region[] {
  const all = [...SubtaskMap.filled(plan.settings.parallelism, () => true).keys()]
  return hasExchange(plan) ? [all] : all.map((subtask) => [subtask])
}

/** Every slice of the regions in which one of `subtasks` is, in order. */
export const regionsHit = (plan: PlanSummary, subtasks: readonly Subtask[]): Region =>
  regionsOf(plan)
    .filter((region) => region.some((subtask) => subtasks.includes(subtask)))
    .flat()

/** A stage is fed by a source, by the same slice or by an exchange. */
const hasExchange = ({ stages, sources, forwarded = 0 }: PlanSummary): boolean => stages > sources.length + forwarded
