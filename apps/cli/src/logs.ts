/** `weir logs`: what happens to a job, as the job-manager tells it (docs/REST.md, streams of events). */
import { WeirError } from '@weir/model'
import { eventsIn, type ServerEvent } from './server-events.ts'

export interface LogsCommand {
  /** Undefined: of all jobs. */
  readonly jobId: string | undefined
  readonly rest: string
  readonly token: string | null
  /** False: what has happened, and no more. */
  readonly follow: boolean
}

interface Notice {
  readonly at: number
  readonly channel: string
  readonly jobId: string | null
  readonly message: Readonly<Record<string, unknown>>
}

const RECONNECT_MS = 1_000
/** Notices come at once behind the snapshot; whoever does not follow waits no longer for another. */
const QUIET_MS = 500
/** Before every one the leader may have kept. */
const FROM_THE_BEGINNING = '0-0'

/** Until Ctrl-C with `follow`. Throws `REST_UNREACHABLE` (retry), and what the job-manager refuses. */
export async function logs(command: LogsCommand, print: (value: unknown, text: string) => void): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  let last = FROM_THE_BEGINNING
  let isAgain = false
  let quiet: NodeJS.Timeout | undefined
  const endSoon = (): void => {
    clearTimeout(quiet)
    if (!command.follow) quiet = setTimeout(() => stop.abort(), QUIET_MS)
  }
  while (!stop.signal.aborted) {
    try {
      for await (const event of await open(command, last, stop)) {
        isAgain = true
        last = event.id === '' ? last : event.id
        if (event.type === 'snapshot' || event.type === 'notice') endSoon()
        if (event.type !== 'notice') continue
        const notice = JSON.parse(event.data) as Notice
        print(notice, line(notice))
      }
    } catch (thrown) {
      if (stop.signal.aborted) return 0
      if (!isAgain || !command.follow) throw thrown
    }
    if (!command.follow) return 0
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS))
  }
  return 0
}

async function open(
  { jobId, rest, token }: LogsCommand,
  last: string,
  { signal }: AbortController,
): Promise<AsyncIterable<ServerEvent>> {
  const path = jobId === undefined ? 'events' : `jobs/${encodeURIComponent(jobId)}/events`
  const headers = { 'last-event-id': last, ...(token !== null && { authorization: `Bearer ${token}` }) }
  const answer = await fetch(new URL(`/api/v1/${path}`, rest), { headers, signal }).catch((cause: unknown) => {
    if (signal.aborted) throw cause
    throw new WeirError(
      { code: 'REST_UNREACHABLE', kind: 'retry', rest },
      `no job-manager answers at ${rest}: give --rest URL or WEIR_REST`,
      { cause },
    )
  })
  if (answer.ok) return eventsIn(answer.body!)
  const problem = (await answer.json().catch(() => ({}))) as { code?: string; detail?: string; title?: string }
  const kind = answer.status >= 500 ? 'retry' : 'invalid'
  throw new WeirError(
    { code: problem.code ?? 'REST_REFUSED', kind, status: answer.status },
    problem.detail ?? problem.title ?? `${rest} answers ${answer.status}`,
  )
}

const line = ({ at, channel, jobId, message }: Notice): string =>
  [new Date(at).toISOString(), jobId ?? '–', channel.replace('weir:', ''), told(message)].join('\t')

/** The facts in short; of a nested one its code and message where it is an error. */
const told = (message: Notice['message']): string =>
  Object.entries(message)
    .filter(([name]) => name !== 'jobId')
    .map(([name, value]) => `${name} ${text(value)}`)
    .join(', ')

function text(value: unknown): string {
  if (typeof value === 'string') return value
  const { code, message } = (value ?? {}) as { code?: string; message?: string }
  return code !== undefined && message !== undefined ? `${code}: ${message}` : JSON.stringify(value)
}
