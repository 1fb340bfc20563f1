/**
 * Card limits: at most so much per card and day, a warning at a burst of small payments, and a report when a card has been
 * quiet, with state and timers by key. Needs no server: `weir dev apps/examples/src/04-card-limits.ts`
 */
import {
  datagen,
  job,
  listState,
  log,
  mapState,
  params,
  valueState,
  type FiredTimer,
  type KeyedContext,
  type Out,
  type Payment,
} from '@weir/sdk'

const p = params({
  splits: 4,
  recordsPerSplit: Number,
  rate: 5_000,
  users: 200,
  parallelism: 2,
  intervalMs: 1_000,
  decisions: 'card-decisions',
})

const DAY_MS = 86_400_000
const LIMIT_MINOR = 1_000_000
const BURST = { payments: 5, withinMs: 2_000 }
const QUIET_MS = 60_000

export type Decision =
  | { kind: 'approved' | 'over-limit' | 'burst'; user: string; id: string; spent: number }
  | { kind: 'quiet'; user: string; payments: number; days: readonly string[] }

const state = {
  /** Of the running day; a timer begins the next one. */
  spent: valueState({ initial: 0 }),
  /** Times of the last payments: what is older cannot be part of a burst. */
  recent: listState<number>({ ttl: BURST.withinMs }),
  /** Day → payments; a month is enough. */
  days: mapState<string, number>({ ttl: '30d' }),
  lastSeen: valueState<number>(),
}
const timers = { newDay: 'event', quiet: 'event' } as const
type Context = KeyedContext<typeof state, typeof timers>

function decide({ state, timers, timestamp }: Context, payment: Payment, out: Out<Decision>): void {
  const { user, id, amountMinor } = payment
  timers.newDay.set(timestamp - (timestamp % DAY_MS) + DAY_MS) // the same timer, however often it is set
  const last = state.lastSeen.get()
  if (last !== undefined) timers.quiet.delete(last + QUIET_MS)
  state.lastSeen.set(timestamp)
  timers.quiet.set(timestamp + QUIET_MS)

  const day = new Date(timestamp).toISOString().slice(0, 10)
  state.days.set(day, (state.days.get(day) ?? 0) + 1)
  state.recent.add(timestamp)
  const spent = state.spent.get() + amountMinor
  if (spent > LIMIT_MINOR) return out.emit({ kind: 'over-limit', user, id, spent: state.spent.get() })
  state.spent.set(spent)
  const burst = state.recent.get().length >= BURST.payments
  out.emit({ kind: burst ? 'burst' : 'approved', user, id, spent })
}

function ring({ key, state }: Context, timer: FiredTimer<'newDay' | 'quiet'>, out: Out<Decision>): void {
  if (timer.name === 'newDay') return state.spent.clear()
  const payments = [...state.days.values()].reduce((sum, n) => sum + n, 0)
  out.emit({ kind: 'quiet', user: String(key), payments, days: [...state.days.keys()].sort() })
}

export const limits = { state, timers, onRecord: decide, onTimer: ring }

export default job(
  'card-limits',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: Math.floor(p.intervalMs / 2) },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const { splits, users, rate: recordsPerSecond } = p
    flow
      .from(
        datagen.payments({ splits, recordsPerSplit: p.recordsPerSplit ?? null, users, recordsPerSecond }),
        'payments',
      )
      .filter((payment) => payment.status === 'PAID', 'paid')
      .keyBy((payment) => payment.user, 'by-user')
      .process('limits', limits)
      .to(log.sink(p.decisions), 'decisions')
  },
)
