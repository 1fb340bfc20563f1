/** Whether a change was decided on what still is: `If-Match` against the version of a job (RFC 9110, 13.1.1). */
import type { JobView } from '@weir/job'
import { WeirError } from '@weir/model'
import { createHash } from 'node:crypto'

/**
 * Of what a change may rest on: what the job is asked for and what has become of it. Progress (records, watermarks, epochs)
 * and what a rate is lowered to by itself make no other version, since otherwise nobody could ever change a running job.
 */
export function versionOf({
  jobId,
  submittedAt,
  generation,
  attempt,
  state,
  parallelism,
  rescalingTo,
  rates,
  degradeSwitch,
}: JobView): string {
  const limits = rates.map(({ source, recordsPerSecond, minRecordsPerSecond }) => [
    ...[source, recordsPerSecond, minRecordsPerSecond],
  ])
  const is = [jobId, submittedAt, generation, attempt, state, parallelism, rescalingTo, limits, degradeSwitch]
  const facts = JSON.stringify(is)
  return `"${createHash('sha256').update(facts).digest('base64url').slice(0, 22)}"`
}

/** Weak tags never match (RFC 9110, 8.8.3.2), nor does what is no tag. */
export function precondition(
  ifMatch: string | undefined,
  version: string,
  required: boolean,
): 'met' | 'missing' | 'failed' {
  if (ifMatch === undefined) return required ? 'missing' : 'met'
  const tags = ifMatch.split(',').map((tag) => tag.trim())
  return tags.includes('*') || tags.includes(version) ? 'met' : 'failed'
}

/** Throws `PRECONDITION_REQUIRED`, `PRECONDITION_FAILED` (invalid). */
export function requireVersion(ifMatch: string | undefined, view: JobView, required: boolean): void {
  const version = versionOf(view)
  const outcome = precondition(ifMatch, version, required)
  const { jobId, state, parallelism } = view
  if (outcome === 'missing') {
    throw new WeirError(
      { code: 'PRECONDITION_REQUIRED', kind: 'invalid', jobId },
      `say on which version of job ${jobId} the change rests: If-Match with the ETag of GET /api/v1/jobs/${jobId}, or * for any`,
    )
  }
  if (outcome === 'failed') {
    throw new WeirError(
      { code: 'PRECONDITION_FAILED', kind: 'invalid', jobId, version, state, parallelism },
      `job ${jobId} is not what it was when the change was decided (it is ${state}, parallelism ${parallelism}): look again, then send its new ETag`,
    )
  }
}
