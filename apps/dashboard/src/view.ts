/** View models: what the pages show, out of what REST says. Pure. */

export interface Job {
  readonly jobId: string
  readonly name: string
  readonly state: string
  readonly attempt: number
  readonly parallelism: number
  readonly publishedEpoch: number
  readonly finalEpoch: number
  readonly restarts: number
  readonly degraded: boolean
  readonly healedTransactions: number
  readonly recordsIn: number
  readonly alerts: readonly { readonly code: string; readonly message: string }[]
}
export interface Checkpoint {
  readonly epoch: number
  readonly attempt: number
  readonly status: 'in-progress' | 'published' | 'final' | 'given-up'
  readonly triggeredAt: number
  /** ms; null while it runs. */
  readonly durationMs: number | null
  readonly reason: string | null
}
export interface Transaction {
  readonly transactionalId: string
  readonly state: 'open' | 'prepared' | 'published' | 'committed' | 'lost' | 'foreign'
  readonly records: number | null
}
export interface TaskManager {
  readonly pod: string
  readonly version: string
  readonly httpAddress: string
  readonly draining: boolean
}

export type Tone = 'good' | 'busy' | 'bad' | 'quiet'

const MOVING = new Set(['CREATED', 'DEPLOYING', 'RECOVERING', 'RESTARTING', 'STOPPING', 'CANCELLING', 'FAILING'])

/** A running job that is degraded is not shown as well. */
export function toneOf(job: Pick<Job, 'state' | 'degraded'>): Tone {
  if (job.state === 'FAILED') return 'bad'
  if (MOVING.has(job.state)) return 'busy'
  if (job.state === 'RUNNING') return job.degraded ? 'bad' : 'good'
  return 'quiet'
}

/** Only what has not ended can be cancelled. */
export const canCancel = (state: string): boolean =>
  state === 'RUNNING' || (MOVING.has(state) && state !== 'CANCELLING' && state !== 'STOPPING')

export interface Bar {
  readonly epoch: number
  readonly tone: Tone
  /** 0 … 1 of the slowest that is shown; null: it has not ended, and has no length yet. */
  readonly share: number | null
  readonly label: string
}

const TONES: Record<Checkpoint['status'], Tone> = {
  'in-progress': 'busy',
  published: 'good',
  final: 'good',
  'given-up': 'bad',
}

/** Newest first, as REST lists them. */
export function timeline(checkpoints: readonly Checkpoint[]): readonly Bar[] {
  const slowest = Math.max(1, ...checkpoints.map((c) => c.durationMs ?? 0))
  return checkpoints.map((c) => ({
    epoch: c.epoch,
    tone: TONES[c.status],
    share: c.durationMs === null ? null : c.durationMs / slowest,
    label: [c.status, c.durationMs === null ? null : `${Math.round(c.durationMs)} ms`, c.reason]
      .filter((part) => part !== null)
      .join(', '),
  }))
}

/** How many transactions are in each state; all states are there, so that a zero is seen to be one. */
export function ledger(transactions: readonly Transaction[]): Record<Transaction['state'], number> {
  const counts = { open: 0, prepared: 0, published: 0, committed: 0, lost: 0, foreign: 0 }
  for (const { state } of transactions) counts[state]++
  return counts
}

export const POLL_MS = 2_000
export const POLL_MAX_MS = 30_000

/** When to ask next, after so many failures in a row: doubled each time, up to a bound. */
export const pollAfter = (failures: number): number => Math.min(POLL_MAX_MS, POLL_MS * 2 ** Math.min(failures, 10))
