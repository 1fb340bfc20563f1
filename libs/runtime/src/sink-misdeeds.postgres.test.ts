/**
 * Wrong values and wrong encoders in front of every place a sink writes to: the record is named with its sink, where it was read and
 * what to do, and nothing of its epoch is written; with dead letters it is aside, and the others are written as if it had not been there.
 */
import {
  EmbeddedLog,
  FileStorage,
  FilesDestination,
  HttpDestination,
  LogSink,
  PostgresDestination,
  StagedSink,
  filesSinkOptions,
  httpSinkOptions,
  postgresSinkOptions,
  type Destination,
} from '@weir/connectors'
import { defaultSettings, type EncodeHeaders, type GraphNode, type SinkNode, type TwoPhaseSink } from '@weir/dataflow'
import { MemoryStagedOutput } from '@weir/dataflow/testing'
import { openElsewhere } from '@weir/metadata'
import { epoch, operatorUid, type WeirError } from '@weir/model'
import { systemClock, systemRandom } from './system/index.ts'
import { json } from '@weir/sdk'
import { parquetReadObjects } from 'hyparquet'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { postgresUrl } from '../../../test/stack/endpoints.ts'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import type { SliceDeps } from './slice-ports.ts'
import { MemoryLogSource } from './testing/index.ts'

const schema = `weir_${systemRandom.nonce().slice(0, 8).replaceAll('-', '_')}`
const admin = new pg.Client({ connectionString: postgresUrl() })
process.env['WEIR_TEST_POSTGRES'] = postgresUrl()
beforeAll(async () => {
  await admin.connect()
  await admin.query(`CREATE SCHEMA ${schema}`)
})
afterAll(async () => {
  await admin.query(`DROP SCHEMA ${schema} CASCADE`)
  await admin.end()
})
const closers: (() => unknown)[] = []
afterEach(async () => {
  await stopAll()
  for (const close of closers.splice(0).reverse()) await close()
})

/** Where a sink writes to, and an outside look at it. */
interface Place {
  readonly descriptor: SinkNode['descriptor']
  create(...args: Parameters<SliceDeps['createSink']>): TwoPhaseSink
  written(): Promise<unknown[]>
}
type Create = Place['create']

const staged =
  (destinationOf: (...args: Parameters<Create>) => Destination): Create =>
  (of, context, asides) =>
    new StagedSink({
      ...{ context, clock: systemClock, staged: new MemoryStagedOutput(), asides },
      destination: destinationOf(of, context, asides),
    })

async function folder(format: 'ndjson' | 'parquet', read: (path: string) => Promise<unknown[]>): Promise<Place> {
  const path = await mkdtemp(join(tmpdir(), 'weir-misdeeds-'))
  closers.push(() => rm(path, { recursive: true }))
  const columns = [{ column: 'v', type: 'JSON', from: '$value' }]
  const descriptor = { connector: 'files', format, folder: `file://${path}/`, rollBytes: 1_000, columns }
  return {
    descriptor,
    create: staged((of, context) => {
      const objects = openElsewhere(descriptor.folder, {})
      return new FilesDestination(filesSinkOptions(descriptor, of.encodeValue), { context, objects })
    }),
    async written() {
      const names = (await readdir(path)).filter((name) => name.endsWith(format)).sort()
      return (await Promise.all(names.map((name) => read(join(path, name))))).flat()
    },
  }
}

const PLACES: Readonly<Record<string, () => Promise<Place>>> = {
  async log() {
    const path = await mkdtemp(join(tmpdir(), 'weir-misdeeds-'))
    const log = await EmbeddedLog.open(await FileStorage.open(path), systemClock)
    closers.push(async () => {
      await log.close()
      await rm(path, { recursive: true })
    })
    for (const topic of ['out', 'dead']) await log.createTopic(topic, 1)
    return {
      descriptor: { connector: 'log', topic: 'out' },
      create: ({ encodeKey, encodeValue, encodeHeaders }, context, asides) => {
        const options = { topic: 'out', poolSize: 3, transactionTimeoutMs: 60_000 }
        const encoders = { encodeKey, encodeValue, encodeHeaders, asides }
        return new LogSink({ ...options, ...encoders }, { context, log, clock: systemClock, staged: null })
      },
      async written() {
        const of = { topic: 'out', partition: 0, offset: 0, maxRecords: 100, readCommitted: true, maxWaitMs: 0 }
        return (await log.read(of)).records.map(({ value }) => JSON.parse(Buffer.from(value!).toString()) as unknown)
      },
    }
  },
  ndjson: () =>
    folder('ndjson', async (path) => {
      const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
      return lines.map((line) => JSON.parse(line) as unknown)
    }),
  parquet: () =>
    folder('parquet', async (path) => {
      const { buffer } = new Uint8Array(await readFile(path))
      return (await parquetReadObjects({ file: buffer })).map((row) => row['v'] as unknown)
    }),
  async http() {
    const bodies: string[] = []
    const server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        bodies.push(Buffer.concat(chunks).toString())
        response.writeHead(201).end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closers.push(() => {
      server.closeAllConnections()
      server.close()
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const descriptor = { connector: 'http', url, method: 'POST', contentType: 'application/json' }
    return {
      descriptor,
      create: staged((of, context) => new HttpDestination(httpSinkOptions(descriptor), of.encodeValue, context)),
      written: () => Promise.resolve(bodies.map((body) => JSON.parse(body) as unknown)),
    }
  },
  async postgres() {
    const name = `${schema}.t_${systemRandom.nonce().slice(0, 8).replaceAll('-', '_')}`
    await admin.query(`CREATE TABLE ${name} (id serial, v jsonb)`)
    const descriptor = {
      ...{ connector: 'postgres', url: 'env:WEIR_TEST_POSTGRES', table: name, key: [], origin: null },
      ...{ columns: [{ column: 'v', from: '$value' }], markers: `${schema}.weir_sinks` },
    }
    // Markers outlive a run: each has a job of its own.
    const job = operatorUid(name.replace('.', '-'))
    return {
      descriptor,
      create: staged(
        (_, context) => new PostgresDestination(postgresSinkOptions(descriptor), { ...context, operatorUid: job }),
      ),
      written: async () =>
        (await admin.query<{ v: unknown }>(`SELECT v FROM ${name} ORDER BY id`)).rows.map(({ v }) => v),
    }
  },
}
const ENCODING = ['log', 'ndjson', 'http']

/** User code as it can be written in spite of its types. */
type Wrong = () => unknown
interface Deed {
  readonly name: string
  /** What the record's value is, what its encoder does, or its headers. */
  readonly at: 'value' | 'encoder' | 'headers'
  readonly does: Wrong
  readonly of: readonly string[]
}
const throwing: Wrong = () => {
  throw new RangeError('no such thing')
}
const rejecting: Wrong = () => Promise.reject(new Error('later'))
class Secret {
  readonly #minor = 5
  get minor(): number {
    return this.#minor
  }
}
function circular(): unknown {
  const value: Record<string, unknown> = {}
  return Object.assign(value, { value })
}
const values = (of: Record<string, Wrong>): Deed[] =>
  Object.entries(of).map(([name, does]) => ({ name, at: 'value', does, of: Object.keys(PLACES) }))
const encoders = (of: Record<string, Wrong>, places = ENCODING): Deed[] =>
  Object.entries(of).map(([name, does]) => ({ name: `an encoder that ${name}`, at: 'encoder', does, of: places }))
const headers = (of: Record<string, Wrong>): Deed[] =>
  Object.entries(of).map(([name, does]) => ({ name: `headers that ${name}`, at: 'headers', does, of: ['log'] }))
const DEEDS: readonly Deed[] = [
  ...values({
    'NaN in a field': () => ({ minor: Number.NaN }),
    'a Map in a field': () => ({ of: new Map([['a', 1]]) }),
    'a bigint': () => 1n,
    'a promise in a field': () => ({ later: rejecting() }),
    'an instance without fields of its own': () => new Secret(),
    'an object that contains itself': circular,
    'a function': () => () => 1,
  }),
  ...encoders({
    throws: throwing,
    'throws what is no error': () => {
      throw 'text'
    },
    'returns a promise': async () => 'text',
    'returns a promise that rejects': rejecting,
    'forgets to return': () => undefined,
    'returns an object': () => ({ a: 1 }),
  }),
  ...encoders({ 'returns two lines': () => '1\n2', 'returns nothing to write': () => '' }, ['ndjson']),
  ...headers({
    throw: throwing,
    'are a promise': rejecting,
    'are no list': () => ({ a: '1' }),
    'have a promise for a value': () => [['a', rejecting()]],
  }),
]
const cases = DEEDS.flatMap((deed) => deed.of.map((place) => [place, deed.name, deed] as const))

const BAD = 'a3'
const VALUES = ['a0', 'b1', 'a2', BAD, 'b4', 'a5']
const uid = operatorUid('op')

/** A run to its end: what it stopped with, what was written, and dead letters by a log beside. */
async function ran(place: Place, { at, does }: Deed, deadLetters: boolean) {
  const world = new World()
  world.sinkOf = (of, context, asides) => (of.uid === uid ? place.create(of, context, asides) : null)
  const codec = json()
  const isBad = (value: unknown): boolean => value === BAD
  const encodeHeaders: EncodeHeaders = (value) => (isBad(value) ? (does() as never) : [])
  const sink: SinkNode = {
    ...{ kind: 'sink', uid, descriptor: place.descriptor, encodeKey: () => null },
    encodeValue: (value, record) =>
      at === 'encoder' && isBad(value) ? (does() as never) : codec.encode(value, record),
    ...(at === 'headers' && { encodeHeaders }),
  }
  const map = (value: unknown): unknown => (at === 'value' && isBad(value) ? does() : value)
  const nodes: GraphNode[] = [
    node.source(0),
    { kind: 'map', uid: operatorUid('made'), map },
    sink,
    ...(deadLetters ? [node.sink('beside')] : []),
  ]
  const edges: [number, number][] = [[0, 1], [1, 2], ...(deadLetters ? [[0, 3] as [number, number]] : [])]
  const { settings, ...of } = chainOf(nodes, deadLetters ? { deadLetters: { connector: 'kafka', topic: 'dead' } } : {})
  const job = { ...of, settings: { ...defaultSettings, ...settings }, graph: { nodes, edges } }
  const one = world.start(job, new MemoryLogSource([records(...VALUES.map((v): [string, number] => [v, 5]))], 4))
  let failed: WeirError | null = null
  try {
    await one.run()
    await one.until('input-ended')
    const { sinks } = await one.checkpoint(1)
    one.slice.commit(
      epoch(1),
      Object.fromEntries(Object.entries(sinks).map(([of, { sequence }]) => [of, sequence])) as Record<string, number>,
    )
    await one.until('committed')
  } catch (error) {
    failed = error as WeirError
  }
  return { failed, written: await place.written(), dead: world.topic('beside').committedAsides }
}

describe.each(cases)('%s, %s', (name, _, deed) => {
  test('is named with its sink, where it was read and what to do; nothing is written', async () => {
    const { failed, written } = await ran(await PLACES[name]!(), deed, false)
    expect(failed).toMatchObject({
      ...{ code: 'ENCODE_FAILED', kind: 'invalid' },
      facts: { timestamp: 5, source: 'in', topic: 'of-the-test', partition: 0, offsets: [0, 3] },
    })
    expect(failed!.message).toMatch(/before the sink|give an array|a value is a|JSON.stringify without/)
    expect(failed!.message).not.toContain(BAD)
    expect(written).toEqual([])
  })

  test('with dead letters it is aside, and the others are written', async () => {
    const { failed, written, dead } = await ran(await PLACES[name]!(), deed, true)
    expect(failed).toBeNull()
    expect(written).toEqual(VALUES.filter((value) => value !== BAD))
    const facts = dead.map((letter) => {
      return Object.fromEntries(letter.headers.map(([of, value]) => [of, Buffer.from(value!).toString()]))
    })
    expect(facts).toMatchObject([
      { 'weir.dead.operator': 'op', 'weir.dead.error': 'ENCODE_FAILED', 'weir.dead.offset': '3' },
    ])
  })
})
