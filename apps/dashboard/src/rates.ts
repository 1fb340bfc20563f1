/** How fast a job reads, and may read: what a page has seen of it. Pure. */
import type { Job, Rate } from './view.ts'

/** By when they were seen (s since 1970); the lists are of one length. */
export interface Rates {
  readonly at: readonly number[]
  /** Null: only the limit was seen. */
  readonly perSecond: readonly (number | null)[]
  /** Limit of all sources together; null: one of them has none. */
  readonly limit: readonly (number | null)[]
  /** What they are lowered to; null: none is below its limit. */
  readonly lowered: readonly (number | null)[]
  /** Of the limit, oldest first. */
  readonly changes: readonly RateChange[]
  /** The last look. */
  readonly last: {
    readonly at: number
    readonly attempt: number
    readonly recordsIn: number
    readonly limit: number | null
  } | null
}
export interface RateChange {
  /** s since 1970 */
  readonly at: number
  readonly from: number | null
  readonly to: number | null
}
export const NO_RATES: Rates = { at: [], perSecond: [], limit: [], lowered: [], changes: [], last: null }
/** Ten minutes. */
const SAMPLES_MAX = 600
/** Between two of them: what comes sooner is part of the next one. */
const SAMPLE_MS = 1_000

/** @param at ms since 1970. A restart begins anew: what is read again is not counted as read back. */
export function sampled(rates: Rates, at: number, job: Pick<Job, 'attempt' | 'recordsIn' | 'rates'>): Rates {
  const { attempt, recordsIn } = job
  const limit = limitOf(job.rates)
  const { last } = rates
  const second = at / 1_000
  const isChanged = last !== null && last.limit !== limit
  const isFirst = last === null || last.attempt !== attempt || recordsIn < last.recordsIn
  const isSoon = !isFirst && at < last.at + SAMPLE_MS
  if (!isChanged && isSoon) return rates
  const now = { at, attempt, recordsIn, limit }
  if (!isChanged && isFirst) return { ...rates, last: now }
  const perSecond = isFirst || isSoon ? null : ((recordsIn - last.recordsIn) / (at - last.at)) * 1_000
  const seen = [...rates.at, second].slice(-SAMPLES_MAX)
  const changes = isChanged ? [...rates.changes, { at: second, from: last.limit, to: limit }] : rates.changes
  return {
    at: seen,
    perSecond: [...rates.perSecond, perSecond].slice(-SAMPLES_MAX),
    limit: [...rates.limit, limit].slice(-SAMPLES_MAX),
    lowered: [...rates.lowered, loweredOf(job.rates)].slice(-SAMPLES_MAX),
    changes: changes.filter(({ at }) => at >= seen[0]!),
    last: isSoon ? { ...last, limit } : now,
  }
}

/** Of all sources together; null: one of them has none. */
export const limitOf = (rates: readonly Rate[]): number | null =>
  rates.length === 0 || rates.some(({ recordsPerSecond }) => recordsPerSecond === null)
    ? null
    : rates.reduce((sum, { recordsPerSecond }) => sum + recordsPerSecond!, 0)

function loweredOf(rates: readonly Rate[]): number | null {
  if (limitOf(rates) === null || rates.every(({ reason }) => reason === null)) return null
  return rates.reduce((sum, { current, recordsPerSecond }) => sum + (current ?? recordsPerSecond!), 0)
}

/** What a user writes as a rate; empty: no limit. */
export const rateIn = (said: string): number | null => (said.trim() === '' ? null : Number(said))

/** Steps of a slider in a power of ten: from 10 to 10 million records per second, and one more that is no limit. */
const STEPS = 20
const LOWEST = 1
const HIGHEST = 7
export const SLIDER_MAX = (HIGHEST - LOWEST) * STEPS + 1

/** To two digits. */
export function rateAt(step: number): number | null {
  if (step >= SLIDER_MAX) return null
  return Number((10 ** (LOWEST + step / STEPS)).toPrecision(2))
}

/** The nearest step. */
export const stepOf = (rate: number | null): number =>
  rate === null
    ? SLIDER_MAX
    : Math.min(SLIDER_MAX - 1, Math.max(0, Math.round((Math.log10(Math.max(rate, 1)) - LOWEST) * STEPS)))
