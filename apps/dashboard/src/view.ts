/** View models: what the pages show, out of what REST says. Pure. */
import type { DeadLetter } from '@weir/dataflow'
import type { CheckpointView, JobSummary as Summary, JobView, LedgerEntry } from '@weir/job'
import type { Unbranded } from '@weir/model'
import type { TaskManagerInfo } from '@weir/wire'

export type Job = Unbranded<JobView>
export type JobSummary = Unbranded<Summary>
export type Rate = Job['rates'][number]
export type Slice = Job['slices'][number]
export type Checkpoint = Unbranded<CheckpointView>
export type Transaction = Unbranded<LedgerEntry>
export type TaskManager = Unbranded<TaskManagerInfo>

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
export function timeline(
  checkpoints: readonly Pick<Checkpoint, 'epoch' | 'status' | 'durationMs' | 'reason'>[],
): readonly Bar[] {
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
export function ledger(transactions: readonly Pick<Transaction, 'state'>[]): Record<Transaction['state'], number> {
  const counts = { open: 0, prepared: 0, published: 0, committed: 0, lost: 0, foreign: 0 }
  for (const { state } of transactions) counts[state]++
  return counts
}

export const POLL_MS = 2_000
export const POLL_MAX_MS = 30_000

/** When to ask next, after so many failures in a row: doubled each time, up to a bound. */
export const pollAfter = (failures: number): number => Math.min(POLL_MAX_MS, POLL_MS * 2 ** Math.min(failures, 10))

/** 1234567 → 1,234,567 */
export const count = (n: number): string => Math.round(n).toLocaleString('en')

/** To three digits, in the unit that fits. */
export function milliseconds(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toPrecision(3)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`
}

/** The bound below which the given share of the records was; null: nothing is known, or it is beyond all bounds. */
export function quantile(latency: Job['latency'], share: number): number | null {
  if (latency === null) return null
  let below = 0
  for (const [i, bound] of latency.boundsMs.entries()) {
    below += latency.counts[i] ?? 0
    if (below >= latency.records * share) return bound
  }
  return null
}

/** 1536 → 1.5 KiB */
export function bytes(n: number): string {
  const unit = Math.min(4, n < 1 ? 0 : Math.floor(Math.log2(n) / 10))
  const shown = n / 1_024 ** unit
  return `${unit === 0 || shown >= 100 ? Math.round(shown) : shown.toPrecision(2)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`
}

/** UTC, to the second. @param at ms since 1970 */
export const time = (at: number): string => new Date(at).toISOString().replace('T', ' ').slice(0, 19)

/** What had effects already, or came from nowhere, cannot be read again. */
export const replayable = ({ origin, replay, replayed }: Pick<DeadLetter, 'origin' | 'replay' | 'replayed'>): boolean =>
  origin !== null && replay === 'whole' && replayed === null

/** Of its stages the busiest, and the one that waits longest for room: in percent of the last second. */
export const workOf = ({
  stages,
}: {
  readonly stages: readonly Pick<Slice['stages'][number], 'busyMsPerSecond' | 'backPressuredMsPerSecond'>[]
}): { readonly busy: string; readonly held: string } => {
  const most = (of: (stage: (typeof stages)[number]) => number): string =>
    stages.length === 0 ? '–' : `${Math.round(Math.max(...stages.map(of)) / 10)} %`
  return { busy: most((s) => s.busyMsPerSecond), held: most((s) => s.backPressuredMsPerSecond) }
}
