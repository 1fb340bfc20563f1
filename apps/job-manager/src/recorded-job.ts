/** A job as its record has it: what a new leader begins with, and what is left of one that has ended. */
import type { JobRecord } from '@weir/checkpoint'
import { strategyOf, type PlanSummary, type RateLimits } from '@weir/dataflow'
import { rateViews, switchView, type JobSpec, type JobView, type SinkOutcome } from '@weir/job'

export function specOf({ jobId, name, bundleDigest, graphHash, highestParallelism, ...record }: JobRecord): JobSpec {
  const submitted = record.plan as PlanSummary
  const { parallelism = submitted.settings.parallelism } = record
  const plan = { ...submitted, settings: { ...submitted.settings, parallelism } }
  return { jobId, name, bundleDigest, graphHash, plan, highestParallelism }
}

export const limitsIn = ({ rates }: JobRecord): RateLimits => (rates ?? {}) as RateLimits

/** What has been asked for of a job while it ran, and stays with its id: as far as the plan that is next has the source, or a switch. */
export function askedFor(before: JobRecord, next: PlanSummary): Pick<JobRecord, 'rates' | 'degraded'> {
  const sources = next.nodes.filter(({ kind }) => kind === 'source').map(({ uid }) => uid)
  const rates = Object.fromEntries(Object.entries(limitsIn(before)).filter(([source]) => sources.includes(source)))
  return {
    ...(Object.keys(rates).length > 0 && { rates }),
    ...(before.degraded === true && next.settings.degradable === true && { degraded: true }),
  }
}

export function askedForNotes({ rates = {}, degraded }: Pick<JobRecord, 'rates' | 'degraded'>): readonly string[] {
  const limits = Object.entries(rates as RateLimits).map(([source, { recordsPerSecond }]) => {
    const limit = recordsPerSecond === null ? 'without a limit' : `with at most ${recordsPerSecond} records/s`
    return `source "${source}" goes on to be read ${limit}, as was asked for: \`weir rate\` changes it`
  })
  return degraded ? [...limits, 'the degrade switch stays on: `weir degrade` turns it off'] : limits
}

const outcomesOf = (record: JobRecord): { readonly sinks: readonly SinkOutcome[] } => ({
  sinks: (record.ended?.outcomes ?? []) as readonly SinkOutcome[],
})

/** @param last as this term has seen it; null: it had ended before. */
export const endedView = (record: JobRecord, last: JobView | null): JobView => ({
  ...(last ?? recordedView(record)),
  ...outcomesOf(record),
})

function recordedView(record: JobRecord): JobView {
  const { plan } = specOf(record)
  const newest = record.ended?.kept?.[0]
  const epoch = newest?.epoch ?? 0
  return {
    jobId: record.jobId,
    name: record.name,
    state: record.ended?.state ?? 'CREATED',
    generation: newest?.generation ?? 0,
    attempt: newest?.attempt ?? 0,
    parallelism: plan.settings.parallelism,
    rescalingTo: null,
    publishedEpoch: epoch,
    finalEpoch: record.ended?.ledger === 'unsettled' ? 0 : epoch,
    restarts: 0,
    regionRestarts: 0,
    recovering: [],
    restart: { strategy: strategyOf(plan.settings.restart), failures: 0, nextAt: null },
    degraded: false,
    circuit: { state: 'closed', failures: 0, until: null },
    lastRecoveryMs: null,
    healedTransactions: 0,
    sinks: [],
    alerts: [],
    sourceGaps: [],
    rates: rateViews(plan, limitsIn(record), []),
    degradeSwitch: switchView(plan.settings, record.degraded ?? false),
    recordsIn: 0,
    latency: null,
    submittedAt: record.submittedAt,
    error: (record.ended?.error as JobView['error'] | undefined) ?? null,
    slices: [],
  }
}
