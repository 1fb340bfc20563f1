/** Health and reflection as a prober and grpcurl ask for them, over real gRPC. */
import { fromBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf'
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { Client, ChannelCredentials, Server, ServerCredentials, makeGenericClientConstructor } from '@grpc/grpc-js'
import { systemClock } from '@weir/runtime/system'
import { jobs } from '@weir/proto'
import { service as healthService } from 'grpc-health-check'
import { afterEach, describe, expect, test } from 'vitest'
import { GRPC_WATCHES_MAX, addHealth, addReflection, type HealthCheck } from './index.ts'

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

async function listening(prepare: (server: Server) => void): Promise<string> {
  const server = new Server()
  prepare(server)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (e, p) => (e ? reject(e) : resolve(p)))
  })
  ends.push(() => server.forceShutdown())
  return `127.0.0.1:${port}`
}

interface Told {
  readonly status: string
}
interface Watching extends AsyncIterable<Told> {
  cancel(): void
  on(event: 'error', hear: (error: Error) => void): void
}
/** What a generic client has by the names of the .proto file. */
interface HealthClient {
  Check(of: { service: string }, reply: (error: Error | null, told: Told) => void): void
  List(of: object, reply: (error: Error | null, told: { statuses: Record<string, Told> }) => void): void
  Watch(of: { service: string }): Watching
  close(): void
}
const HealthClientOf = makeGenericClientConstructor(healthService as never, 'Health')

async function healthOf(checks: Record<string, HealthCheck>) {
  const at = await listening((server) => addHealth(server, { checks, clock: systemClock, watchIntervalMs: 5 }))
  const client = new HealthClientOf(at, ChannelCredentials.createInsecure()) as unknown as HealthClient
  ends.push(() => client.close())
  return {
    client,
    check: (service: string) =>
      new Promise<string>((resolve, reject) =>
        client.Check({ service }, (error, told) => (error ? reject(error) : resolve(told.status))),
      ),
  }
}

describe('health', () => {
  test('each service is as its check says at that moment, a check that fails counts as not serving', async () => {
    let leads = false
    const down = () => Promise.reject(new Error('etcd is away'))
    const { client, check } = await healthOf({ '': () => true, 'weir.v1.Jobs': () => leads, down })
    expect(await Promise.all(['', 'weir.v1.Jobs', 'down'].map(check))).toEqual([
      'SERVING',
      'NOT_SERVING',
      'NOT_SERVING',
    ])
    leads = true
    expect(await check('weir.v1.Jobs')).toBe('SERVING')
    const all = await new Promise((resolve, reject) => client.List({}, (e, told) => (e ? reject(e) : resolve(told))))
    expect(all).toEqual({
      statuses: {
        '': { status: 'SERVING' },
        'weir.v1.Jobs': { status: 'SERVING' },
        down: { status: 'NOT_SERVING' },
      },
    })
  })

  test('a service that is not here is not found, and the answer names those that are', async () => {
    const { check } = await healthOf({ '': () => true, 'weir.v1.Jobs': () => true })
    await expect(check('constructor')).rejects.toMatchObject({
      code: 5,
      details: expect.stringContaining('"weir.v1.Jobs"'),
    })
  })

  test('who watches hears of changes, and of nothing between them', async () => {
    let leads = false
    const { client } = await healthOf({ 'weir.v1.Jobs': () => leads })
    const call = client.Watch({ service: 'weir.v1.Jobs' })
    call.on('error', () => undefined)
    const heard: string[] = []
    for await (const { status } of call) {
      heard.push(status)
      if (heard.length === 3) break
      leads = !leads
    }
    expect(heard).toEqual(['NOT_SERVING', 'SERVING', 'NOT_SERVING'])
  })

  test('more than may watch are refused; who leaves makes room', async () => {
    const { client } = await healthOf({ '': () => true })
    const watch = async () => {
      const call = client.Watch({ service: '' })
      call.on('error', () => undefined)
      const first = await call[Symbol.asyncIterator]().next()
      return { call, status: (first.value as Told).status }
    }
    const open = await Promise.all(Array.from({ length: GRPC_WATCHES_MAX }, watch))
    await expect(watch()).rejects.toMatchObject({ code: 8, details: expect.stringContaining('Check') })
    open[0]!.call.cancel()
    await expect
      .poll(
        () =>
          watch().then(
            ({ status }) => status,
            () => 'refused',
          ),
        { timeout: 20_000 },
      )
      .toBe('SERVING')
  })
})

describe('reflection', () => {
  const identity = (bytes: Buffer): Buffer => bytes
  /** One question of grpc.reflection.v1, as bytes: a tool that knows nothing of Weir. */
  const ask = async (field: number, text: string): Promise<Map<number, Uint8Array>> => {
    const at = await listening((server) => addReflection(server, ['weir.v1.Jobs']))
    const client = new Client(at, ChannelCredentials.createInsecure())
    ends.push(() => client.close())
    const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'
    const call = client.makeBidiStreamRequest<Buffer, Buffer>(path, identity, identity)
    call.end(Buffer.from(new BinaryWriter().tag(field, 2).string(text).finish())) // wire type 2: has a length
    for await (const answer of call as AsyncIterable<Buffer>) return new Map(fields(answer))
    throw new Error('no answer')
  }
  const LIST_SERVICES = { asked: 7, answered: 6 }
  const FILE_CONTAINING_SYMBOL = { asked: 4, answered: 4 }

  function fields(bytes: Uint8Array): [number, Uint8Array][] {
    const found: [number, Uint8Array][] = []
    const reader = new BinaryReader(bytes)
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag()
      if (type === 2) found.push([field, reader.bytes()])
      else reader.skip(type, field)
    }
    return found
  }
  const decoded = <T extends DescMessage>(schema: T, bytes: Uint8Array): MessageShape<T> => fromBinary(schema, bytes)

  test('it lists what the server has, not all that its files describe', async () => {
    const list = (await ask(LIST_SERVICES.asked, '*')).get(LIST_SERVICES.answered)!
    const names = fields(list).map(([, service]) => Buffer.from(fields(service)[0]![1]).toString())
    expect(names.sort()).toEqual(['grpc.health.v1.Health', 'weir.v1.Jobs'])
  })

  test('its description of Jobs is the one the server speaks, with what is optional', async () => {
    const answer = (await ask(FILE_CONTAINING_SYMBOL.asked, 'weir.v1.Jobs')).get(FILE_CONTAINING_SYMBOL.answered)!
    const file = decoded(FileDescriptorProtoSchema, fields(answer)[0]![1])
    const methods = file.service.find(({ name }) => name === 'Jobs')!.method.map(({ name }) => name)
    const spoken = Object.values(jobs.JobsService).map(({ path }) => path.split('/').at(-1))
    expect(methods.sort()).toEqual(spoken.sort())
    const rate = file.messageType.find(({ name }) => name === 'AdjustRateRequest')!
    expect(rate.field.filter(({ proto3Optional }) => proto3Optional).map(({ name }) => name)).toEqual([
      'records_per_second',
      'min_records_per_second',
    ])
  })
  test('maps are described as compilers do, also those of health: clients in Go refuse everything else', async () => {
    const answer = (await ask(FILE_CONTAINING_SYMBOL.asked, 'grpc.health.v1.Health')).get(
      FILE_CONTAINING_SYMBOL.answered,
    )!
    const file = decoded(FileDescriptorProtoSchema, fields(answer)[0]![1])
    const list = file.messageType.find(({ name }) => name === 'HealthListResponse')!
    expect(list.nestedType.map(({ name, options }) => [name, options?.mapEntry])).toEqual([['StatusesEntry', true]])
  })
})
