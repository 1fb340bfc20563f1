/**
 * What each subtask of the next attempt restores from a manifest that was written at another parallelism, or at the same.
 *
 * ```
 *                     at the epoch                         in the next attempt
 *   source positions  of the splits of one subtask    ─▶   of all splits; a reader takes those it owns
 *   state             one chain for a range of groups ─▶   every chain that has some of its groups, each reference narrowed
 *                                                          to what its owner owned: what it held before is stale
 *   sinks             named by their subtask          ─▶   of the same subtask, since the transactional ids are; those of
 *                                                          subtasks that are no more: *retired*, in the care of k mod n
 *   watermarks        of splits / of a stage          ─▶   of all splits / the lowest
 *   records in flight of the keys of their slice      ─▶   of every slice that has some of the keys (`inFlightFor`)
 * ```
 *
 * Pure: only references and positions are moved, no object is read.
 */
import { intersection, keyGroupRange, splitRange, type KeyGroupRange, type Subtask } from '@weir/model'
import { inFlightFor } from './in-flight.ts'
import type { Manifest, RetiredSinks, SinkSnapshot, SubtaskSnapshot } from './manifest.ts'

export interface RedistributionTarget {
  readonly parallelism: number
  /** The highest parallelism the job ever had (PROTOCOL B4). */
  readonly highestParallelism: number
  readonly maxParallelism: number
  /** Uids of the sinks whose transactions are prepared. */
  readonly sinks: readonly string[]
  /** Stages that begin at a source: a key group is a split there. */
  readonly sourceStages: readonly number[]
}

/** A segment as far as it matters here; the rest travels along. */
interface Segment {
  readonly keyGroups: KeyGroupRange
  readonly only?: KeyGroupRange
}
interface StageSegments {
  readonly stage: number
  readonly chain: readonly Segment[]
}

/** One per subtask, in order; null: begins fresh and has no retired sinks to look after. */
export function redistribute(manifest: Manifest | null, to: RedistributionTarget): readonly (SubtaskSnapshot | null)[] {
  const subtasks = Array.from({ length: to.parallelism }, (_, subtask) => subtask as Subtask)
  const own = new Map(manifest?.subtasks.map((snapshot) => [snapshot.subtask, snapshot]))
  const overtaken = manifest?.subtasks.some(({ inFlight = [] }) => inFlight.length > 0) ?? false
  return subtasks.map((subtask): SubtaskSnapshot | null => {
    const retired = retiredOf(manifest, subtask, to)
    if (manifest === null) return retired && { ...nothing(subtask), retired }
    const same = manifest.parallelism === to.parallelism
    const restored = same ? (own.get(subtask) ?? nothing(subtask)) : moved(manifest, subtask, to)
    const { retired: _retired, inFlight: _own, ...snapshot } = restored
    const inFlight = overtaken ? inFlightFor(manifest, subtask, to.parallelism) : []
    return { ...snapshot, ...(retired && { retired }), ...(inFlight.length > 0 && { inFlight }) }
  })
}

/** Of a subtask the job has, or had. Undefined: it never prepared anything. */
export function sinkStateOf(manifest: Manifest | null, subtask: number, uid: string): SinkSnapshot | undefined {
  const own = manifest?.subtasks.find((s) => s.subtask === subtask)?.sinks[uid]
  return own ?? manifest?.subtasks.find((s) => s.retired?.[subtask])?.retired?.[subtask]?.[uid]
}

const nothing = (subtask: Subtask): SubtaskSnapshot => ({
  ...{ subtask, sources: {}, segments: [], sinks: {}, watermarks: {}, recordsIn: 0 },
})

function moved(manifest: Manifest, subtask: Subtask, to: RedistributionTarget): SubtaskSnapshot {
  const { subtasks } = manifest
  const read = subtasks.reduce((sum, { recordsIn }) => sum + recordsIn, 0)
  const share = Math.floor(read / to.parallelism)
  const states = to.sinks.map((uid) => [uid, sinkStateOf(manifest, subtask, uid)] as const)
  const { checkpoint } = subtasks[subtask % subtasks.length]!
  return {
    subtask,
    sources: subtasks.map(({ sources }) => sources).reduce(union, {}),
    segments: segmentsFor(manifest, subtask, to),
    sinks: Object.fromEntries(states.filter((of): of is [string, SinkSnapshot] => of[1] !== undefined)),
    watermarks: watermarksOf(subtasks),
    ...foldsOf(subtasks),
    recordsIn: subtask === 0 ? read - share * (to.parallelism - 1) : share,
    ...(checkpoint && { checkpoint }),
    ...(subtasks.some(({ degraded }) => degraded) && { degraded: true }),
  }
}

function segmentsFor(manifest: Manifest, subtask: Subtask, to: RedistributionTarget): StageSegments[] {
  const { maxParallelism } = to
  const owned = (stage: number, of: number, parallelism: number): KeyGroupRange =>
    to.sourceStages.includes(stage) ? splitRange(of, parallelism) : keyGroupRange(of, parallelism, maxParallelism)
  const chains = new Map<number, Segment[]>()
  for (const from of manifest.subtasks) {
    for (const { stage, chain } of from.segments as readonly StageSegments[]) {
      const wanted = intersection(
        owned(stage, from.subtask, manifest.parallelism),
        owned(stage, subtask, to.parallelism),
      )
      if (wanted === null) continue
      const into = chains.get(stage) ?? []
      chains.set(stage, into)
      for (const segment of chain) {
        const only = intersection(segment.only ?? segment.keyGroups, wanted)
        if (only !== null) into.push({ ...segment, only })
      }
    }
  }
  return [...chains].filter(([, chain]) => chain.length > 0).map(([stage, chain]) => ({ stage, chain }))
}

/**
 * `uid/split` stays with its split. `stage-n` is the same in every subtask at an aligned barrier, since watermarks go to
 * all; where it is not, the lowest is true of all.
 */
function watermarksOf(subtasks: readonly SubtaskSnapshot[]): Record<string, number> {
  const lowest: Record<string, number> = {}
  for (const { watermarks } of subtasks)
    for (const [of, watermark] of Object.entries(watermarks)) lowest[of] = Math.min(lowest[of] ?? watermark, watermark)
  return lowest
}

/** By split, and each split is of one subtask: every subtask is given all. */
function foldsOf(subtasks: readonly SubtaskSnapshot[]): Pick<SubtaskSnapshot, 'watermarkFolds'> {
  const watermarkFolds = Object.assign({}, ...subtasks.map((subtask) => subtask.watermarkFolds)) as Json
  return Object.keys(watermarkFolds).length > 0 ? { watermarkFolds } : {}
}

/** Null: nobody is retired into this subtask's care. */
function retiredOf(manifest: Manifest | null, subtask: Subtask, to: RedistributionTarget): RetiredSinks | null {
  const retired: Record<string, Record<string, SinkSnapshot>> = {}
  if (to.sinks.length === 0) return null
  for (let k = to.parallelism; k < to.highestParallelism; k++) {
    if (k % to.parallelism !== subtask) continue
    const states = to.sinks.map((uid) => [uid, sinkStateOf(manifest, k, uid) ?? NEVER_PREPARED] as const)
    retired[k] = Object.fromEntries(states)
  }
  return Object.keys(retired).length === 0 ? null : retired
}
const NEVER_PREPARED: SinkSnapshot = { sequence: 0, handles: [] }

type Json = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Positions are maps by split, perhaps inside of others; no two subtasks have the same split. */
const union = (a: Json, b: Json): Json => {
  const all: Record<string, unknown> = { ...a }
  for (const [key, value] of Object.entries(b)) {
    const there = all[key]
    all[key] = isObject(there) && isObject(value) ? union(there, value) : value
  }
  return all
}
