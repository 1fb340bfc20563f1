/** REST of the job-manager that served the page. */
import { authorization, refused } from './session.ts'

/** An answer that is a problem (RFC 9457): its code and what it says to do. */
export class Problem extends Error {
  readonly code: string
  constructor(code: string, detail: string) {
    super(detail)
    this.code = code
  }
}

const TIMEOUT_MS = 10_000

interface Init {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly signal?: AbortSignal
}

async function request(path: string, init: Init): Promise<Response> {
  const response = await fetch(`/api/v1/${path}`, {
    ...init,
    headers: { ...init.headers, ...authorization() },
    redirect: 'manual',
    signal: init.signal ?? AbortSignal.timeout(TIMEOUT_MS),
  })
  if (response.type === 'opaqueredirect')
    throw new Problem('NOT_LEADER', 'This job-manager does not lead: open the dashboard of the one that does.')
  if (response.ok) return response
  const body = (await response.json().catch(() => ({}))) as { code?: string; detail?: string }
  if (response.status === 401) refused(body.detail ?? 'This fleet wants to know who asks.')
  throw new Problem(body.code ?? `HTTP_${response.status}`, body.detail ?? response.statusText)
}

/** Pages of 1,000 that a list follows. */
const PAGES_MAX = 10

/** The whole list, all its pages. Throws `LIST_TOO_LONG` instead of a part that looks like the whole. */
export async function list<T>(path: string): Promise<readonly T[]> {
  const all: T[] = []
  let next: string | null = `${path}?limit=1000`
  for (let page = 0; next !== null; page++) {
    if (page === PAGES_MAX)
      throw new Problem('LIST_TOO_LONG', `${path} has more than ${PAGES_MAX},000 entries: use REST`)
    const { entries, next: after }: Awaited<ReturnType<typeof listed<T>>> = await listed<T>(next)
    all.push(...entries)
    next = after
  }
  return all
}

/** One page of a list. `next`: where the page behind it is; null: this is the last. */
export async function listed<T>(
  path: string,
): Promise<{ readonly entries: readonly T[]; readonly next: string | null }> {
  const response = await request(path, {})
  const next = /<\/api\/v1\/([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1] ?? null
  return { entries: (await response.json()) as T[], next }
}

export async function get<T>(path: string): Promise<T> {
  return (await tagged<T>(path)).body
}

/** With the version that a change of it must name. */
export async function tagged<T>(path: string): Promise<{ readonly body: T; readonly etag: string | null }> {
  const response = await request(path, {})
  return { body: (await response.json()) as T, etag: response.headers.get('etag') }
}

const JSON_BODY = { 'content-type': 'application/json' }

/** @param key the same for every try of one wish of the user's, so that it is done once. */
export async function post(path: string, key: string, body?: object): Promise<void> {
  const init = { method: 'POST', headers: { 'idempotency-key': key } }
  await request(
    path,
    body === undefined ? init : { ...init, headers: { ...init.headers, ...JSON_BODY }, body: JSON.stringify(body) },
  )
}

/** @param etag of what the user has seen; null: whatever it is by now */
export async function patch(path: string, body: object, etag: string | null): Promise<void> {
  await request(path, {
    method: 'PATCH',
    headers: { ...JSON_BODY, 'if-match': etag ?? '*' },
    body: JSON.stringify(body),
  })
}

/** @param recordsPerSecond null: no limit */
export const requestRate = (job: string, recordsPerSecond: number | null): Promise<void> =>
  patch(`${job}/rate`, { recordsPerSecond }, null)

/** Not `randomUUID`: browsers have it only on pages by https, or of this machine. */
export const newKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')

/** Text of a stream of events, as it comes. @param last id of the event it continues from; '': it begins */
export async function* eventStream(path: string, last: string, signal: AbortSignal): AsyncGenerator<string> {
  const response = await request(path, { signal, headers: last === '' ? {} : { 'last-event-id': last } })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value
}
