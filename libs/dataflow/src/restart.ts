/** What a job does after a failure: the settings of its restart strategy, their defaults and their rules. */
import { WeirError } from '@weir/model'

/**
 * `fixed`: at most `attempts` restarts without a new final epoch between them, each after `delayMs`. It is what settings
 * without a `strategy` mean.
 *
 * `exponential`: restarts for ever; the delay begins at `initialMs` and is multiplied by `factor` with every failure, up to
 * `maxMs`; ± `jitter` × delay is added, so that jobs which failed together do not come back together. It begins anew after
 * `resetAfterMs` without a failure.
 *
 * `failure-rate`: `maxFailures` within any `intervalMs` are restarted from, each after `delayMs`; one more ends the job.
 *
 * `none`: the first failure ends the job.
 */
export type RestartSettings =
  | { readonly strategy?: 'fixed'; readonly attempts: number; readonly delayMs: number }
  | {
      readonly strategy: 'exponential'
      readonly initialMs: number
      readonly maxMs: number
      readonly factor: number
      readonly jitter: number
      readonly resetAfterMs: number
    }
  | {
      readonly strategy: 'failure-rate'
      readonly maxFailures: number
      readonly intervalMs: number
      readonly delayMs: number
    }
  | { readonly strategy: 'none' }

export type RestartStrategy = NonNullable<RestartSettings['strategy']>

/** As written in a job: what is left out has its default. */
export type RestartWish = RestartSettings extends infer R
  ? R extends { strategy: infer S }
    ? { readonly strategy: S } & Partial<R>
    : Partial<R>
  : never

/** Failure times a job remembers. */
const MAX_FAILURES_BOUND = 1_000
const BACKOFF_FACTOR_MAX = 100
/** What `setTimeout` can hold. */
const DELAY_MS_MAX = 2_147_483_647

const DEFAULTS = {
  fixed: { attempts: 10, delayMs: 1_000 },
  exponential: { initialMs: 1_000, maxMs: 60_000, factor: 1.5, jitter: 0.1, resetAfterMs: 3_600_000 },
  'failure-rate': { maxFailures: 3, intervalMs: 60_000, delayMs: 1_000 },
  none: {},
} as const

export const defaultRestart: RestartSettings = DEFAULTS.fixed

/** The wish with the defaults of its strategy; what is wrong in it stays for `validateRestart`. */
export const restartSettings = (wish: RestartWish = {}): RestartSettings =>
  ({ ...DEFAULTS[wish.strategy ?? 'fixed'], ...wish }) as RestartSettings

export const strategyOf = (restart: RestartSettings): RestartStrategy => restart.strategy ?? 'fixed'

/** Throws WeirError `SETTINGS_INVALID` (invalid) naming setting, value and rule. */
export function validateRestart(restart: RestartSettings): void {
  const strategy = strategyOf(restart)
  const known: Readonly<Record<string, object>> = DEFAULTS
  if (!Object.hasOwn(known, strategy)) {
    throw invalid('strategy', strategy, `it must be one of ${Object.keys(known).join(', ')}`)
  }
  const own = Object.keys(known[strategy]!)
  for (const [setting, value] of Object.entries(restart)) {
    if (setting === 'strategy' || own.includes(setting)) continue
    const owned = own.length === 0 ? 'takes no other settings' : `has ${own.join(', ')}`
    throw invalid(setting, value, `the strategy "${strategy}" ${owned}: remove it, or choose another strategy`)
  }
  switch (restart.strategy) {
    case undefined:
    case 'fixed':
      whole('attempts', restart.attempts, 0, Number.MAX_SAFE_INTEGER)
      return whole('delayMs', restart.delayMs, 0, DELAY_MS_MAX)
    case 'exponential':
      whole('initialMs', restart.initialMs, 1, DELAY_MS_MAX)
      whole('maxMs', restart.maxMs, restart.initialMs, DELAY_MS_MAX)
      within('factor', restart.factor, 1, BACKOFF_FACTOR_MAX)
      within('jitter', restart.jitter, 0, 1)
      return whole('resetAfterMs', restart.resetAfterMs, 1, DELAY_MS_MAX)
    case 'failure-rate':
      whole('maxFailures', restart.maxFailures, 1, MAX_FAILURES_BOUND)
      whole('intervalMs', restart.intervalMs, 1, DELAY_MS_MAX)
      return whole('delayMs', restart.delayMs, 0, DELAY_MS_MAX)
    case 'none':
  }
}

function within(setting: string, value: unknown, min: number, max: number): void {
  if (typeof value === 'number' && value >= min && value <= max) return
  throw invalid(setting, value, `it must be a number from ${min} to ${max}`)
}

function whole(setting: string, value: unknown, min: number, max: number): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return
  throw invalid(setting, value, `it must be a whole number from ${min} to ${max}`)
}

function invalid(name: string, value: unknown, rule: string): WeirError {
  const setting = `restart.${name}`
  const got = typeof value === 'string' ? `"${value}"` : typeof value === 'number' ? value : typeof value
  return new WeirError({ code: 'SETTINGS_INVALID', kind: 'invalid', setting, got }, `${setting} is ${got}; ${rule}.`)
}
