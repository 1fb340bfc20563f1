/**
 * The checkpoint circuit of one job, as a pure machine: who keeps failing is not asked as often.
 *
 * ```
 *            `failures` epochs given up in a row
 *   closed ───────────────────────────────────▶ open ──the pause is over, or somebody asks: one trial──▶ half-open
 *     ▲                                          ▲  ▲                                                      │   │
 *     │                                          │  └── the attempt ends without an answer: same pause ────┤   │
 *     │                                          └───── the trial is given up: twice the pause ────────────┘   │
 *     └──────────────────────────────────────────────── the trial is published ────────────────────────────────┘
 * ```
 *
 * Why opening ends the attempt. A given-up epoch aborts nothing: what its sinks have prepared travels on, one more id of
 * the pool with every epoch, and must be published before its transaction times out (PROTOCOL A2, B1, B3). Neither
 * leaves room for a pause behind a given-up epoch. So the circuit opens only together with a restart, which resolves
 * what is published and fences the rest: an attempt begins with nothing prepared. Its first trigger then comes late, and
 * that epoch is the only one it may try: given up, the attempt ends again. What such an attempt has open lives for pause +
 * alignment + recovery, so a pause within transaction timeout − alignment timeout − recovery budget keeps B1.
 *
 * The count is of one leader, like that of restarts: it outlives attempts and claims of the term, and a takeover begins closed.
 */
import { assert } from '@weir/model'

export interface BreakerSettings {
  /** Epochs given up in a row that open it. */
  readonly failures: number
  /** The ordinary time between two triggers: the first pause is twice that, each further one twice the one before. */
  readonly intervalMs: number
  /** No pause is longer: at most what is said above. */
  readonly pauseMsMax: number
}

export type BreakerPhase =
  /** Epochs are triggered as the job's settings say. */
  | { readonly phase: 'closed' }
  /** No epoch is triggered before; null = the pause has not begun, since no attempt runs. Monotonic ms. */
  | { readonly phase: 'open'; readonly untilMs: number | null }
  /** The trial is on its way. */
  | { readonly phase: 'half-open' }

export type BreakerState = BreakerPhase & {
  /** Epochs given up since one was published, over all attempts of the term. */
  readonly failures: number
  /** Times it was opened since it was closed: what the pause grows with. */
  readonly openings: number
}

export type BreakerEvent =
  /** An attempt runs, with nothing prepared. */
  | { readonly type: 'started'; readonly now: number }
  | { readonly type: 'triggered' }
  /** Not because the attempt ends: that says nothing about checkpoints. */
  | { readonly type: 'given-up' }
  | { readonly type: 'published' }

export const closedBreaker: BreakerState = { phase: 'closed', failures: 0, openings: 0 }

/** Into `open` from another phase means: the attempt must end. */
export function stepBreaker(state: BreakerState, event: BreakerEvent, settings: BreakerSettings): BreakerState {
  switch (event.type) {
    case 'started':
      return state.phase === 'closed' ? state : { ...open(state), untilMs: event.now + pauseMs(state, settings) }
    case 'triggered':
      return state.phase === 'open' ? { ...counts(state), phase: 'half-open' } : state
    case 'given-up': {
      assert(state.phase !== 'open', 'an epoch was given up, and none was triggered')
      const failed = { ...state, failures: state.failures + 1 }
      const opens = state.phase === 'half-open' || failed.failures >= settings.failures
      return opens ? open({ ...failed, openings: state.openings + 1 }) : failed
    }
    case 'published':
      return closedBreaker
  }
}

/** Between the start of an attempt and its first trigger. */
export const pauseMs = ({ openings }: BreakerState, { intervalMs, pauseMsMax }: BreakerSettings): number =>
  Math.min(intervalMs * 2 ** openings, pauseMsMax)

const counts = ({ failures, openings }: BreakerState) => ({ failures, openings })
const open = (state: BreakerState): BreakerState & { phase: 'open' } => ({
  ...counts(state),
  phase: 'open',
  untilMs: null,
})
