/** Requests against a log that answers when the test says so. */
import type { DurableLog } from '@weir/dataflow'
import { WeirError, type TopicRecord } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { INGEST_DEFAULTS, IngestServer, type IngestOptions } from '../index.ts'

/** Appends wait for `go`. */
class HeldLog implements DurableLog {
  readonly durable: TopicRecord[] = []
  readonly sizes: number[] = []
  #held: (() => void)[] | null = null
  failure: WeirError | null = null

  hold(): void {
    this.#held = []
  }

  go(): void {
    const held = this.#held ?? []
    this.#held = null
    for (const call of held) call()
  }

  get waiting(): number {
    return this.#held?.length ?? 0
  }

  async append(_topic: string, records: readonly TopicRecord[]): Promise<void> {
    this.sizes.push(records.length)
    if (this.#held !== null) await new Promise<void>((resolve) => this.#held!.push(resolve))
    if (this.failure !== null) throw this.failure
    this.durable.push(...records)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

const servers: IngestServer[] = []
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())))
async function started(over: Partial<IngestOptions> = {}) {
  const log = new HeldLog()
  const options = { ...INGEST_DEFAULTS, port: 0, token: null, topics: ['orders'], ...over }
  const server = new IngestServer(options, { log, clock: systemClock })
  servers.push(server)
  const { port } = await server.listen()
  const post = (body: string, headers: Record<string, string> = {}, path = '/topics/orders', method = 'POST') =>
    fetch(`http://127.0.0.1:${port}${path}`, { method, headers, ...(method !== 'GET' && { body }) })
  return { log, server, post, port }
}
const code = async (response: Response): Promise<unknown> => ((await response.json()) as { code: string }).code

test('2xx comes when the record is durable, and not before', async () => {
  const { log, post } = await started()
  log.hold()
  let answered = false
  const posted = post('{"id":1}').then((response) => ((answered = true), response))
  await expect.poll(() => log.waiting).toBe(1)
  expect(answered).toBe(false)
  log.go()
  expect((await posted).status).toBe(200)
  expect(log.durable.map(({ value }) => String(value))).toEqual(['{"id":1}'])
})

test('the headers that matter are headers of the record, and Weir-Key is its key', async () => {
  const { log, post } = await started()
  const headers = { 'idempotency-key': 'k-1', 'content-type': 'text/plain', traceparent: '00-a-b-01', 'x-other': 'no' }
  await post('a', { ...headers, 'weir-key': 'user-7' })
  const [record] = log.durable
  expect(String(record!.key)).toBe('user-7')
  expect(record!.headers.map(([name, value]) => [name, String(value)])).toEqual([
    ['idempotency-key', 'k-1'],
    ['content-type', 'text/plain'],
    ['traceparent', '00-a-b-01'],
  ])
})

test('what comes while the log is busy shares its next append, in order', async () => {
  const { log, post } = await started()
  log.hold()
  const first = post('0')
  await expect.poll(() => log.waiting).toBe(1)
  const rest = [1, 2, 3].map((n) => post(String(n)))
  log.go()
  for (const { status } of await Promise.all([first, ...rest])) expect(status).toBe(200)
  expect(log.durable.map(({ value }) => String(value)).sort()).toEqual(['0', '1', '2', '3'])
  expect(log.sizes.reduce((sum, n) => sum + n, 0)).toBe(4)
})

test('what waits is bounded: above it 503 with Retry-After, and it goes on when there is room', async () => {
  const { log, post } = await started({ waitingBytesMax: 10 })
  log.hold()
  const waits = post('12345678')
  await expect.poll(() => log.waiting).toBe(1)
  const refused = await post('1234')
  expect([refused.status, refused.headers.get('retry-after'), await code(refused)]).toEqual([503, '1', 'BACK_PRESSURE'])
  log.go()
  expect((await waits).status).toBe(200)
  expect((await post('1234')).status).toBe(200)
})

test.each([
  ['nobody knows', new WeirError({ code: 'LOG_AWAY', kind: 'retry' }, 'away'), 503, 'LOG_AWAY'],
  ['no such topic', new WeirError({ code: 'UNKNOWN_TOPIC', kind: 'invalid' }, 'none'), 404, 'UNKNOWN_TOPIC'],
  ['too large', new WeirError({ code: 'RECORD_TOO_LARGE', kind: 'invalid' }, 'big'), 400, 'RECORD_TOO_LARGE'],
] as const)('%s: what the log says decides the answer', async (_, failure, status, expected) => {
  const { log, post } = await started()
  log.failure = failure
  const answer = await post('a')
  expect([answer.status, await code(answer)]).toEqual([status, expected])
  expect(answer.headers.get('retry-after')).toBe(status === 503 ? '1' : null)
  log.failure = null
  expect((await post('a')).status).toBe(200)
})

test('wrong requests are refused with what is right', async () => {
  const { log, post } = await started({ bodyBytesMax: 4 })
  const answers = [
    await post('a', {}, '/topics/other'),
    await post('a', {}, '/'),
    await post('a', {}, '/topics/%E0%A4%A'),
    await post('', {}, '/topics/orders', 'GET'),
    await post(''),
    await post('12345'),
    await post('a', { 'idempotency-key': 'with space' }),
    await post('a', { 'idempotency-key': 'k'.repeat(256) }),
  ]
  expect(await Promise.all(answers.map(async (answer) => [answer.status, await code(answer)]))).toEqual([
    [404, 'TOPIC_NOT_SERVED'],
    [404, 'TOPIC_NOT_SERVED'],
    [404, 'TOPIC_NOT_SERVED'],
    [405, 'METHOD'],
    [400, 'BODY_EMPTY'],
    [413, 'BODY_TOO_LARGE'],
    [400, 'IDEMPOTENCY_KEY'],
    [400, 'IDEMPOTENCY_KEY'],
  ])
  expect(log.durable).toEqual([])
})

test('a body without a declared length is cut off at the limit', async () => {
  const { port, log } = await started({ bodyBytesMax: 16 })
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (data) => (answer += data.toString()))
  socket.on('error', () => undefined)
  socket.write('POST /topics/orders HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n')
  for (let i = 0; i < 4; i++) socket.write('8\r\n12345678\r\n')
  await expect.poll(() => answer).toMatch(/^HTTP\/1\.1 413 /)
  await expect.poll(() => socket.closed || socket.destroyed).toBe(true)
  expect(log.durable).toEqual([])
})

test('a token is asked for; beyond loopback there must be one', async () => {
  const { post } = await started({ token: 'secret' })
  expect((await post('a')).status).toBe(401)
  expect((await post('a', { authorization: 'Bearer wrong' })).status).toBe(401)
  expect((await post('a', { authorization: 'Bearer secret' })).status).toBe(200)
  const open = { ...INGEST_DEFAULTS, host: '0.0.0.0', token: null, topics: ['orders'] }
  const make = (): IngestServer => new IngestServer(open, { log: new HeldLog(), clock: systemClock })
  expect(make).toThrow(expect.objectContaining({ code: 'INGEST_UNGUARDED', kind: 'invalid' }) as Error)
})

test('a server that closes answers what it has taken', async () => {
  const { log, server, post } = await started()
  log.hold()
  const posted = post('a')
  await expect.poll(() => log.waiting).toBe(1)
  const closed = server.close()
  log.go()
  expect((await posted).status).toBe(200)
  await closed
})
