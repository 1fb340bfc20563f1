/**
 * How fast the sources of a job are read: as its plan says, or as somebody has asked for since. What was asked for stands in the
 * job's record, so a restart and the next leader go on with it; nothing true depends on it, so it stands beside the job machine.
 */
import {
  rateLimitOf,
  rateProblem,
  type PlanSummary,
  type RateLimit,
  type RateLimits,
  type RateReason,
  type SourceNode,
  type SourceRate,
} from '@weir/dataflow'
import { WeirError, type JobId } from '@weir/model'

/** Of one source, over all subtasks. */
export interface RateView extends RateLimit {
  readonly source: string
  /** As the subtasks that run told it last; null: not limited, or none has told yet. */
  readonly current: number | null
  /** Of the first subtask whose rate is below its part of the limit; null: none is. */
  readonly reason: RateReason | null
}

type Nodes = Pick<PlanSummary, 'nodes'>

const sourcesOf = ({ nodes }: Nodes): { uid: string; limit: RateLimit }[] =>
  nodes.flatMap(({ uid, kind, config }) =>
    kind === 'source' ? [{ uid, limit: rateLimitOf(config as Pick<SourceNode, 'recordsPerSecond'>) }] : [],
  )

/**
 * @param source null: every source of the job
 * @param wish `recordsPerSecond` and `minRecordsPerSecond` as somebody wrote them
 * Throws `RATE_INVALID`, `SOURCE_UNKNOWN` (invalid).
 */
export function limitsWith(
  { plan, jobId, limits }: { readonly plan: Nodes; readonly jobId: JobId; readonly limits: RateLimits },
  source: string | null,
  wish: { readonly recordsPerSecond?: unknown; readonly minRecordsPerSecond?: unknown },
): RateLimits {
  const { recordsPerSecond, minRecordsPerSecond = null } = wish
  const limit = { recordsPerSecond, minRecordsPerSecond } as RateLimit
  const problem =
    recordsPerSecond === undefined
      ? 'say how many: {"recordsPerSecond":5000}, null for no limit; with "minRecordsPerSecond" it may be lowered so far.'
      : rateProblem(limit)
  if (problem !== null) throw new WeirError({ code: 'RATE_INVALID', kind: 'invalid', jobId }, problem)
  const sources = sourcesOf(plan).map(({ uid }) => uid)
  if (source !== null && !sources.includes(source)) {
    throw new WeirError(
      { code: 'SOURCE_UNKNOWN', kind: 'invalid', jobId, source, sources },
      `job ${jobId} has no source "${source}"; it has ${sources.join(', ')}`,
    )
  }
  const changed = source === null ? sources : [source]
  return { ...limits, ...Object.fromEntries(changed.map((uid) => [uid, limit])) }
}

export function rateViews(
  plan: Nodes,
  limits: RateLimits,
  slices: Iterable<{ readonly rates: readonly SourceRate[] }>,
): RateView[] {
  const told = [...slices].flatMap(({ rates }) => rates)
  return sourcesOf(plan).map(({ uid, limit }) => {
    const own = told.filter(({ source, current }) => source === uid && current !== null)
    return {
      source: uid,
      ...(limits[uid] ?? limit),
      current: own.length === 0 ? null : own.reduce((sum, { current }) => sum + current!, 0),
      reason: own.find(({ reason }) => reason !== null)?.reason ?? null,
    }
  })
}
