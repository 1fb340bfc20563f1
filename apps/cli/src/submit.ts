/** Upload, submit, and wait until the job runs: whoever submits hears what is wrong with it. */
import { WeirError } from '@weir/model'
import type { jobs } from '@weir/proto'
import type { JobsClient } from '@weir/wire'
import type { Bundle } from './bundle.ts'
import { QUIET, type Progress } from './progress.ts'

/** `--from` and what it is told. */
export interface StartOptions {
  readonly from: string
  readonly allowDroppedState: string[]
  readonly acceptRepeatedOutput: boolean
}

const POLL_MS = 150
const WAIT_MS = 60_000

/** Throws what the job-manager refuses; `JOB_FAILED` (invalid) with the reason; `JOB_NOT_RUNNING` (retry) after 60 s. */
export async function submit(
  client: Pick<JobsClient, 'get' | 'submit' | 'uploadBundle'>,
  bundle: Bundle,
  options: {
    readonly id: string | undefined
    readonly wait: boolean
    readonly start?: StartOptions
    readonly signature?: string
  },
  note: (text: string) => void = () => {},
  progress: Progress = QUIET,
): Promise<jobs.JobView> {
  progress.at('upload', `${Math.ceil(bundle.bytes.byteLength / 1_024)} KiB`)
  await client.uploadBundle(bundle.digest, bundle.bytes, options.signature)
  const { name } = bundle.plan.job
  progress.at('preflight')
  const { jobId, notes } = await client.submit({
    ...options.start,
    jobId: options.id ?? '',
    name,
    bundleDigest: bundle.digest,
    graphHash: bundle.graphHash,
    plan: Buffer.from(JSON.stringify(bundle.plan.summary)),
  })
  for (const text of notes) note(text)
  return await running(client, jobId, options.wait, progress)
}

/** A job that has ended, with the bundle it had. Throws as `submit`. */
export async function start(
  client: JobsClient,
  jobId: string,
  options: { readonly wait: boolean; readonly start: StartOptions },
  note: (text: string) => void,
  progress: Progress = QUIET,
): Promise<jobs.JobView> {
  progress.at('preflight')
  const { notes } = await client.restart({ jobId, ...options.start })
  for (const text of notes) note(text)
  return await running(client, jobId, options.wait, progress)
}

async function running(
  client: Pick<JobsClient, 'get'>,
  jobId: string,
  wait: boolean,
  progress: Progress,
): Promise<jobs.JobView> {
  const until = Date.now() + WAIT_MS
  for (;;) {
    const view = await client.get(jobId)
    if (view.state === 'RUNNING' || view.state === 'FINISHED') {
      progress.at('running')
      return view
    }
    progress.at('deploy', view.state)
    if (!wait) return view
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
