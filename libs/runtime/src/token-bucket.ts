/**
 * Paces one source in one subtask, without I/O: a token bucket whose rate is lowered while what lies behind cannot follow,
 * and raised again when it can.
 *
 * ```
 *        3 reads downstream in a row took > 200 ms
 *        ≥ 15 % of what was reserved in 10 s failed       rate := 0.97 × what was passed on, ≥ min
 * limit ─────────────────────────────────────────▶ lowered ⟲ 1 s later at the earliest
 *   ▲    the event loop was late by > 200 ms, 3 times        │
 *   └──────────────── + 0.25 % of the limit per second ◀─────┘ after 10 s without a trigger, twice that after 20 s, …
 * ```
 *
 * A reservation is the right to read records *and* hand them on. It succeeds when what lies behind took them in the time the
 * rate gives for them, or is no further behind the rate than tokens are saved up: looked at alone, a timer that fires a
 * millisecond late would be a failure, and lower the rate for ever. It counts with its records, else the few that are slow would be
 * nothing beside the many that are fast; what adapts is granted in small portions, else few would say little.
 * One that only waits for tokens is the limit doing its work and no failure, else an empty bucket would lower itself for ever. The length of a queue decides nothing: a burst makes a queue, too.
 */
import { DURATION_MS_MAX, type RateLimit, type RateReason } from '@weir/dataflow'

/** A read downstream that took longer is slow. */
export const SLOW_READ_MS = 200
/** In a row. */
export const SLOW_READS_MAX = 3
export const FAILED_SHARE_MAX = 0.15
export const WINDOW_MS = 10_000
/** Fewer say nothing about a share. */
export const RESERVATIONS_MIN = 20
/** The event loop is late when a timer fires so much after its time. */
export const LOOP_LAG_MS = 200
/** In a row. */
export const LOOP_LAGS_MAX = 3
/** Lowered to this part of what lies behind has taken: what waits there drains meanwhile. */
const LOWER_FACTOR = 0.97
/** Of the limit, per second; doubled with every `WINDOW_MS` that goes by: careful where it has failed last, soon back from far below. */
export const RAISE_PER_SECOND = 0.0025
/** Half of the limit per second and more is no other. */
const DOUBLED_MAX = 8
/** Between two times it is lowered: what was handed on before is still in front of what follows. */
export const SETTLE_MS = 1_000
/** Tokens saved up; and how far what lies behind may be behind the rate. */
export const BURST_MS = 100
/** Granted at once by a rate that adapts. */
export const PORTION_MS = 20
const SECOND_MS = 1_000

/** What happened in one second. */
interface Second {
  readonly startMs: number
  readonly reservations: number
  /** Records of reservations, and of those that failed. */
  readonly reserved: number
  readonly failed: number
  readonly records: number
}

export interface BucketState {
  /** Of this subtask; not null. */
  readonly most: number
  /** Null: fixed. */
  readonly least: number | null
  readonly rate: number
  readonly reason: RateReason | null
  readonly tokens: number
  /** Up to when tokens were added. */
  readonly atMs: number
  /** What lies behind was busy for so much longer than the rate gives, and has not made up for it. */
  readonly behindMs: number
  readonly slowReads: number
  readonly loopLags: number
  /** Since it was lowered last, of the last 10 s; oldest first. */
  readonly seconds: readonly Second[]
  readonly loweredAtMs: number
  /** Up to when the rate was raised. */
  readonly raisedAtMs: number
}

/** `nowMs` is monotonic. */
export type BucketEvent =
  /** Records are to be read: how many may be? */
  | { readonly type: 'reserve'; readonly nowMs: number; readonly records: number }
  /** Of what was granted, not used. */
  | { readonly type: 'give-back'; readonly records: number }
  /** What lies behind took them, and was ready for more after `tookMs`. */
  | { readonly type: 'taken'; readonly nowMs: number; readonly records: number; readonly tookMs: number }
  | { readonly type: 'looked'; readonly nowMs: number; readonly lagMs: number }
  | { readonly type: 'adjust'; readonly nowMs: number; readonly limit: RateLimit }

export type BucketEffect =
  | { readonly type: 'grant'; readonly records: number }
  | { readonly type: 'changed'; readonly from: number; readonly to: number; readonly reason: RateReason | null }

export interface BucketStep {
  readonly state: BucketState
  readonly effects: readonly BucketEffect[]
}

/** `limit.recordsPerSecond` is not null. Empty at first. */
export const bucketFor = ({ recordsPerSecond, minRecordsPerSecond }: RateLimit, nowMs: number): BucketState => ({
  ...{ most: recordsPerSecond!, least: minRecordsPerSecond, rate: recordsPerSecond!, reason: null },
  ...{ tokens: 0, atMs: nowMs, behindMs: 0, slowReads: 0, loopLags: 0, seconds: [] },
  ...{ loweredAtMs: nowMs, raisedAtMs: nowMs },
})

export function stepBucket(state: BucketState, event: BucketEvent): BucketStep {
  switch (event.type) {
    case 'reserve':
      return onReserve(state, event)
    case 'give-back':
      return { state: { ...state, tokens: state.tokens + event.records }, effects: [] }
    case 'taken':
      return onTaken(state, event)
    case 'looked':
      return onLooked(state, event)
    case 'adjust':
      return onAdjust(state, event)
  }
}

/**
 * Until the next whole record, or a tenth of the burst if that is later: not one wake-up per record. Less where no timer waits that long:
 * then it is asked for again.
 */
export function bucketWaitMs({ tokens, rate, atMs }: BucketState, nowMs: number): number {
  const perMs = rate / SECOND_MS
  const wanted = Math.max(1, burstOf(rate) / 10)
  return Math.max(1, Math.min(DURATION_MS_MAX, (wanted - tokens) / perMs - (nowMs - atMs)))
}

const burstOf = (rate: number): number => Math.max(1, (rate / SECOND_MS) * BURST_MS)
const isAdaptive = ({ least }: BucketState): boolean => least !== null

function onReserve(before: BucketState, { nowMs, records: wanted }: Extract<BucketEvent, { type: 'reserve' }>) {
  const { state, effects } = raised(before, nowMs)
  const { rate } = state
  const tokens = Math.min(burstOf(rate), state.tokens + (nowMs - state.atMs) * (rate / SECOND_MS))
  const portion = isAdaptive(state) ? Math.max(1, Math.ceil((rate / SECOND_MS) * PORTION_MS)) : wanted
  const records = Math.min(wanted, portion, Math.floor(tokens))
  const grant: BucketEffect = { type: 'grant', records }
  return { state: { ...state, tokens: tokens - records, atMs: nowMs }, effects: [...effects, grant] }
}

function onTaken(state: BucketState, { nowMs, records, tookMs }: Extract<BucketEvent, { type: 'taken' }>): BucketStep {
  if (!isAdaptive(state)) return { state, effects: [] }
  const isSettling = nowMs - state.loweredAtMs < SETTLE_MS && state.reason !== null
  const givenMs = (records / state.rate) * SECOND_MS
  const behindMs = isSettling ? 0 : Math.max(0, state.behindMs + tookMs - givenMs)
  const seconds = withTaken(state.seconds, nowMs, {
    ...{ records, reservations: isSettling ? 0 : 1, reserved: isSettling ? 0 : records },
    failed: behindMs > BURST_MS ? records : 0,
  })
  const slowReads = tookMs > SLOW_READ_MS && !isSettling ? state.slowReads + 1 : 0
  const next = { ...state, seconds, behindMs, slowReads }
  if (slowReads >= SLOW_READS_MAX) return lowered(next, nowMs, 'slow-reads')
  return isFailing(seconds) ? lowered(next, nowMs, 'failed-reservations') : { state: next, effects: [] }
}

function onLooked(state: BucketState, { nowMs, lagMs }: Extract<BucketEvent, { type: 'looked' }>): BucketStep {
  if (!isAdaptive(state)) return { state, effects: [] }
  const isSettling = nowMs - state.loweredAtMs < SETTLE_MS && state.reason !== null
  const loopLags = lagMs > LOOP_LAG_MS && !isSettling ? state.loopLags + 1 : 0
  const next = { ...state, loopLags }
  return loopLags >= LOOP_LAGS_MAX ? lowered(next, nowMs, 'event-loop-lag') : { state: next, effects: [] }
}

/** Somebody knows better: the rate begins at the new limit, with the tokens it has. */
function onAdjust(state: BucketState, { nowMs, limit }: Extract<BucketEvent, { type: 'adjust' }>): BucketStep {
  const fresh = bucketFor(limit, nowMs)
  const saved = Math.min(burstOf(state.rate), state.tokens + (nowMs - state.atMs) * (state.rate / SECOND_MS))
  const next = { ...fresh, tokens: Math.min(saved, burstOf(fresh.rate)) }
  return { state: next, effects: [{ type: 'changed', from: state.rate, to: next.rate, reason: null }] }
}

function lowered(state: BucketState, nowMs: number, reason: RateReason): BucketStep {
  const passed = passedOn(state.seconds, nowMs)
  const rate = Math.max(state.least!, LOWER_FACTOR * Math.min(state.rate, passed ?? state.rate))
  const next: BucketState = {
    ...state,
    ...{ rate, reason, behindMs: 0, slowReads: 0, loopLags: 0, seconds: [], loweredAtMs: nowMs, raisedAtMs: nowMs },
    tokens: Math.min(state.tokens, burstOf(rate)),
  }
  return { state: next, effects: [{ type: 'changed', from: state.rate, to: rate, reason }] }
}

function raised(state: BucketState, nowMs: number): BucketStep {
  if (state.rate >= state.most || nowMs - state.loweredAtMs < WINDOW_MS) return { state, effects: [] }
  // Only while it is used: of a source that stood still nobody knows how it would have fared.
  const seconds = Math.min(nowMs - Math.max(state.raisedAtMs, state.loweredAtMs + WINDOW_MS), SECOND_MS) / SECOND_MS
  const windows = Math.floor((nowMs - state.loweredAtMs) / WINDOW_MS)
  const step = RAISE_PER_SECOND * 2 ** Math.min(windows - 1, DOUBLED_MAX)
  const rate = Math.min(state.most, state.rate + step * state.most * seconds)
  const reason = rate < state.most ? state.reason : null
  const changed: BucketEffect = { type: 'changed', from: state.rate, to: rate, reason }
  return { state: { ...state, rate, reason, raisedAtMs: nowMs }, effects: [changed] }
}

function withTaken(seconds: readonly Second[], nowMs: number, of: Omit<Second, 'startMs'>): readonly Second[] {
  const last = seconds.at(-1)
  if (last === undefined || nowMs - last.startMs >= SECOND_MS)
    return [...seconds.filter(({ startMs }) => nowMs - startMs < WINDOW_MS), { startMs: nowMs, ...of }]
  const sum: Second = {
    startMs: last.startMs,
    reservations: last.reservations + of.reservations,
    reserved: last.reserved + of.reserved,
    failed: last.failed + of.failed,
    records: last.records + of.records,
  }
  return [...seconds.slice(0, -1), sum]
}

function isFailing(seconds: readonly Second[]): boolean {
  let [reservations, reserved, failed] = [0, 0, 0]
  for (const second of seconds) {
    reservations += second.reservations
    reserved += second.reserved
    failed += second.failed
  }
  return reservations >= RESERVATIONS_MIN && failed / reserved >= FAILED_SHARE_MAX
}

/** Records per second of the last one to two seconds; null: too short a time to tell. */
function passedOn(seconds: readonly Second[], nowMs: number): number | null {
  const recent = seconds.slice(-2)
  const elapsedMs = nowMs - (recent[0]?.startMs ?? nowMs)
  if (elapsedMs < SECOND_MS / 2) return null
  return (recent.reduce((sum, { records }) => sum + records, 0) / elapsedMs) * SECOND_MS
}
