/** How fast a source may be read: as a job says it, as people change it while it runs, as its slices tell it. JSON. */
import type { OperatorUid } from '@weir/model'

/** Records per second over all subtasks. */
export interface RateLimit {
  /** Null: none; credits alone hold the source back. */
  readonly recordsPerSecond: number | null
  /** How far the rate may be lowered while what lies behind cannot follow; null: it stays at the limit. */
  readonly minRecordsPerSecond: number | null
}

/** What was asked for since the job was submitted, by source; the others are as the job says. */
export type RateLimits = Readonly<Record<string, RateLimit>>

/** Why a rate is below its limit. */
export type RateReason = 'slow-reads' | 'failed-reservations' | 'event-loop-lag'

/** Of one source in one subtask: its part of the limit. */
export interface SourceRate {
  readonly source: OperatorUid
  readonly limit: RateLimit
  /** Records per second now; null: not limited. */
  readonly current: number | null
  readonly reason: RateReason | null
}

/** Of a source node, or of its config in a plan. */
export const rateLimitOf = (of: {
  readonly recordsPerSecond: number | null
  readonly minRecordsPerSecond?: number | null | undefined
}): RateLimit => ({ recordsPerSecond: of.recordsPerSecond, minRecordsPerSecond: of.minRecordsPerSecond ?? null })

/** The part of one of `parallelism` subtasks. */
export const shareOf = ({ recordsPerSecond, minRecordsPerSecond }: RateLimit, parallelism: number): RateLimit => ({
  recordsPerSecond: recordsPerSecond === null ? null : recordsPerSecond / parallelism,
  minRecordsPerSecond: minRecordsPerSecond === null ? null : minRecordsPerSecond / parallelism,
})

/** Null, or what is wrong with it, as the end of a sentence about the source. */
export function rateProblem({ recordsPerSecond: most, minRecordsPerSecond: least }: RateLimit): string | null {
  const isRate = (rate: number): boolean => typeof rate === 'number' && Number.isFinite(rate) && rate > 0
  if (most !== null && !isRate(most))
    return `recordsPerSecond is ${JSON.stringify(most)}; it must be a number above 0, or null for no limit.`
  if (least === null) return null
  if (most === null)
    return 'minRecordsPerSecond says how far a limit may be lowered: give recordsPerSecond, too, or leave it out.'
  if (!isRate(least) || least > most)
    return `minRecordsPerSecond is ${JSON.stringify(least)}; it must be a number above 0 and at most recordsPerSecond (${most}), or null for a fixed rate.`
  return null
}
