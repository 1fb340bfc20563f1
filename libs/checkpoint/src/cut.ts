/**
 * Watermark barriers: the event time T at which every source cuts its input, so that an epoch holds what happened before T
 * and nothing else. A source emits its barrier at the first point where its watermark would reach T; an idle one at once.
 *
 * ```
 *     slowest ──────────── fastest ── lead ── T ─────── slowest + bound
 * ```
 *
 * T lies in front of every source, by what the fastest one covers until the trigger has come to it: who is past T when it
 * hears of it cuts where it stands. T is at most a bound ahead of the slowest (PROTOCOL B2): one that is hours behind
 * would never come to it within the alignment time, and nothing would ever be published. Where both cannot be had the
 * epoch is taken in `barrier` mode, which is as consistent, but not at one event time. So is the trial of an open circuit
 * (breaker.ts): sources that never come to any T cost epochs, and not the job's progress.
 */
import type { SourceReach, Watermark } from '@weir/model'

/** How far one subtask has come, and how fast that was, in ms of event time per ms. */
export interface SourceProgress extends SourceReach {
  readonly atMs: number
  readonly rate: number
}

/** How an epoch is cut. */
export type Cut =
  { readonly mode: 'watermark'; readonly time: Watermark } | { readonly mode: 'barrier'; readonly why: string | null }

/** At once, since nothing else was asked for. */
export const PLAIN_CUT: Cut = { mode: 'barrier', why: null }

/** From a source's report until the trigger reaches it: its report interval, two messages, its batch in hand. */
export const CUT_LEAD_MS = 400
/** Of the newest rate in the mean: one jump of event time shall not end the mode. */
const RATE_WEIGHT = 0.3

export function observeReach(before: SourceProgress | undefined, reach: SourceReach, nowMs: number): SourceProgress {
  if (before === undefined || nowMs <= before.atMs) return { ...reach, atMs: nowMs, rate: before?.rate ?? 0 }
  const newest = Math.max(0, reach.high - before.high) / (nowMs - before.atMs)
  return { ...reach, atMs: nowMs, rate: before.rate + RATE_WEIGHT * (newest - before.rate) }
}

/** @param sources subtasks with an active split, in any order */
export function chooseCut(sources: Iterable<SourceProgress>, boundMs: number): Cut {
  let [low, high, lead] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0]
  for (const source of sources) {
    low = Math.min(low, source.low)
    high = Math.max(high, source.high)
    lead = Math.max(lead, source.rate * CUT_LEAD_MS)
  }
  if (low > high) return { mode: 'barrier', why: 'no source is active' }
  if (low === Number.MIN_SAFE_INTEGER) return { mode: 'barrier', why: 'a source has not read its first record' }
  const time = high + 1 + Math.ceil(lead)
  if (time - low <= boundMs) return { mode: 'watermark', time: time as Watermark }
  const spread = `the slowest source is ${high - low} ms of event time behind the fastest, which covers ${Math.ceil(lead)} ms while it is told`
  return { mode: 'barrier', why: `${spread}: together more than the bound of ${boundMs} ms` }
}
