/**
 * Watermark alignment across subtasks (Flink's FLIP-182): no split of a group is read that is further ahead of the group's slowest
 * than its source says. Each subtask tells with its progress where the slowest of its splits is; this announces to each how far
 * it may go. Pure; driven by the JobMaster beside the job machine, since nothing that is true depends on it.
 *
 *     told ──▶ lowest of the *others* + within ──▶ announced, at least every `ALIGN_INTERVAL_MS`
 *
 * A subtask aligns its own splits by itself, at every poll: so the slowest one is never held up by news of itself that are old.
 * One that has no split to wait for (idle, ended, held by a cut) tells that, and counts no more; one that does not tell for
 * `ALIGN_TOLD_MS_MAX` counts neither. A subtask that has just begun to run counts as if it had read nothing until it tells, and
 * is told so: it reads one batch, and waits for the others' news instead of running ahead of them.
 *
 * What was announced is good for `ALIGN_BOUND_MS_MAX` (runtime): whatever becomes of the leader or the stream, nobody waits longer.
 */
import type { AlignBound, PlanSummary, SourceLow, SourceNode } from '@weir/dataflow'
import { SubtaskMap, WATERMARK_MIN, operatorUid, type OperatorUid, type Subtask, type Watermark } from '@weir/model'

/** Told again so often, whether it has changed or not: a bound that is not renewed expires. */
export const ALIGN_INTERVAL_MS = 1_000
/** Sooner, where the slowest has come further than half of what is allowed: a backlog must not wait for the interval. */
export const ALIGN_EARLY_MS = 100
/** Who has not told for so long is not waited for. */
export const ALIGN_TOLD_MS_MAX = 3_000

export interface AlignedSource {
  readonly source: OperatorUid
  /** Sources of one name are aligned with each other. */
  readonly group: string
  readonly withinMs: number
}

interface Told {
  readonly atMs: number
  readonly lows: readonly SourceLow[]
}

export interface AlignmentState {
  readonly sources: readonly AlignedSource[]
  readonly told: SubtaskMap<Told>
  /** Lowest of each group when bounds were announced last, and when that was. */
  readonly lowest: ReadonlyMap<string, Watermark>
  readonly announcedMs: number
}

export type AlignmentEvent = { readonly now: number } & (
  | { readonly type: 'told'; readonly subtask: Subtask; readonly lows: readonly SourceLow[] }
  /** It begins to run, for the first time or again. */
  | { readonly type: 'runs'; readonly subtask: Subtask }
  | { readonly type: 'tick' }
)

export interface AlignmentEffect {
  readonly type: 'align'
  readonly subtask: Subtask
  readonly bounds: readonly AlignBound[]
}

export interface AlignmentStep {
  readonly state: AlignmentState
  readonly effects: readonly AlignmentEffect[]
}

/** Null: nothing is aligned. */
export function alignmentFor({ nodes }: Pick<PlanSummary, 'nodes'>): AlignmentState | null {
  const sources = nodes.flatMap(({ uid, kind, config }): AlignedSource[] => {
    if (kind !== 'source') return []
    const { alignWithinMs: withinMs, alignGroup } = config as Pick<SourceNode, 'alignWithinMs' | 'alignGroup'>
    return withinMs ? [{ source: operatorUid(uid), group: alignGroup ?? uid, withinMs }] : []
  })
  if (sources.length === 0) return null
  return { sources, told: SubtaskMap.empty(), lowest: new Map(), announcedMs: Number.NEGATIVE_INFINITY }
}

/** In one subtask a source aligns its splits by itself. */
export const hasOthers = ({ sources }: AlignmentState, parallelism: number): boolean =>
  parallelism > 1 || new Set(sources.map(({ group }) => group)).size < sources.length

export function stepAlignment(state: AlignmentState, event: AlignmentEvent): AlignmentStep {
  const { now } = event
  switch (event.type) {
    case 'told':
      return { state: { ...state, told: state.told.with(event.subtask, { atMs: now, lows: event.lows }) }, effects: [] }
    case 'runs': {
      const lows = state.sources.map(({ source }): SourceLow => ({ source, low: WATERMARK_MIN }))
      const bounds = state.sources.map(({ source, withinMs }): AlignBound => ({
        source,
        atMost: WATERMARK_MIN + withinMs,
      }))
      const told = state.told.with(event.subtask, { atMs: now, lows })
      return { state: { ...state, told }, effects: [{ type: 'align', subtask: event.subtask, bounds }] }
    }
    case 'tick':
      return onTick(state, now)
  }
}

function onTick(state: AlignmentState, now: number): AlignmentStep {
  if (now - state.announcedMs < ALIGN_EARLY_MS) return { state, effects: [] }
  const told = [...state.told].filter(([, { atMs }]) => now - atMs < ALIGN_TOLD_MS_MAX)
  const groups = groupsOf(state.sources, told)
  const isDue = now - state.announcedMs >= ALIGN_INTERVAL_MS || hasMoved(state, groups)
  if (!isDue || told.length === 0) return { state, effects: [] }
  const lowest = new Map([...groups].map(([group, { low }]) => [group, low]))
  const effects = told.map(([subtask, { lows }]): AlignmentEffect => {
    const bounds = state.sources.map((of): AlignBound => {
      const own = lows.find(({ source }) => source === of.source)?.low ?? null
      const others = othersOf(groups.get(of.group), own)
      return { source: of.source, atMost: others === null ? null : others + of.withinMs }
    })
    return { type: 'align', subtask, bounds }
  })
  return { state: { ...state, told: SubtaskMap.from(told), lowest, announcedMs: now }, effects }
}

/** The two lowest of a group, and how many are as low as the lowest. */
interface Group {
  low: Watermark
  second: Watermark | null
}

function groupsOf(sources: readonly AlignedSource[], told: readonly (readonly [Subtask, Told])[]): Map<string, Group> {
  const groupOf = new Map(sources.map(({ source, group }) => [source, group]))
  const groups = new Map<string, Group>()
  for (const [, { lows }] of told) {
    for (const { source, low } of lows) {
      const name = groupOf.get(source)
      if (name === undefined || low === null) continue
      const group = groups.get(name)
      if (group === undefined) groups.set(name, { low, second: null })
      else if (low < group.low) [group.second, group.low] = [group.low, low]
      else if (group.second === null || low < group.second) group.second = low
    }
  }
  return groups
}

/** Null: nobody else counts. */
function othersOf(group: Group | undefined, own: Watermark | null): Watermark | null {
  if (group === undefined) return null
  return own === group.low ? group.second : group.low
}

/** Also when one counts again, or does not any more. */
function hasMoved({ sources, lowest }: AlignmentState, groups: ReadonlyMap<string, Group>): boolean {
  return sources.some(({ group, withinMs }) => {
    const [before, now] = [lowest.get(group), groups.get(group)?.low]
    if (before === undefined || now === undefined) return before !== now
    return Math.abs(now - before) > withinMs / 2
  })
}
