/**
 * What a job that has ended leaves behind is looked for and ended: no transaction of it stays open, no published output
 * stays uncommitted. One machine per ended job and term of leadership.
 *
 * ```
 *                 every sink subtask has a verdict           something is open
 *   settling ─────────────────────────────────▶ looking ─────────────────────▶ aborting
 *     ▲   │ some have none yet                  ▲    │ nothing is                 │
 *     │   ▼                                     │    ▼                            │
 *   resting ◀───────────────────────────────────┴─ resting ◀──────────────────────┘
 *                                                    │ nothing was, for one transaction timeout
 *                                                    ▼
 *                                                  closed
 * ```
 *
 * A slice that was replaced before the end may still be in its recovery, whose InitProducerId goes through whenever it
 * comes: so one look is not enough. It is repeated until the server itself would have aborted what was open at the end.
 * Settled first, and only then aborted: until every published transaction is proven, nobody knows which open one counts.
 */
import type { TransactionName } from '@weir/dataflow'
import { withOutcome, type SinkOutcome } from './ledger.ts'

/** Between two looks at one job: doubling from the first to the second, ms. */
const LOOK_INTERVAL_MIN_MS = 500
export const LOOK_INTERVAL_MAX_MS = 15_000

export interface ReaperState {
  readonly phase: 'settling' | 'looking' | 'aborting' | 'resting' | 'closed'
  /** Longest life of a transaction of the job at the server: how long to look, ms. */
  readonly transactionTimeoutMs: number
  /** Every published transaction has its verdict. */
  readonly settled: boolean
  readonly outcomes: readonly SinkOutcome[]
  /** Monotonic ms; of `resting`. */
  readonly untilMs: number
  readonly intervalMs: number
  /** A look from here on that finds nothing is the last one. */
  readonly closeAtMs: number
}

export type ReaperEvent = { readonly now: number } & (
  | { readonly type: 'tick' }
  /** One per sink subtask; without a verdict yet: `UNSETTLED` with the reason in its facts. */
  | { readonly type: 'settled'; readonly outcomes: readonly SinkOutcome[] }
  /** `open` can be aborted; `ending` counts those that are decided and not over yet. */
  | { readonly type: 'looked'; readonly open: readonly TransactionName[]; readonly ending: number }
  | { readonly type: 'look-failed' }
  /** Every one has been answered, or not. */
  | { readonly type: 'aborted' }
)

export type ReaperEffect =
  /** A fresh compare-and-swap of the job's head, then every sink subtask. */
  | { readonly type: 'settle' }
  | { readonly type: 'look' }
  /** Exactly these: by producer id and epoch. */
  | { readonly type: 'abort'; readonly transactions: readonly TransactionName[] }
  /** Into the job's record, for the next leader and for people. */
  | { readonly type: 'record'; readonly ledger: 'settled' | 'closed'; readonly outcomes: readonly SinkOutcome[] }

export interface ReaperStep {
  readonly state: ReaperState
  readonly effects: readonly ReaperEffect[]
}

export function reaperFor(
  of: { readonly transactionTimeoutMs: number; readonly settled: boolean; readonly outcomes: readonly SinkOutcome[] },
  now: number,
): ReaperStep {
  const closeAtMs = now + of.transactionTimeoutMs
  const state: ReaperState = { ...of, phase: 'resting', untilMs: now, intervalMs: LOOK_INTERVAL_MIN_MS, closeAtMs }
  return goOn(state)
}

/** Throws for an event that is not the answer to the last effect. */
export function stepReaper(state: ReaperState, event: ReaperEvent): ReaperStep {
  if (event.type === 'tick') {
    return state.phase === 'resting' && event.now >= state.untilMs ? goOn(state) : { state, effects: [] }
  }
  switch (`${state.phase}/${event.type}`) {
    case 'settling/settled': {
      const given = (event as { outcomes: readonly SinkOutcome[] }).outcomes
      const outcomes = given.reduce(withOutcome, state.outcomes)
      const next = { ...state, outcomes }
      if (outcomes.some((o) => o.state === 'UNSETTLED')) return rest(next, event.now)
      const looking = goOn({ ...next, settled: true, intervalMs: LOOK_INTERVAL_MIN_MS })
      return { ...looking, effects: [{ type: 'record', ledger: 'settled', outcomes }, ...looking.effects] }
    }
    case 'looking/looked': {
      const { open, ending } = event as Extract<ReaperEvent, { type: 'looked' }>
      const found = { ...state, intervalMs: LOOK_INTERVAL_MIN_MS, closeAtMs: event.now + state.transactionTimeoutMs }
      if (open.length > 0)
        return { state: { ...found, phase: 'aborting' }, effects: [{ type: 'abort', transactions: open }] }
      if (ending > 0) return rest(found, event.now)
      if (event.now < state.closeAtMs) return rest(state, event.now)
      const { outcomes } = state
      return { state: { ...state, phase: 'closed' }, effects: [{ type: 'record', ledger: 'closed', outcomes }] }
    }
    case 'looking/look-failed':
    case 'aborting/aborted':
      return rest(state, event.now)
    default:
      throw new Error(`internal: ${event.type} while ${state.phase}`)
  }
}

const goOn = (state: ReaperState): ReaperStep =>
  state.settled
    ? { state: { ...state, phase: 'looking' }, effects: [{ type: 'look' }] }
    : { state: { ...state, phase: 'settling' }, effects: [{ type: 'settle' }] }

/** → resting, each time longer */
const rest = (state: ReaperState, now: number): ReaperStep => ({
  state: {
    ...state,
    phase: 'resting',
    untilMs: now + state.intervalMs,
    intervalMs: Math.min(LOOK_INTERVAL_MAX_MS, state.intervalMs * 2),
  },
  effects: [],
})
