/** `weir savepoint`, `weir stop`, `weir savepoints`. */
import { WeirError } from '@weir/model'
import type { jobs } from '@weir/proto'
import type { JobsClient } from '@weir/wire'
import { needed } from './usage.ts'

type Print = (value: unknown, text: string) => void

const POLL_MS = 150

/** Waits until the savepoint is complete; with `stop`, until the job is STOPPED with it. */
export async function takeSavepoint(
  client: Pick<JobsClient, 'get' | 'listSavepoints' | 'takeSavepoint'>,
  of: {
    readonly jobId: string | undefined
    readonly name: string | undefined
    readonly stop: boolean
    readonly wait: boolean
  },
  print: Print,
): Promise<number> {
  const jobId = needed(of.jobId, 'JOB-ID')
  const name = needed(of.name, 'NAME')
  const asked = await client.takeSavepoint(jobId, name, of.stop)
  for (let view = asked; of.wait; await new Promise((resolve) => setTimeout(resolve, POLL_MS))) {
    // The job first: of one that is over, the list is the last word.
    const job = of.stop ? await client.get(jobId) : null
    const over = job !== null && ['STOPPED', 'FAILED', 'CANCELLED', 'FINISHED'].includes(job.state)
    view = (await client.listSavepoints(jobId)).find((s) => s.name === name) ?? view
    if (view.state === 'FAILED') throw failure(view.error)
    if (view.state === 'COMPLETE' && (job === null || job.state === 'STOPPED')) {
      print(view, `${jobId}${job === null ? '' : ' is STOPPED,'} savepoint ${line(view)}`)
      return 0
    }
    if (over) throw job.error === '' ? ended(job) : failure(job.error)
  }
  print(asked, `savepoint ${name} of ${jobId} is being taken; weir savepoints ${jobId} tells when it is complete`)
  return 0
}

export async function savepoints(
  client: JobsClient,
  {
    jobId,
    verb,
    name,
  }: { readonly jobId: string | undefined; readonly verb: string | undefined; readonly name: string | undefined },
  print: Print,
): Promise<number> {
  if (verb === 'delete') {
    await client.deleteSavepoint(needed(jobId, 'JOB-ID'), needed(name, 'NAME'))
    print({}, `savepoint ${name} of ${jobId} is deleted`)
    return 0
  }
  const ids = jobId === undefined ? (await client.list()).map((job) => job.jobId) : [jobId]
  const all: jobs.SavepointView[] = []
  for (const id of ids) all.push(...(await client.listSavepoints(id)))
  print(all, all.map((view) => `${view.jobId}\t${line(view)}`).join('\n') || 'no savepoints')
  return 0
}

function line(view: jobs.SavepointView): string {
  const facts = [
    view.state === 'COMPLETE' ? null : view.state,
    view.epoch === undefined ? null : `epoch ${view.epoch}`,
    view.bytes === undefined ? null : `${view.bytes} bytes of state`,
    view.stopped ? 'the job stopped with it' : null,
    new Date(view.takenAt).toISOString(),
    view.folder ?? null,
    view.error === '' ? null : (JSON.parse(view.error) as { message: string }).message,
  ]
  return [view.name, ...facts.filter((fact) => fact !== null)].join('\t')
}

const failure = (error: string): WeirError =>
  WeirError.fromJSON(JSON.parse(error) as Parameters<typeof WeirError.fromJSON>[0])
const ended = ({ jobId, state }: jobs.JobView): WeirError =>
  new WeirError(
    { code: 'SAVEPOINT_NOT_TAKEN', kind: 'invalid', jobId, state },
    `job ${jobId} is ${state}, without the savepoint`,
  )
