/**
 * From one version of a job to the next under its id: it stops with a savepoint, and the new version goes on from that. At no moment do
 * both run, since a start is refused until the record says that the job has ended; so all that can go wrong is that none does.
 *
 * ```
 *   stop ─▶ STOPPED ─▶ submit from the savepoint ─▶ runs
 *    │         │            └─ refused, or it fails at once ─▶ the version before goes on, where it still is the job's
 *    │         └─ without a savepoint ─▶ the version before goes on from its last epoch
 *    └─ refused ─▶ nothing has happened
 * ```
 *
 * What was asked for and not answered is asked for again under the same names: whether it had been done, the job's record knows.
 */
import { WeirError, asWeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { jobs } from '@weir/proto'
import type { JobsClient } from '@weir/wire'
import type { Bundle } from '../bundle.ts'
import { takeSavepoint } from '../savepoint.ts'
import { submit } from '../submit.ts'

export type PromotionClient = Pick<
  JobsClient,
  'get' | 'graph' | 'takeSavepoint' | 'listSavepoints' | 'uploadBundle' | 'submit' | 'restart'
>

export interface Promotion {
  readonly jobId: string
  readonly bundle: Bundle
  readonly signature: string
  /** Of the savepoint that is taken. */
  readonly savepoint: string
  readonly droppedState: readonly string[]
  readonly note: (text: string) => void
  /** Between two tries. Absent: 1 s. */
  readonly pauseMs?: number
}

/** A question that nobody answers is asked this often; each waits for an election by itself. */
export const TRIES = 5
const ENDED: readonly string[] = ['STOPPED', 'FAILED', 'CANCELLED', 'FINISHED']

/** @returns the job, running the new version. Throws `CANARY_NOT_PROMOTED` (invalid): what runs now, and what to do. */
export async function promoted(client: PromotionClient, of: Promotion): Promise<jobs.JobView> {
  try {
    await patiently(of, () => takeSavepoint(client, { ...stopOf(of), stop: true, wait: true }, () => {}))
  } catch (cause) {
    throw await notStopped(client, of, cause)
  }
  try {
    return await patiently(of, () => started(client, of))
  } catch (cause) {
    throw await notStarted(client, of, cause)
  }
}

const stopOf = ({ jobId, savepoint }: Promotion) => ({ jobId, name: savepoint })

/** Submitted once more, it may be there already. */
async function started(client: PromotionClient, of: Promotion): Promise<jobs.JobView> {
  const { jobId, bundle, savepoint, droppedState, signature, note } = of
  const start = { from: savepoint, allowDroppedState: [...droppedState], acceptRepeatedOutput: false }
  try {
    return await submit(client, bundle, { id: jobId, wait: true, start, signature }, note)
  } catch (error) {
    if (asWeirError(error, 'SUBMIT_FAILED').code !== 'JOB_EXISTS' || !(await isNew(client, of))) throw error
    const view = await client.get(jobId)
    if (view.state === 'RUNNING') return view
    throw new WeirError({ code: 'JOB_NOT_RUNNING', kind: 'retry', jobId, state: view.state }, `it is ${view.state}`)
  }
}

const isNew = async (client: PromotionClient, { jobId, bundle }: Promotion): Promise<boolean> =>
  (await client.graph(jobId)).bundleDigest === bundle.digest

async function patiently<T>({ pauseMs = 1_000 }: Promotion, ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (tries === TRIES || asWeirError(error, 'PROMOTION_FAILED').kind !== 'retry') throw error
      await systemClock.sleep(pauseMs)
    }
  }
}

async function notStopped(client: PromotionClient, of: Promotion, cause: unknown): Promise<WeirError> {
  const { jobId, savepoint } = of
  const job = await stateOf(client, of)
  if (job === null)
    return refused(of, cause, null, `whether it stops, nobody answers: \`weir get ${jobId}\` tells, ${goOn(of)}`)
  if (job === 'STOPPED') return refused(of, cause, job, await versionBefore(client, of, ''))
  if (job === 'STOPPING')
    return refused(of, cause, job, `it is stopping with savepoint ${savepoint}: when it is STOPPED, ${goOn(of)}`)
  return refused(of, cause, job, `it is ${job}, and was not stopped`)
}

async function notStarted(client: PromotionClient, of: Promotion, cause: unknown): Promise<WeirError> {
  const { jobId, savepoint } = of
  const job = await stateOf(client, of)
  const isNewVersion = await isNew(client, of).catch(() => null)
  if (job === null || isNewVersion === null)
    return refused(of, cause, job, `which version runs, nobody answers: \`weir get ${jobId}\` tells, ${goOn(of)}`)
  if (isNewVersion) {
    const behind = ENDED.includes(job) ? '' : ', behind a `weir cancel`'
    const why = `it has the new version and is ${job}. The version before goes on with \`weir submit OLD.ts --id ${jobId} --from ${savepoint}\`${behind}`
    return refused(of, cause, job, why)
  }
  if (job === 'STOPPED') return refused(of, cause, job, await versionBefore(client, of, savepoint))
  return refused(of, cause, job, `it is ${job} with the version before`)
}

/** It goes on, where the job's record still has it. @param from empty: its last epoch */
async function versionBefore(client: PromotionClient, of: Promotion, from: string): Promise<string> {
  const { jobId, savepoint } = of
  const again = { jobId, from, allowDroppedState: [], acceptRepeatedOutput: false }
  const place = from === '' ? 'its last epoch' : `savepoint ${savepoint}`
  return patiently(of, () => client.restart(again)).then(
    () => `the version before goes on from ${place}`,
    (error: unknown) =>
      asWeirError(error, 'RESTART_FAILED').code === 'JOB_EXISTS'
        ? `it was started meanwhile: \`weir get ${jobId}\` shows with which version`
        : `start the version before: \`weir start ${jobId}${from === '' ? '' : ` --from ${from}`}\` (${String(error)})`,
  )
}

const goOn = ({ jobId, savepoint }: Promotion): string =>
  `and either version goes on from the savepoint: \`weir start ${jobId} --from ${savepoint}\` the one before, \`weir submit NEW.ts --id ${jobId} --from ${savepoint}\` the new one`

/** Null: nobody answers. */
const stateOf = (client: PromotionClient, of: Promotion): Promise<string | null> =>
  patiently(of, () => client.get(of.jobId)).then(
    ({ state }) => state,
    () => null,
  )

function refused({ jobId, savepoint }: Promotion, cause: unknown, state: string | null, now: string): WeirError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new WeirError(
    { code: 'CANARY_NOT_PROMOTED', kind: 'invalid', jobId, savepoint, state },
    `${jobId} was not given the new version: ${why}; ${now}`,
    { cause },
  )
}
