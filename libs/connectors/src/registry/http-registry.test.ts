/** Faults no registry shows when it is asked to: a scripted server. What a real one says: test/integration/registry.kafka.test.ts. */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { RegistrySettings } from '@weir/dataflow'
import { systemClock } from '@weir/runtime/system'
import { afterEach, expect, test } from 'vitest'
import { HttpSchemaRegistry, REGISTRY_TRIES_MAX } from './http-registry.ts'

let server: Server | null = null
afterEach(() => server?.close())

interface Scripted {
  readonly url: string
  readonly requests: { readonly line: string; readonly authorization: string | undefined; readonly body: string }[]
}

/** Answers in order; the last one from then on. Null: the connection is cut. */
async function scripted(...answers: readonly (readonly [status: number, body: string] | null)[]): Promise<Scripted> {
  const requests: Scripted['requests'] = []
  const read = async (request: IncomingMessage): Promise<string> => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    return Buffer.concat(parts).toString()
  }
  server = createServer((request, response) => {
    void read(request).then((body) => {
      const { method, url, headers } = request
      const answer = answers[Math.min(requests.length, answers.length - 1)]!
      requests.push({ line: `${method} ${url}`, authorization: headers.authorization, body })
      if (answer === null) request.socket.destroy()
      else response.writeHead(answer[0], { 'content-type': 'application/json' }).end(answer[1])
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/`, requests }
}

/** Time passes at once: only the order of tries is looked at. */
const clock = { ...systemClock, sleep: () => Promise.resolve() }
const registry = (
  settings: RegistrySettings,
  { env = {}, signal = new AbortController().signal }: { env?: Record<string, string>; signal?: AbortSignal } = {},
): HttpSchemaRegistry => new HttpSchemaRegistry(settings, { clock, signal, env })

test('answers that may be others the next time are asked for again', async () => {
  const { url, requests } = await scripted(null, [500, 'oops'], [429, '{}'], [200, '{"schema":"\\"int\\""}'])
  expect(await registry({ url }).byId(7)).toEqual({ schema: '"int"', schemaType: 'AVRO', references: [] })
  expect(requests.map(({ line }) => line)).toEqual(Array.from({ length: 4 }, () => 'GET /api/schemas/ids/7'))
})

test('a registry that stays away is given up after a bounded number of tries', async () => {
  const { url, requests } = await scripted([503, '{"error_code":50301,"message":"rebalancing"}'])
  await expect(registry({ url }).byId(7)).rejects.toMatchObject({
    ...{ code: 'REGISTRY_UNREACHABLE', kind: 'retry' },
    message: expect.stringContaining('rebalancing (50301)') as string,
  })
  expect(requests).toHaveLength(REGISTRY_TRIES_MAX)
  await expect(registry({ url: 'http://127.0.0.1:1' }).byId(7)).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE' })
})

test.each([
  [401, '{"error_code":40101,"message":"who?"}', 'REGISTRY_DENIED'],
  [403, '', 'REGISTRY_DENIED'],
  [404, '{"error_code":40403,"message":"Schema not found"}', 'SCHEMA_UNKNOWN'],
  [404, '{"error_code":404,"message":"HTTP 404 Not Found"}', 'REGISTRY_REFUSED'],
  [409, '{"error_code":409,"message":"incompatible"}', 'SCHEMA_INCOMPATIBLE'],
  [422, '{"error_code":42201,"message":"no schema"}', 'SCHEMA_INVALID'],
  [200, '<html>', 'REGISTRY_REFUSED'],
  [200, '{"id":1}', 'REGISTRY_REFUSED'],
])('an answer %i %s is said once, as %s', async (status, body, code) => {
  const { url, requests } = await scripted([status, body])
  await expect(registry({ url }).byId(7)).rejects.toMatchObject({ code, kind: 'invalid' })
  expect(requests).toHaveLength(1)
})

test('credentials come from the environment by name, and are in no error', async () => {
  const { url, requests } = await scripted([401, '{}'])
  const env = { USER: 'ada', PASSWORD: 'secret', TOKEN: 'token' }
  const basic = { username: { env: 'USER' }, password: { env: 'PASSWORD' } }
  const error = await registry({ url, auth: basic }, { env })
    .byId(1)
    .then(undefined, (e: Error) => e)
  expect(String(error)).not.toContain('secret')
  await expect(registry({ url, auth: { token: { env: 'TOKEN' } } }, { env }).byId(1)).rejects.toThrow()
  expect(requests.map(({ authorization }) => authorization)).toEqual([
    `Basic ${Buffer.from('ada:secret').toString('base64')}`,
    'Bearer token',
  ])
  const invalid = expect.objectContaining({ code: 'REGISTRY_SETTINGS_INVALID', kind: 'invalid' }) as Error
  expect(() => registry({ url, auth: { token: { env: 'NONE' } } })).toThrow(invalid)
  expect(() => registry({ url: 'http://ada:secret@registry' })).toThrow(invalid)
  expect(() => registry({ url: 'registry:8081/' })).not.toThrow('secret')
})

test('subjects may have any name, and a schema is sent with its type and references only where it has them', async () => {
  const version = '{"subject":"a/b","id":4,"version":2,"schema":"s"}'
  const { url, requests } = await scripted([200, version])
  const references = [{ name: 'm.proto', subject: 'm', version: 1 }]
  await registry({ url }).lookup('a/b ü', { schemaType: 'AVRO', schema: 's', references: [] })
  await registry({ url }).register('a', { schemaType: 'PROTOBUF', schema: 's', references })
  expect(requests.map(({ line, body }) => [line, JSON.parse(body) as unknown])).toEqual([
    ['POST /api/subjects/a%2Fb%20%C3%BC', { schema: 's' }],
    ['POST /api/subjects/a/versions', { schema: 's', schemaType: 'PROTOBUF', references }],
    ['POST /api/subjects/a', { schema: 's', schemaType: 'PROTOBUF', references }],
  ])
})

test('an attempt that ends stops asking', async () => {
  const { url } = await scripted([500, '{}'])
  const ended = new AbortController()
  ended.abort(new Error('over'))
  await expect(registry({ url }, { signal: ended.signal }).byId(1)).rejects.toThrow('over')
})
