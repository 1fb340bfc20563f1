/**
 * Codecs with a schema registry: Apicurio Registry by its Confluent-compatible protocol, a real broker, and two clients of
 * other people at the same registry: Confluent's own (Python, with librdkafka's serializers) and kafkajs' (npm).
 */
import { SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import { create } from '@bufbuild/protobuf'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KafkaConnections, KafkaTopics } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { job, json, kafka as topics, messageType, schemaRegistry, type Codec } from '@weir/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { confluentPython } from '../../tools/stack/servers.mjs'
import { settled } from '../../libs/kafka/src/testing/settled.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { PrivateServer } from '../stack/private-server.ts'
import { createTopics } from '../stack/topics.ts'
import { runBounded } from './bounded-job.ts'

const broker = stackEndpoints().kafka
const run = systemRandom.nonce().slice(0, 8)
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-registry' }, { clock: systemClock })
let server: PrivateServer<'registry'>
let pythonPath: string
let set: Uint8Array

const PROTOS = {
  'money.proto': `syntax = "proto3"; package common; message Money { int64 minor = 1; string currency = 2; }`,
  'shop.proto': `syntax = "proto3"; package shop; import "money.proto";
    message Ignored { string why = 1; }
    message Payment { string id = 1; common.Money amount = 2; message Line { int32 n = 1; } repeated Line lines = 3; }`,
}
const Order = {
  type: 'record',
  name: 'Order',
  namespace: 'shop',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'amountMinor', type: 'long' },
  ],
}

beforeAll(async () => {
  pythonPath = confluentPython()
  server = await PrivateServer.start('registry')
  const dir = mkdtempSync(join(tmpdir(), 'weir-protos-'))
  for (const [name, text] of Object.entries(PROTOS)) writeFileSync(join(dir, name), text)
  const buf = join(import.meta.dirname, '../../node_modules/.bin/buf')
  set = execFileSync(buf, ['build', dir, '-o', '-#format=binpb'])
  rmSync(dir, { recursive: true })
}, 240_000)
afterAll(async () => {
  await kafka.close()
  await server?.close()
})

async function call(method: string, path: string, body: unknown): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' }
  const response = await fetch(server.endpoint + path, { method, headers, body: JSON.stringify(body) })
  return (await response.json()) as Record<string, unknown>
}

async function topic(name: string): Promise<string> {
  const admin = kafka.admin()
  await admin.connect()
  await createTopics(admin, [`${name}-${run}`], 1)
  await admin.disconnect()
  return `${name}-${run}`
}

/** Bytes as hex, one record each. */
async function put(to: string, records: readonly string[]): Promise<void> {
  const transaction = await new KafkaTopics({ kafka, clock: systemClock, signal: new AbortController().signal }).begin(
    to,
  )
  const record = { topic: to, partition: 0, key: null, timestamp: Date.now(), headers: [] }
  await transaction.write(records.map((hex) => ({ ...record, value: Buffer.from(hex, 'hex') })))
  await transaction.commit()
  await settled(kafka, to)
}
/** A record each, by kcat: its own length in front of each. */
function bytesIn(from: string): Buffer[] {
  const args = ['-b', broker, '-C', '-t', from, '-e', '-q', '-f', '%R%s']
  const all = execFileSync('kcat', args)
  const records: Buffer[] = []
  for (let at = 0; at < all.length; at += 4 + all.readInt32BE(at)) {
    records.push(all.subarray(at + 4, at + 4 + all.readInt32BE(at)))
  }
  return records
}

/** The same of keys; their length is a text, and a space follows it. */
function keysIn(from: string): Buffer[] {
  const all = execFileSync('kcat', ['-b', broker, '-C', '-t', from, '-e', '-q', '-f', '%K %k'])
  const keys: Buffer[] = []
  for (let at = 0; at < all.length;) {
    const begin = all.indexOf(' ', at) + 1
    const end = begin + Number(all.toString('latin1', at, begin - 1))
    keys.push(all.subarray(begin, end))
    at = end
  }
  return keys
}

type Format = 'avro' | 'json' | 'protobuf'
const python = (verb: 'write' | 'read', format: Format, of: string, request: unknown): unknown =>
  JSON.parse(
    execFileSync('python3', [join(import.meta.dirname, 'confluent.py'), verb, format, server.endpoint, of], {
      input: JSON.stringify(request),
      env: { ...process.env, PYTHONPATH: pythonPath },
      encoding: 'utf8',
    }),
  )

/** What is in one topic, as one codec reads it, written to another one as the other codec writes it. */
async function copy<T>(from: string, read: Codec<T>, to: string, write: Codec<T>, name = to): Promise<void> {
  const definition = job(name, (flow) =>
    flow.from(topics.topic(from, { value: read, until: 'latest' }), 'in').to(topics.sink(to, { value: write }), 'out'),
  )
  await runBounded(definition, { kafka })
}

test('Avro: what two other clients write is read, resolved to the job’s schema; what is written they both read', async () => {
  const registry = schemaRegistry({ url: server.endpoint })
  const [input, output] = [await topic('avro-in'), await topic('avro-out')]
  const written = { ...Order, fields: [...Order.fields, { name: 'note', type: 'string' }] }
  const byPython = python('write', 'avro', input, {
    schema: JSON.stringify(written),
    values: [{ id: 'a', amountMinor: 7, note: 'not in the job' }],
  })
  const kafkajs = new SchemaRegistry({ host: server.endpoint })
  const older = { ...Order, fields: [Order.fields[0]!] }
  const { id } = await kafkajs.register({ type: 'AVRO', schema: JSON.stringify(older) } as never, { subject: 'older' })
  await put(input, [...(byPython as string[]), (await kafkajs.encode(id, { id: 'b' })).toString('hex')])

  const own = {
    ...Order,
    fields: [Order.fields[0], { ...Order.fields[1], default: 0 }, { name: 'paid', type: 'boolean', default: true }],
  }
  await copy(input, registry.avro(own), output, registry.avro(own, { autoRegister: true }))
  const bytes = bytesIn(output)
  const expected = [
    { id: 'a', amountMinor: 7, paid: true },
    { id: 'b', amountMinor: 0, paid: true },
  ]
  expect(python('read', 'avro', output, { schema: '', bytes: bytes.map((b) => b.toString('hex')) })).toEqual(expected)
  expect(await Promise.all(bytes.map((b) => kafkajs.decode(b) as Promise<object>))).toMatchObject(expected)
})

test('keys: written under a subject of their own, and read by another client', async () => {
  const registry = schemaRegistry({ url: server.endpoint })
  const [input, output] = [await topic('keys-in'), await topic('keys-out')]
  await put(
    input,
    ['a', 'b'].map((id) => Buffer.from(JSON.stringify({ id })).toString('hex')),
  )
  const definition = job('keys', (flow) =>
    flow
      .from(topics.topic(input, { value: json<{ id: string }>(), until: 'latest' }), 'in')
      .keyBy(({ id }) => id)
      .reduce('count', 0, (count) => count + 1)
      .to(topics.sink(output, { key: registry.avro({ type: 'string' }, { autoRegister: true }) }), 'out'),
  )
  await runBounded(definition, { kafka })
  const kafkajs = new SchemaRegistry({ host: server.endpoint })
  const keys = await Promise.all(keysIn(output).map((b) => kafkajs.decode(b) as Promise<string>))
  expect(keys.toSorted()).toEqual(['a', 'b'])
  expect(bytesIn(output).map(String)).toEqual(['1', '1'])
  const subjects = (await (await fetch(`${server.endpoint}/subjects`)).json()) as string[]
  expect(subjects).toContain(`${output}-key`)
})

test('Protobuf: messages and imports of another client are read and written, with their place in the file', async () => {
  const registry = schemaRegistry({ url: server.endpoint })
  const [input, output] = [await topic('proto-in'), await topic('proto-out')]
  const Payment = messageType(set, 'shop.Payment')
  const schema = { set: Buffer.from(set).toString('base64'), message: 'shop.Payment' }
  const payments = [{ id: 'a', amount: { minor: '9007199254740993', currency: 'EUR' }, lines: [{ n: 1 }, { n: -2 }] }]
  await put(input, python('write', 'protobuf', input, { schema, values: payments }) as string[])
  await copy(input, registry.protobuf(Payment), output, registry.protobuf(Payment, { autoRegister: true }))
  const bytes = bytesIn(output).map((b) => b.toString('hex'))
  expect(python('read', 'protobuf', output, { schema, bytes })).toEqual(payments)

  // As plain values, which a pipeline in YAML has.
  const plain = await topic('proto-plain')
  await copy(input, registry.protoJson(Payment), plain, json() as never)
  expect(bytesIn(plain).map((value) => JSON.parse(String(value)) as unknown)).toEqual(payments)
  const again = await topic('proto-again')
  await copy(plain, json(), again, registry.protoJson(Payment, { autoRegister: true }))
  const rewritten = bytesIn(again).map((b) => b.toString('hex'))
  expect(python('read', 'protobuf', again, { schema, bytes: rewritten })).toEqual(payments)

  // Nested, and by the text of a .proto file.
  const lines = await topic('proto-lines')
  const Line = messageType(set, 'shop.Payment.Line')
  const line = { set: schema.set, message: 'shop.Payment.Line' }
  await put(lines, python('write', 'protobuf', lines, { schema: line, values: [{ n: 5 }] }) as string[])
  const text = { schemaType: 'PROTOBUF', schema: PROTOS['shop.proto'] }
  const references = [{ name: 'money.proto', subject: 'money.proto', version: 1 }]
  const { id } = await call('POST', '/subjects/by-text/versions', { ...text, references })
  await put(lines, [`00${Number(id).toString(16).padStart(8, '0')}0402000806`])
  const numbers = await topic('proto-numbers')
  await copy(lines, registry.protobuf(Line), numbers, json() as never)
  expect(bytesIn(numbers).map(String)).toEqual([
    '{"$typeName":"shop.Payment.Line","n":5}',
    '{"$typeName":"shop.Payment.Line","n":6}',
  ])
  // Another message of the same file is no payment, however well its bytes would fit.
  await expect(copy(lines, registry.protobuf(Payment), output, json() as never, 'other')).rejects.toMatchObject({
    code: 'DECODE_FAILED',
    message: expect.stringContaining('shop.Payment.Line') as string,
  })
  expect(create(Payment).$typeName).toBe('shop.Payment')
})

test('JSON: records of another client are read, checked and written with the id of the job’s JSON Schema', async () => {
  const registry = schemaRegistry({ url: server.endpoint })
  const [input, output] = [await topic('json-in'), await topic('json-out')]
  const Item = z.object({ id: z.string(), n: z.int() })
  const jsonSchema = { title: 'Item', ...z.toJSONSchema(Item) }
  const schema = JSON.stringify({ title: 'Item', type: 'object', properties: { id: { type: 'string' } } })
  await put(input, python('write', 'json', input, { schema, values: [{ id: 'a', n: 1 }] }) as string[])
  const own = registry.json(Item, { jsonSchema, autoRegister: true, subjects: 'topic-record' })
  await copy(input, registry.json(Item), output, own)
  const bytes = bytesIn(output)
  expect(python('read', 'json', output, { schema, bytes: bytes.map((b) => b.toString('hex')) })).toEqual([
    ...[{ id: 'a', n: 1 }],
  ])
  const latest = await (await fetch(`${server.endpoint}/subjects/${output}-Item/versions/latest`)).json()
  expect(bytes[0]!.readInt32BE(1)).toBe((latest as { id: number }).id)
})

test('a sink looks its schema up, takes the newest one, or is told that it does not fit', async () => {
  const registry = schemaRegistry({ url: server.endpoint })
  const [input, output] = [await topic('writer-in'), await topic('writer-out')]
  await put(input, [Buffer.from('{"id":"a","amountMinor":7,"paid":true}').toString('hex')])
  const to = (write: Codec<unknown>, name: string): Promise<void> => copy(input, json(), output, write, `w-${name}`)
  const subject = `/subjects/${output}-value`

  await expect(to(registry.avro(Order), 'unknown')).rejects.toMatchObject({ code: 'SCHEMA_UNKNOWN', kind: 'invalid' })
  const { id } = await call('POST', `${subject}/versions`, { schema: JSON.stringify(Order) })
  await to(registry.avro(Order), 'known')
  await call('PUT', `/config/${output}-value`, { compatibility: 'BACKWARD' })
  const other = { ...Order, fields: [{ name: 'id', type: 'int' }] }
  await expect(to(registry.avro(other, { autoRegister: true }), 'other')).rejects.toMatchObject({
    ...{ code: 'SCHEMA_INCOMPATIBLE', kind: 'invalid' },
  })
  const newer = { ...Order, fields: [...Order.fields, { name: 'paid', type: 'boolean', default: false }] }
  const { id: newest } = await call('POST', `${subject}/versions`, { schema: JSON.stringify(newer) })
  await to(registry.avro(undefined, { useLatestVersion: true }), 'latest')
  expect(bytesIn(output).map((b) => b.readInt32BE(1))).toEqual([id, newest])
})

test('a schema that refers to others is read with them', async () => {
  const registry = schemaRegistry({ url: server.endpoint })
  const [input, output] = [await topic('refers-in'), await topic('refers-out')]
  const field = (name: string, type: unknown): object => ({ name, type })
  const Money = { type: 'record', name: 'common.Money', fields: [field('minor', 'long')] }
  const Bill = {
    type: 'record',
    name: 'shop.Bill',
    fields: [field('due', 'common.Money'), field('paid', 'common.Money')],
  }
  await call('POST', '/subjects/common.Money/versions', { schema: JSON.stringify(Money) })
  const references = [{ name: 'common.Money', subject: 'common.Money', version: 1 }]
  const { id } = await call('POST', '/subjects/bills/versions', { schema: JSON.stringify(Bill), references })
  // Two longs, zig-zag.
  await put(input, [`00${Number(id).toString(16).padStart(8, '0')}0a08`])
  await copy(input, registry.avro(), output, json() as never)
  expect(bytesIn(output).map(String)).toEqual(['{"due":{"minor":5},"paid":{"minor":4}}'])
})

test('records whose schema nobody knows are dead letters, the others go on', async () => {
  const registry = schemaRegistry({ url: server.endpoint })
  const [input, output, dead] = [await topic('unknown-in'), await topic('unknown-out'), await topic('unknown-dead')]
  const good = python('write', 'avro', input, {
    schema: JSON.stringify(Order),
    values: [{ id: 'a', amountMinor: 7 }],
  }) as string[]
  await put(input, ['00000f424002', ...good, '7b7d'])
  const definition = job(`unknown-${run}`, { deadLetters: topics.sink(dead) }, (flow) =>
    flow.from(topics.topic(input, { value: registry.avro(), until: 'latest' }), 'in').to(topics.sink(output), 'out'),
  )
  await runBounded(definition, { kafka })
  expect(bytesIn(output).map(String)).toEqual(['{"id":"a","amountMinor":7}'])
  const headers = execFileSync('kcat', ['-b', broker, '-C', '-t', dead, '-e', '-q', '-f', '%h\n'], { encoding: 'utf8' })
  expect(headers.match(/weir\.dead\.error=\w+/g)).toEqual([
    'weir.dead.error=SCHEMA_UNKNOWN',
    'weir.dead.error=DECODE_FAILED',
  ])
})
