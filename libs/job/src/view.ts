/** A job as REST and people see it. */
import type { BreakerState } from '@weir/checkpoint'
import {
  strategyOf,
  type ClaimCounts,
  type JobSettings,
  type LateCount,
  type OperatorRecords,
  type RateLimits,
  type RestartStrategy,
  type SourceRate,
  type SplitTime,
  type StageTime,
} from '@weir/dataflow'
import type { JobId } from '@weir/model'
import type { JobAlert } from './alerts.ts'
import { isFailingOver } from './failover.ts'
import { rateViews, type RateView } from './rates.ts'
import type { SourceGap } from './gaps.ts'
import type { LatencyView } from './latency.ts'
import type { SinkOutcome } from './ledger.ts'
import { jobStateName, type Failure, type JobState } from './state.ts'

export interface RestartView {
  readonly strategy: RestartStrategy
  /** Counted by the strategy at present. */
  readonly failures: number
  /** When the job restarts, ms since 1970; null: nothing waits for it. */
  readonly nextAt: number | null
}

/** Whether checkpoints are taken as the settings say: `BreakerState` in the checkpoint room has the states. */
export interface CircuitView {
  readonly state: BreakerState['phase']
  /** Epochs given up since one was published. */
  readonly failures: number
  /** Before then no epoch is triggered unless somebody asks for one, ms since 1970; null: nothing waits. */
  readonly until: number | null
}

export interface JobView {
  readonly jobId: JobId
  readonly name: string
  readonly state: string
  readonly generation: number
  readonly attempt: number
  readonly parallelism: number
  /** On its way to this parallelism; null: it is not. */
  readonly rescalingTo: number | null
  readonly publishedEpoch: number
  readonly finalEpoch: number
  /** Of all slices. */
  readonly restarts: number
  /** Of some slices, while the others went on. */
  readonly regionRestarts: number
  /** Slices that are away while the others run; empty: all are there. */
  readonly recovering: readonly number[]
  readonly restart: RestartView
  /** It works, and what protects it does not: the circuit is not closed, an arbiter is silent, or claims are decided without their store. */
  readonly degraded: boolean
  readonly circuit: CircuitView
  readonly lastRecoveryMs: number | null
  /** Transactions that the broker had aborted after their epoch was published, and that were written again: this term. */
  readonly healedTransactions: number
  /** How each sink subtask came out of the last recovery. */
  readonly sinks: readonly SinkOutcome[]
  /** What somebody should look at. */
  readonly alerts: readonly JobAlert[]
  /** What sources went over, as their policy `outOfRange` said. */
  readonly sourceGaps: readonly SourceGap[]
  /** How fast each source is read, over all subtasks. */
  readonly rates: readonly RateView[]
  /** As it was turned last, which user code sees from the next barrier on; null: the job has none (`degradable`). */
  readonly degradeSwitch: 'on' | 'off' | null
  readonly recordsIn: number
  /** How old records were when their output was committed, in this term; null: nothing is known. */
  readonly latency: LatencyView | null
  readonly submittedAt: number
  readonly error: Failure | null
  readonly slices: readonly {
    subtask: number
    /** In which it was deployed. */
    attempt: number
    taskManagerId: string
    status: string
    recordsIn: number
    recordsOut: number
    watermark: number
    /** Event time of the splits it reads. */
    splits: readonly SplitTime[]
    /** Of its idempotent operators, since it began. */
    claims: readonly ClaimCounts[]
    /** Operators to which records came too late, since the slice began to run. */
    late: readonly LateCount[]
    /** Its part of the limits, and what of it is used: of sources that are limited. */
    rates: readonly SourceRate[]
    /** Where the time of each stage goes; empty before the first second. */
    stages: readonly StageTime[]
    operators: readonly OperatorRecords[]
  }[]
}

/** A job without what grows with its width. */
export type JobSummary = Omit<JobView, 'slices' | 'sinks'> & {
  readonly recordsOut: number
  /** The lowest of its slices, ms since 1970; null: none yet. */
  readonly watermark: number | null
}

/** What is not in the state of the machine. */
export interface Seen {
  readonly submittedAt: number
  readonly alerts: readonly JobAlert[]
  readonly sourceGaps: readonly SourceGap[]
  /** The end stands in the job's record. */
  readonly isRecorded: boolean
  /** What went wrong when the end was recorded. */
  readonly endError: Failure | null
  readonly freeSlots: number
  readonly limits: RateLimits
  readonly degraded: boolean
  readonly latency: LatencyView | null
  /** Of a moment to come, monotonic ms, in ms since 1970. */
  readonly wallClockAt: (ms: number) => number
}

const DEGRADING: ReadonlySet<JobAlert['code']> = new Set(['CHECKPOINTS_FAILING', 'ARBITER_DEGRADED', 'CLAIMS_DEGRADED'])

export function viewOf(s: JobState, seen: Seen): JobView {
  const { alerts, sourceGaps, submittedAt } = seen
  const failing = alerts.some(({ code }) => DEGRADING.has(code))
  return {
    jobId: s.spec.jobId,
    name: s.spec.name,
    state: s.ending?.state === 'STOPPED' && !seen.isRecorded ? 'STOPPING' : jobStateName(s),
    generation: s.generation,
    attempt: s.attempt,
    parallelism: s.spec.plan.settings.parallelism,
    rescalingTo: s.wished?.parallelism ?? (s.rescaling && s.spec.plan.settings.parallelism),
    publishedEpoch: s.coordinator.published?.epoch ?? 0,
    finalEpoch: s.coordinator.final,
    restarts: s.restarts,
    regionRestarts: s.regionRestarts,
    recovering: isFailingOver(s) ? s.failover.subtasks : [],
    restart: restartView(s, seen),
    degraded: failing,
    circuit: circuitView(s, seen),
    lastRecoveryMs: s.lastRecoveryMs,
    healedTransactions: s.healed,
    sinks: s.outcomes,
    alerts,
    sourceGaps,
    rates: rateViews(s.spec.plan, seen.limits, s.slices.values()),
    degradeSwitch: switchView(s.spec.plan.settings, seen.degraded),
    recordsIn: s.recordsIn,
    latency: seen.latency,
    submittedAt,
    error: seen.endError ?? s.ending?.error ?? waitingForSlots(s, seen) ?? s.lastError,
    slices: [...s.slices.values()].map(({ exchangeAddress: _, inputEnded: __, metrics, ...slice }) => ({
      ...slice,
      stages: metrics?.stages ?? [],
      operators: metrics?.operators ?? [],
    })),
  }
}

export const switchView = ({ degradable }: Pick<JobSettings, 'degradable'>, on: boolean): JobView['degradeSwitch'] =>
  degradable !== true ? null : on ? 'on' : 'off'

function waitingForSlots(s: JobState, { freeSlots: free }: Seen): Failure | null {
  const forRegions = isFailingOver(s) && s.failover.step.at === 'placing' ? s.failover.subtasks.length : 0
  const needed = s.phase === 'placing' ? s.spec.plan.settings.parallelism : forRegions
  if (needed === 0) return null
  return {
    code: 'WAITING_FOR_SLOTS',
    kind: 'retry',
    message: `needs ${needed} slots, ${free} are free; start more task-managers or cancel a job`,
    facts: { needed, free },
  }
}

function restartView(s: JobState, { wallClockAt }: Seen): RestartView {
  const step = s.phase === 'running' ? s.failover?.step : null
  const untilMs = s.phase === 'backing-off' ? s.untilMs : step?.at === 'backing-off' ? step.untilMs : null
  const nextAt = untilMs === null ? null : wallClockAt(untilMs)
  return { strategy: strategyOf(s.restart.settings), failures: s.restart.failures, nextAt }
}

function circuitView({ coordinator: { breaker } }: JobState, { wallClockAt }: Seen): CircuitView {
  const untilMs = breaker.phase === 'open' ? breaker.untilMs : null
  const until = untilMs === null ? null : wallClockAt(untilMs)
  return { state: breaker.phase, failures: breaker.failures, until }
}
