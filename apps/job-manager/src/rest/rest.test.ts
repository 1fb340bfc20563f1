/** Pages, versions, keys and streams of the REST API, on a job-manager that leads. */
import type { JobRecord } from '@weir/checkpoint'
import { defaultSettings, type PlanSummary } from '@weir/dataflow'
import { digest, jobId } from '@weir/model'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testManager, type TestManager } from './testing.ts'

const PLAN: PlanSummary = {
  ...{ version: 1, name: 'j', settings: defaultSettings, nodes: [], edges: [], stages: 1, sources: [], sinks: [] },
}
const record = (id: string, plan = PLAN): JobRecord => ({
  ...{ jobId: jobId(id), name: id, bundleDigest: digest('b'), graphHash: 'g', submittedAt: 1, desired: 'running' },
  ...{ plan, ended: null },
})
/** One source, whose rate may be changed. */
const READING: PlanSummary = {
  ...{ ...PLAN, sources: ['in'] },
  nodes: [{ uid: 'in', kind: 'source', config: { recordsPerSecond: 100 }, stage: 0 }],
}

let fleet: TestManager
beforeAll(async () => {
  fleet = await testManager()
  for (const id of ['c', 'a', 'b']) await fleet.term.submit(record(id))
})
afterAll(() => fleet.close())

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${fleet.url}/api/v1/${path}`, { headers })
const send = (method: string, path: string, headers: Record<string, string> = {}, body?: object): Promise<Response> =>
  fetch(`${fleet.url}/api/v1/${path}`, {
    method,
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
const codeOf = async (answer: Response): Promise<unknown> => [
  answer.status,
  ((await answer.json()) as { code: string }).code,
]

describe('pages', () => {
  test('a list is walked by its next links, and every entry comes once', async () => {
    const seen: string[] = []
    let path: string | undefined = 'jobs?limit=2'
    while (path !== undefined) {
      const answer = await get(path)
      seen.push(...((await answer.json()) as { jobId: string }[]).map((job) => job.jobId))
      path = /^<\/api\/v1\/(.*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1]
    }
    expect(seen).toEqual(['a', 'b', 'c'])
  })

  test('a limit above the bound and a cursor of other letters are refused', async () => {
    expect(await codeOf(await get('jobs?limit=1001'))).toEqual([400, 'PAGE_INVALID'])
    expect(await codeOf(await get('jobs?cursor=%25'))).toEqual([400, 'PAGE_INVALID'])
  })
})

test.each([
  'state-diff?before=&after=&limit=',
  'state/sum/total?limit=',
  'state/sum/total?cursor=',
  'state/sum/total/k?split=',
  'dead-letters?limit=',
  'dead-letters?from=',
])('a parameter without a value is not taken for none: %s', async (path) => {
  expect(await codeOf(await get(`jobs/a/${path}`))).toEqual([400, 'PAGE_INVALID'])
})

describe('a checkpoint by its subtasks', () => {
  test('an epoch of which nothing is known is not there, and one that is none is refused', async () => {
    expect(await codeOf(await get('jobs/a/checkpoints/7/tasks'))).toEqual([404, 'CHECKPOINT_UNKNOWN'])
    expect(await codeOf(await get('jobs/nobody/checkpoints/7/tasks'))).toEqual([404, 'JOB_UNKNOWN'])
    expect(await codeOf(await get('jobs/a/checkpoints/newest/tasks'))).toEqual([400, 'EPOCH_INVALID'])
  })
})

describe('versions', () => {
  test('a rescale says on which version it rests: 428 without, 412 with another one', async () => {
    expect(await codeOf(await send('PATCH', 'jobs/a', {}, { parallelism: 2 }))).toEqual([428, 'PRECONDITION_REQUIRED'])
    const other = await send('PATCH', 'jobs/a', { 'if-match': '"other"' }, { parallelism: 2 })
    expect(await codeOf(other)).toEqual([412, 'PRECONDITION_FAILED'])
  })

  test('a change with the version that is, or with *, is looked at', async () => {
    for (const tag of [(await get('jobs/a')).headers.get('etag')!, '*']) {
      const answer = await send('PATCH', 'jobs/a', { 'if-match': tag }, { parallelism: 2 })
      expect(await codeOf(answer)).toEqual([409, 'RESCALE_NO_SLOTS'])
    }
  })

  test('a rate makes another version, so that who decided on the one before is refused; its own has it', async () => {
    await fleet.term.submit(record('rated', READING))
    const etag = (await get('jobs/rated')).headers.get('etag')!
    const first = await send('PATCH', 'jobs/rated/rate', { 'if-match': etag }, { recordsPerSecond: 7 })
    expect([first.status, first.headers.get('etag') === etag]).toEqual([202, false])
    const second = await send('PATCH', 'jobs/rated/operators/in/rate', { 'if-match': etag }, { recordsPerSecond: 8 })
    expect(await codeOf(second)).toEqual([412, 'PRECONDITION_FAILED'])
    expect((await send('PATCH', 'jobs/rated/rate', {}, { recordsPerSecond: 9 })).status).toBe(202)
    await send('POST', 'jobs/rated/cancel')
  })

  test('turning the degrade switch makes another version; a job without one, and what is no switch, is refused', async () => {
    const degradable = { ...READING, settings: { ...READING.settings, degradable: true } }
    await fleet.term.submit(record('degraded', degradable))
    const turn = (of: string, degraded: unknown, tag = '*'): Promise<Response> =>
      send('PATCH', `jobs/${of}/degrade-switch`, { 'if-match': tag }, { degraded })
    const etag = (await get('jobs/degraded')).headers.get('etag')!
    const on = await turn('degraded', true, etag)
    expect([on.status, on.headers.get('etag') === etag]).toEqual([202, false])
    expect(await on.json()).toMatchObject({ jobId: 'degraded', degradeSwitch: 'on' })
    expect(await codeOf(await turn('degraded', false, etag))).toEqual([412, 'PRECONDITION_FAILED'])
    expect(await codeOf(await turn('degraded', 'on'))).toEqual([400, 'DEGRADE_INVALID'])
    expect(await codeOf(await turn('a', true))).toEqual([409, 'JOB_NOT_DEGRADABLE'])
    expect(await (await get('jobs/a')).json()).toMatchObject({ degradeSwitch: null })
    await send('POST', 'jobs/degraded/cancel')
  })

  test('a cancel on an older version changes nothing, and one on the newest has a new version', async () => {
    const { etag } = Object.fromEntries((await get('jobs/c')).headers)
    const stale = await send('POST', 'jobs/c/cancel', { 'if-match': '"stale"' })
    expect(await codeOf(stale)).toEqual([412, 'PRECONDITION_FAILED'])
    expect((await (await get('jobs/c')).json()) as object).not.toMatchObject({ state: 'CANCELLED' })
    const done = await send('POST', 'jobs/c/cancel', { 'if-match': etag! })
    expect([done.status, done.headers.get('etag') === etag]).toEqual([202, false])
  })
})

describe('idempotency keys', () => {
  test('the same request again has the same answer, and says so', async () => {
    const once = await send('POST', 'jobs/b/savepoints', { 'idempotency-key': 'k1' }, { name: 's' })
    const again = await send('POST', 'jobs/b/savepoints', { 'idempotency-key': '"k1"' }, { name: 's' })
    expect([once.status, again.status]).toEqual([202, 202])
    expect(await again.json()).toEqual(await once.json())
    expect([once, again].map(({ headers }) => headers.get('idempotency-replayed'))).toEqual([null, 'true'])
    // Without the key it is a second wish.
    expect(await codeOf(await send('POST', 'jobs/b/savepoints', {}, { name: 's' }))).toEqual([409, 'SAVEPOINT_EXISTS'])
  })

  test('a refusal is an answer too', async () => {
    const ask = () => send('POST', 'jobs/nobody/cancel', { 'idempotency-key': 'k2' })
    expect(await codeOf(await ask())).toEqual([404, 'JOB_UNKNOWN'])
    expect(await codeOf(await ask())).toEqual([404, 'JOB_UNKNOWN'])
  })

  test('another body under the same key is refused', async () => {
    const answer = await send('POST', 'jobs/b/savepoints', { 'idempotency-key': 'k1' }, { name: 'other' })
    expect(await codeOf(answer)).toEqual([422, 'IDEMPOTENCY_KEY_REUSED'])
  })

  test('a key of other letters is refused', async () => {
    const answer = await send('POST', 'jobs/b/cancel', { 'idempotency-key': 'two words' })
    expect(await codeOf(answer)).toEqual([400, 'IDEMPOTENCY_KEY_INVALID'])
  })
})

describe('the description', () => {
  const properties = async (of: string): Promise<Record<string, unknown>> => {
    const { components } = (await (await fetch(`${fleet.url}/docs-json`)).json()) as {
      components: { schemas: Record<string, { properties: Record<string, unknown> }> }
    }
    return components.schemas[of]!.properties
  }

  test('a rate is above 0, as what is refused', async () => {
    const aboveZero = { type: ['number', 'null'], exclusiveMinimum: 0 }
    expect(await properties('RateWishDto')).toEqual({
      recordsPerSecond: { ...aboveZero, description: expect.any(String) },
      minRecordsPerSecond: { ...aboveZero, description: expect.any(String) },
    })
    await fleet.term.submit(record('limited', READING))
    const limit = (recordsPerSecond: number): Promise<Response> =>
      send('PATCH', 'jobs/limited/rate', {}, { recordsPerSecond })
    expect(await codeOf(await limit(0))).toEqual([400, 'RATE_INVALID'])
    expect((await limit(Number.MIN_VALUE)).status).toBe(202)
    await send('POST', 'jobs/limited/cancel')
  })

  test('a key of state is a text or a number, its value whatever JSON has', async () => {
    const key = [{ type: 'string' }, { type: 'number' }]
    const { key: byKey, entry, value } = await properties('StateEntryDto')
    expect(byKey).toEqual({ oneOf: key })
    expect(entry).toMatchObject({ anyOf: [{ oneOf: key }, { type: 'null' }] })
    const json = ['string', 'number', 'boolean', 'object', 'array'].map((type) => ({ type }))
    expect(value).toMatchObject({ anyOf: [{ anyOf: json }, { type: 'null' }] })
  })
})

/** Events of an answer, one at a time. */
async function* events(answer: Response): AsyncGenerator<{ event: string; id: string; data: unknown }> {
  let text = ''
  for await (const bytes of answer.body!.pipeThrough(new TextDecoderStream())) {
    text += bytes
    const frames = text.split('\n\n')
    text = frames.pop()!
    for (const frame of frames) {
      const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(frame)?.[1] ?? ''
      if (field('event') !== '') yield { event: field('event'), id: field('id'), data: JSON.parse(field('data')) }
    }
  }
}

describe('streams of events', () => {
  test('a snapshot of all jobs comes first, then what changes, then nothing when the term is over', async () => {
    const own = await testManager()
    const answer = await fetch(`${own.url}/api/v1/events`)
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const stream = events(answer)
    const first = (await stream.next()).value!
    expect(first).toMatchObject({
      event: 'snapshot',
      data: { generation: 1, missed: false, jobs: [], taskManagers: [] },
    })
    await own.term.submit(record('new'))
    const seen: string[] = []
    for await (const { event, data } of stream) {
      seen.push(event)
      if (event === 'job' && (data as { jobId: string }).jobId === 'new') break
    }
    expect(seen).toContain('job')
    const second = events(await fetch(`${own.url}/api/v1/events`))
    expect((await second.next()).value).toMatchObject({ data: { jobs: [{ jobId: 'new', watermark: null }] } })
    await own.close()
    // Behind the last event the stream ends by itself.
    for await (const _ of second);
  })

  test('of one job it has everything, and notices since the last event', async () => {
    const at = `${fleet.term.generation}-${fleet.term.notices.serial}`
    fleet.term.notices.add('weir:job:alert', { jobId: 'a', code: 'SOURCE_GAP', raised: true })
    fleet.term.notices.add('weir:job:alert', { jobId: 'b', code: 'SOURCE_GAP', raised: true })
    const stream = events(await get('jobs/a/events', { 'last-event-id': at }))
    expect((await stream.next()).value).toMatchObject({
      ...{ event: 'snapshot', data: { missed: false, job: { jobId: 'a', slices: [] }, checkpoints: [] } },
    })
    expect((await stream.next()).value).toMatchObject({
      ...{ event: 'notice', data: { channel: 'weir:job:alert', jobId: 'a', message: { code: 'SOURCE_GAP' } } },
    })
    await stream.return(undefined)
  })

  test('what is of another leader has been missed', async () => {
    const stream = events(await get('jobs/a/events', { 'last-event-id': '999-1' }))
    expect((await stream.next()).value).toMatchObject({ data: { missed: true } })
    await stream.return(undefined)
  })

  test('of a job that is not there it is a problem', async () => {
    expect(await codeOf(await get('jobs/nobody/events'))).toEqual([404, 'JOB_UNKNOWN'])
    expect((await fetch(`${fleet.url}/api/v1/events`, { method: 'HEAD' })).status).toBe(200)
  })
})

test('editors are given the JSON Schema of pipelines', async () => {
  const answer = await fetch(`${fleet.url}/schemas/pipeline.json`)
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/schema+json; charset=utf-8'])
  expect(await answer.json()).toMatchObject({ $id: 'urn:weir:pipeline:1', type: 'object' })
})
