/** Event times of a job's splits, and how far they are apart. Pure. */
import type { SplitTime } from '@weir/dataflow'
import { milliseconds, time, type Slice } from './view.ts'

export interface Split {
  readonly source: string
  readonly split: number
  readonly subtask: number
  readonly state: SplitTime['state']
  /** ms since 1970. */
  readonly at: string
  /** Behind the highest of its source, ms; null: one of the two has no event time. */
  readonly lagMs: number | null
  readonly behind: string
}

/** Furthest behind first; before its first record, and behind its last, a split has no event time. @param now ms since 1970 */
export function splitsOf(
  { slices }: { readonly slices: readonly Pick<Slice, 'subtask' | 'splits'>[] },
  now: number,
): readonly Split[] {
  const all = slices.flatMap(({ subtask, splits }) => splits.map((split) => ({ ...split, subtask })))
  const known = ({ watermark, state }: Pick<SplitTime, 'watermark' | 'state'>): boolean =>
    watermark > 0 && state !== 'ended' && watermark < now + YEAR_MS
  const fastest = new Map<string, number>()
  for (const split of all)
    if (known(split)) fastest.set(split.source, Math.max(fastest.get(split.source) ?? 0, split.watermark))
  return all
    .toSorted((a, b) => a.watermark - b.watermark || a.split - b.split)
    .map(({ watermark, source, split, subtask, state }) => {
      const lagMs = known({ watermark, state }) ? fastest.get(source)! - watermark : null
      const told = lagMs === null ? { at: '–', behind: '–' } : { at: time(watermark), behind: milliseconds(lagMs) }
      return { source, split, subtask, state, lagMs, ...told }
    })
}
/** An event time so far ahead is the end of a split. */
const YEAR_MS = 366 * 86_400_000

/** A bar of the plot: one split, or several that stand too close to be seen apart. */
export interface SkewBar {
  readonly source: string
  readonly from: number
  readonly to: number
  /** The longest. */
  readonly lagMs: number
  /** 0 … 1 of the longest of all. */
  readonly share: number
  /** Nobody waits for it: idle, or held because it is ahead. */
  readonly isWaitedFor: boolean
}

export const SKEW_BARS_MAX = 200

/** In the order of sources and splits; a split without an event time has no bar. */
export function skewOf(splits: readonly Split[]): readonly SkewBar[] {
  const known = splits
    .filter((split): split is Split & { lagMs: number } => split.lagMs !== null)
    .toSorted((a, b) => (a.source === b.source ? a.split - b.split : a.source < b.source ? -1 : 1))
  const longest = known.reduce((most, { lagMs }) => Math.max(most, lagMs), 1)
  const perBar = Math.ceil(known.length / SKEW_BARS_MAX)
  const bars: SkewBar[] = []
  for (let at = 0; at < known.length;) {
    const { source, split } = known[at]!
    const next = known.slice(at, at + perBar)
    const others = next.findIndex((other) => other.source !== source)
    const of = others === -1 ? next : next.slice(0, others)
    const lagMs = Math.max(...of.map((one) => one.lagMs))
    bars.push({
      ...{ source, from: split, to: of.at(-1)!.split, lagMs, share: lagMs / longest },
      isWaitedFor: of.some(({ state }) => state === 'active'),
    })
    at += of.length
  }
  return bars
}
