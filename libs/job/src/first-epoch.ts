/** What the first epoch of a job that is started from somewhere consists of. */
import { ended, withKeys, type SinkSnapshot, type StoredSegment, type SubtaskSnapshot } from '@weir/checkpoint'
import type { PlanSummary } from '@weir/dataflow'
import type { OutputStanding, Start, StartPoint, StartTarget } from './start-from.ts'
import { find, headOf, statesOf } from './start-graphs.ts'

interface StageSegments {
  readonly stage: number
  readonly chain: readonly StoredSegment[]
}

/**
 * The state of the first epoch, for the stages and sinks of the new graph.
 * @param keyOf where a segment lies now
 */
export function startingSubtasks(
  from: StartPoint,
  to: StartTarget,
  { dropped }: Pick<Start, 'dropped'>,
  output: OutputStanding | null,
  keyOf: (key: string) => string,
): readonly SubtaskSnapshot[] {
  const own = { running: false, published: from.epoch, subtasks: from.subtasks, lost: [] }
  const takenOver = from.jobId !== to.jobId && to.plan.settings.commit.scope === 'continuous'
  const newest = from.jobId === to.jobId ? (output ?? own) : null
  const sinks = newest === null ? new Map<number, never>() : sinksOf(from, newest)
  return from.subtasks.map(({ retired: _retired, ...subtask }) => {
    const inCare = [...sinks].filter(([k]) => k >= from.parallelism && k % from.parallelism === subtask.subtask)
    return {
      ...withKeys({ ...subtask, segments: segmentsFor(subtask, from.plan, to.plan, dropped) }, keyOf),
      sources: Object.fromEntries(
        Object.entries(subtask.sources)
          .filter(([uid]) => find(to.plan, uid)?.kind === 'source')
          .map(([uid, state]) => [uid, takenOver ? { ...(state as object), takenOver } : state]),
      ),
      sinks: sinks.get(subtask.subtask) ?? {},
      watermarks: watermarksFor(subtask, from.plan, to.plan),
      ...(inCare.length > 0 && { retired: Object.fromEntries(inCare) }),
    }
  })
}

/** A stage takes every chain that has state of its operators, without that of others. */
function segmentsFor(
  { segments }: SubtaskSnapshot,
  before: PlanSummary,
  now: PlanSummary,
  dropped: readonly string[],
): readonly StageSegments[] {
  const kept = before.nodes.filter((node) => statesOf(node).length > 0)
  const stages = Array.from({ length: now.stages }, (_, stage) => {
    const chain = (segments as readonly StageSegments[]).flatMap((old) => {
      const there = kept.filter((node) => node.stage === old.stage)
      const taken = there.filter((node) => {
        const is = find(now, node.uid)
        return is?.stage === stage && is.kind === node.kind
      })
      if (taken.length === 0) return []
      const without = [
        ...there.filter((node) => !taken.includes(node)).map(({ uid }) => uid),
        ...dropped.filter((what) => taken.some(({ uid }) => what.startsWith(`${uid}/`))),
      ]
      return without.length === 0 ? old.chain : old.chain.map((segment) => excluding(segment, without))
    })
    return { stage, chain }
  })
  return stages.filter(({ chain }) => chain.length > 0)
}

/** Until it is folded into another one, the segment says whose rows in it count for nothing. */
function excluding(segment: StoredSegment & { readonly without?: readonly string[] }, more: readonly string[]) {
  return { ...segment, without: [...new Set([...(segment.without ?? []), ...more])] }
}

/**
 * Of every subtask there is, or was when the job was wider: ended and proven, so without handles. The sequence only grows,
 * whatever epoch the state is of (PROTOCOL A10).
 */
function sinksOf(
  from: StartPoint,
  newest: OutputStanding,
): ReadonlyMap<number, Readonly<Record<string, SinkSnapshot>>> {
  const known = newest.subtasks ?? from.subtasks
  // At most one transaction per epoch: what cannot be read is not above this.
  const add = newest.subtasks === null ? newest.published - from.epoch : 0
  const own = known.map(({ subtask, sinks }) => [subtask, sinks] as const)
  const retired = known.flatMap((of) =>
    Object.entries(of.retired ?? {}).map(([k, sinks]) => [Number(k), sinks] as const),
  )
  return new Map(
    [...retired, ...own].map(([subtask, sinks]) => {
      const raised = Object.entries(ended(sinks)).map(([uid, sink]) => [
        uid,
        { ...sink, sequence: sink.sequence + add },
      ])
      return [subtask, Object.fromEntries(raised) as Record<string, SinkSnapshot>]
    }),
  )
}

/** Of a stage by the uid of its head; of splits by that of their source. */
function watermarksFor({ watermarks }: SubtaskSnapshot, before: PlanSummary, now: PlanSummary): Record<string, number> {
  const found: Record<string, number> = {}
  for (const [place, watermark] of Object.entries(watermarks)) {
    const [, index] = /^stage-(\d+)$/.exec(place) ?? []
    if (index === undefined) {
      found[place] = watermark
      continue
    }
    const head = headOf(before, Number(index))?.uid
    const stage = head === undefined ? undefined : find(now, head)?.stage
    if (stage !== undefined && headOf(now, stage)?.uid === head) found[`stage-${stage}`] = watermark
  }
  return found
}
