/** Upload, submit, and wait until the job runs: whoever submits hears what is wrong with it. */
import { WeirError } from '@weir/model'
import type { jobs } from '@weir/proto'
import type { JobsClient } from '@weir/wire'
import type { Bundle } from './bundle.ts'

const POLL_MS = 150
const WAIT_MS = 60_000

/** Throws what the job-manager refuses; `JOB_FAILED` (invalid) with the reason; `JOB_NOT_RUNNING` (retry) after 60 s. */
export async function submit(
  client: JobsClient,
  bundle: Bundle,
  options: { readonly id: string | undefined; readonly wait: boolean },
): Promise<jobs.JobView> {
  await client.uploadBundle(bundle.digest, bundle.bytes)
  const { name } = bundle.plan.job
  const { jobId } = await client.submit({
    jobId: options.id ?? '',
    name,
    bundleDigest: bundle.digest,
    graphHash: bundle.graphHash,
    plan: Buffer.from(JSON.stringify(bundle.plan.summary)),
  })
  const until = Date.now() + WAIT_MS
  for (;;) {
    const view = await client.get(jobId)
    if (!options.wait || view.state === 'RUNNING' || view.state === 'FINISHED') return view
    if (['FAILED', 'CANCELLED', 'STOPPED'].includes(view.state)) throw failed(view)
    if (Date.now() > until) {
      const why = view.error === '' ? '' : `: ${(JSON.parse(view.error) as { message: string }).message}`
      throw new WeirError(
        { code: 'JOB_NOT_RUNNING', kind: 'retry', jobId, state: view.state },
        `job "${jobId}" is ${view.state} after ${WAIT_MS / 1_000} s${why}. It stays submitted; \`weir get ${jobId}\` shows more.`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

export function failed(view: jobs.JobView): WeirError {
  const reason = view.error === '' ? null : (JSON.parse(view.error) as { code: string; message: string; facts: object })
  return new WeirError(
    { code: 'JOB_FAILED', kind: 'invalid', jobId: view.jobId, state: view.state, reason },
    `job "${view.jobId}" is ${view.state}${reason === null ? '' : `: ${reason.code}: ${reason.message}`}`,
  )
}
