/** The contract of every sink against an endpoint that honours Idempotency-Key, and how one is told from its answers. */
import { MemoryStagedOutput, contextOf, exactlyOnceSinkContract } from '@weir/dataflow/testing'
import { attempt, epoch, generation, subtask } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { HttpDestination, StagedSink, httpSinkOptions } from '../index.ts'

interface Received {
  readonly key: string
  readonly body: string
  readonly headers: IncomingHttpHeaders
}
type Answer = { readonly status: number; readonly headers?: Record<string, string> } | 'cut'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** Every request is heard; the effect of a key happens once. `answer` may come before or behind the effect. */
async function endpoint(answer: (n: number) => { readonly effect: boolean; readonly with: Answer } = () => ok) {
  const heard: Received[] = []
  const effects = new Map<string, string>()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const key = String(request.headers['idempotency-key'])
      const body = Buffer.concat(chunks).toString()
      heard.push({ key, body, headers: request.headers })
      const { effect, with: answered } = answer(heard.length)
      if (effect && !effects.has(key)) effects.set(key, body)
      if (answered === 'cut') return void request.socket.destroy()
      response.writeHead(answered.status, answered.headers).end('said so')
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/orders`, heard, effects }
}
const ok = { effect: true, with: { status: 201 } } as const

const contextIn = (term = 1) =>
  contextOf('orders', 'out', {
    ...{ attempt: { generation: generation(term), attempt: attempt(1) }, subtask: subtask(2), parallelism: 3 },
  })
const checkpoint = (n: number) => ({ epoch: epoch(n), generation: generation(1), attempt: attempt(1) })
const sinkOf = (url: string, over = {}, staged = new MemoryStagedOutput(), context = contextIn()): StagedSink => {
  const options = httpSinkOptions({ connector: 'http', url, method: 'POST', contentType: 'text/plain', ...over })
  const destination = new HttpDestination(options, String, context)
  return new StagedSink({ context, clock: systemClock, staged, asides: null, destination })
}
const write = async (sink: StagedSink, ...values: string[]): Promise<void> =>
  sink.write({ keys: null, values, timestamps: values.map(() => 0) })

exactlyOnceSinkContract(async () => {
  const { url, effects } = await endpoint()
  const staged = new MemoryStagedOutput()
  const options = httpSinkOptions({ connector: 'http', url, method: 'POST', contentType: 'text/plain' })
  return {
    sink({ asides, encodeValue }) {
      const context = contextIn()
      const destination = new HttpDestination(options, encodeValue, context)
      return new StagedSink({ context, clock: systemClock, staged, asides, destination })
    },
    committed: () => Promise.resolve([...effects.values()]),
    leftovers: () => Promise.resolve(staged.stored.size),
    tells: { fenced: false, regression: false },
  }
})

test('a record has one key, whoever sends it; two attempts never share one', async () => {
  const { url, heard, effects } = await endpoint()
  process.env['WEIR_TEST_AUTHORIZATION'] = 'Bearer t'
  const [staged, over] = [new MemoryStagedOutput(), { authorization: 'env:WEIR_TEST_AUTHORIZATION' }]
  const sink = sinkOf(url, over, staged)
  await sink.recover(null)
  await write(sink, 'a', 'b')
  const state = await sink.prepare(checkpoint(1))
  await sink.commit(1)
  await sinkOf(url, over, staged, contextIn(2)).recover(state)
  const keys = [0, 1].map((n) => `orders/out/2/1.1/1/${n}`)
  expect(heard.map(({ key, body }) => [key, body])).toEqual([0, 1, 0, 1].map((n) => [keys[n], 'ab'[n]]))
  expect([...effects.values()]).toEqual(['a', 'b'])
  expect(heard[0]!.headers).toMatchObject({ authorization: 'Bearer t', 'content-type': 'text/plain' })
  const again = sinkOf(url, over, staged, contextIn(3))
  await again.recover(null)
  await write(again, 'c')
  await again.prepare(checkpoint(1))
  await again.commit(1)
  expect(heard.at(-1)!.key).toBe('orders/out/2/3.1/1/0')
})

test('an endpoint that is away is asked again, with what it has not answered, and nothing overtakes', async () => {
  const answers: Record<number, { effect: boolean; with: Answer }> = {
    2: { effect: true, with: 'cut' }, // it has it, and nobody knows
    3: { effect: true, with: { status: 503 } },
    5: { effect: false, with: { status: 429, headers: { 'retry-after': '0' } } },
    6: { effect: false, with: { status: 409 } },
  }
  const { url, heard, effects } = await endpoint((n) => answers[n] ?? ok)
  const sink = sinkOf(url)
  await sink.recover(null)
  await write(sink, 'a', 'b', 'c')
  await sink.prepare(checkpoint(1))
  await sink.commit(1)
  expect(heard.map(({ body }) => body)).toEqual(['a', 'b', 'b', 'b', 'c', 'c', 'c'])
  expect([...effects.values()]).toEqual(['a', 'b', 'c'])
})

test.each([
  [400, 'REQUEST_REFUSED'],
  [302, 'REQUEST_REFUSED'],
  [422, 'IDEMPOTENCY_KEY_REUSED'],
])('%i stops the job with the record’s key, and the next attempt goes on with that record', async (status, code) => {
  const bad = { effect: false, with: { status, headers: { location: 'http://127.0.0.1:1/' } } }
  const { url, effects } = await endpoint((n) => (n === 2 ? bad : ok))
  const staged = new MemoryStagedOutput()
  const sink = sinkOf(url, {}, staged)
  await sink.recover(null)
  await write(sink, 'a', 'b', 'c')
  const state = await sink.prepare(checkpoint(1))
  const facts = { status, key: 'orders/out/2/1.1/1/1', answer: 'said so' }
  await expect(sink.commit(1)).rejects.toMatchObject({ code, kind: 'invalid', facts })
  await sinkOf(url, {}, staged).recover(state)
  expect([...effects.values()]).toEqual(['a', 'b', 'c'])
})

test('a secret that the endpoint repeats is not in the error', async () => {
  process.env['WEIR_TEST_AUTHORIZATION'] = 'Basic YWRhOnNhaWQgc28='
  const { url } = await endpoint(() => ({ effect: false, with: { status: 400 } })) // it says "said so", the password
  const sink = sinkOf(url, { authorization: 'env:WEIR_TEST_AUTHORIZATION' })
  await sink.recover(null)
  await write(sink, 'a')
  await sink.prepare(checkpoint(1))
  await expect(sink.commit(1)).rejects.toMatchObject({ code: 'REQUEST_REFUSED', facts: { answer: '[secret]' } })
})

test('a secret that is not set is named before anything is sent', () => {
  expect(() => sinkOf('env:WEIR_NOT_SET')).toThrow(expect.objectContaining({ code: 'SECRET_MISSING' }) as Error)
})
