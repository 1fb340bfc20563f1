/**
 * The restart strategy of a job, as a pure machine: it counts failures and says after each whether the job restarts, and
 * after how long. Time and randomness come in with the events.
 *
 * ```
 *                 failed ─▶ restart after delayMs
 *   counting ──────┤
 *      ▲           └─────▶ exhausted: once too often
 *      └── forgotten: a final epoch (fixed), a quiet time (exponential), the interval (failure-rate)
 * ```
 *
 * The count is of one leader: a takeover begins at zero.
 */
import { strategyOf, type RestartSettings } from '@weir/dataflow'

export interface RestartState {
  readonly settings: RestartSettings
  /** That count at present. */
  readonly failures: number
  /** Monotonic ms of the newest failures, oldest first: as many as the strategy looks at. */
  readonly failedMs: readonly number[]
  /** `exponential`: the last delay before its jitter; 0 = none yet. */
  readonly backoffMs: number
  /** Before the next restart. */
  readonly delayMs: number
  /** Why there is no other restart; null = there may be. */
  readonly exhausted: string | null
}

export type RestartEvent =
  /** `random`: 0 ≤ x < 1, a draw of the injected source. */
  | { readonly type: 'failed'; readonly now: number; readonly random: number }
  /** A new epoch is final: the job makes progress. */
  | { readonly type: 'final' }
  /** A planned move is no failure: it counts for nothing and waits for nothing. */
  | { readonly type: 'moved' }

export const restartFor = (settings: RestartSettings): RestartState => ({
  settings,
  failures: 0,
  failedMs: [],
  backoffMs: 0,
  delayMs: 0,
  exhausted: null,
})

export function stepRestart(state: RestartState, event: RestartEvent): RestartState {
  if (state.exhausted !== null) return state
  switch (event.type) {
    case 'failed':
      return onFailed(state, event)
    case 'final':
      // The other strategies forget by time alone.
      return strategyOf(state.settings) === 'fixed' ? restartFor(state.settings) : state
    case 'moved':
      return { ...state, delayMs: 0 }
  }
}

function onFailed(state: RestartState, { now, random }: Extract<RestartEvent, { type: 'failed' }>): RestartState {
  const { settings } = state
  switch (settings.strategy) {
    case undefined:
    case 'fixed': {
      const failures = state.failures + 1
      const over = failures > settings.attempts
      const exhausted = over ? `restarted ${settings.attempts} times without a new final epoch` : null
      return { ...state, failures, delayMs: settings.delayMs, exhausted }
    }
    case 'exponential': {
      const { initialMs, maxMs, factor, jitter, resetAfterMs } = settings
      const last = state.failedMs[0]
      // The quiet time begins with the restart, not with the failure.
      const quiet = last === undefined || now - (last + state.delayMs) >= resetAfterMs
      const backoffMs = quiet ? initialMs : Math.min(state.backoffMs * factor, maxMs)
      const spread = (2 * random - 1) * jitter * backoffMs
      const delayMs = Math.round(Math.min(Math.max(backoffMs + spread, 0), maxMs))
      return { ...state, failures: quiet ? 1 : state.failures + 1, failedMs: [now], backoffMs, delayMs }
    }
    case 'failure-rate': {
      const { maxFailures, intervalMs, delayMs } = settings
      const failedMs = [...state.failedMs.filter((t) => now - t < intervalMs), now]
      const over = failedMs.length > maxFailures
      const exhausted = over ? `${failedMs.length} failures within ${intervalMs} ms (allowed: ${maxFailures})` : null
      return { ...state, failures: failedMs.length, failedMs, delayMs, exhausted }
    }
    case 'none':
      return { ...state, failures: 1, exhausted: 'the restart strategy is "none"' }
  }
}
