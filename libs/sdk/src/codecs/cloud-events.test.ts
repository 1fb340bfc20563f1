import type { CodecContext, OutputRecord, SinkHeader } from '@weir/dataflow'
import { operatorUid, placeOf, type RecordHeader } from '@weir/model'
import * as fc from 'fast-check'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { avro, cloudEvents, json, kafka, type CloudEvent, type Source } from '../index.ts'

const Order = z.object({ id: z.string(), amountMinor: z.int() })
const ATTRIBUTES = { source: '/shop', type: 'shop.order' }
const record: OutputRecord = {
  key: 'ada',
  timestamp: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  origin: { place: placeOf(0, 3), offset: 17, ordinal: '1' },
}
const context = { operatorUid: operatorUid('paid'), placeName: () => 'orders-3' } as unknown as CodecContext
const failed = (code: string, message: string): Error =>
  expect.objectContaining({ code, kind: 'invalid', message: expect.stringContaining(message) as string }) as Error

interface Written {
  readonly value: string | Uint8Array | null
  readonly headers: readonly RecordHeader[]
}
const bytesOf = ([name, value]: SinkHeader): RecordHeader => [
  name,
  typeof value === 'string' ? Buffer.from(value) : value,
]

async function written(codec: ReturnType<typeof cloudEvents<never>>, event: unknown, at = record): Promise<Written> {
  const { encode, headers } = await codec.openEncoder!(context)
  return { value: encode(event, at), headers: headers!(event, at).map(bytesOf) }
}
function read(codec: { decode: ReturnType<typeof json>['decode'] }, { value, headers }: Written): unknown {
  const bytes = Buffer.from(value ?? '')
  return codec.decode(bytes, 0, bytes.length, () => headers)
}
const text = (headers: readonly RecordHeader[]): Record<string, string> =>
  Object.fromEntries(headers.map(([name, value]) => [name, String(value)]))

test('binary: attributes are headers, the data is the value; the id tells where the input was read', async () => {
  const codec = cloudEvents(json(Order), ATTRIBUTES)
  const data = { id: 'a', amountMinor: 7 }
  const out = await written(codec as never, { data, subject: 'ada', tenant: 'eu' })
  expect(out.value).toBe('{"id":"a","amountMinor":7}')
  expect(text(out.headers)).toEqual({
    ce_specversion: '1.0',
    ce_id: 'paid:orders-3-17.1',
    ce_source: '/shop',
    ce_type: 'shop.order',
    ce_time: '2026-01-02T03:04:05.006Z',
    ce_subject: 'ada',
    ce_tenant: 'eu',
    'content-type': 'application/json',
  })
  expect(await written(codec as never, { data, subject: 'ada', tenant: 'eu' })).toEqual(out)
  expect(read(codec, out)).toMatchObject({ id: 'paid:orders-3-17.1', datacontenttype: 'application/json', data })
  const source = kafka.topic('orders', { value: codec })
  expectTypeOf(source).toEqualTypeOf<Source<CloudEvent<{ id: string; amountMinor: number }>>>()
})

test('structured: one JSON object, bytes in base64; read by a codec that writes the other mode', async () => {
  const type = { type: 'record', name: 'A', fields: [{ name: 'n', type: 'long' }] }
  for (const data of [json<unknown>(), avro<unknown>(type)]) {
    const codec = cloudEvents(data, { ...ATTRIBUTES, mode: 'structured' })
    const out = await written(codec as never, { id: 'own', data: { n: 5 } })
    expect(text(out.headers)).toEqual({ 'content-type': 'application/cloudevents+json' })
    const event = JSON.parse(String(out.value)) as Record<string, unknown>
    expect(event).toMatchObject({ specversion: '1.0', id: 'own', source: '/shop', datacontenttype: data.contentType })
    expect(event).toMatchObject(data.contentType === 'application/json' ? { data: { n: 5 } } : { data_base64: 'Cg==' })
    expect(read(cloudEvents(data), out)).toMatchObject({ id: 'own', type: 'shop.order', data: { n: 5 } })
  }
})

test('what others write is read: a charset, another case of the header, no data, an extension of a number', () => {
  const event = '{"specversion":"1.0","id":"1","source":"s","type":"t","n":5,"subject":null}'
  const header: RecordHeader = ['Content-Type', Buffer.from('application/cloudevents+json; charset=UTF-8')]
  expect(read(cloudEvents(json()), { value: event, headers: [header] })).toEqual({
    ...{ specversion: '1.0', id: '1', source: 's', type: 't', n: 5, data: null },
  })
})

const binary = (attributes: Record<string, string>): Written => ({
  value: '{}',
  headers: Object.entries({ specversion: '1.0', id: '1', source: 's', type: 't', ...attributes })
    .filter(([, value]) => value !== '-')
    .map(([name, value]) => [`ce_${name}`, Buffer.from(value)]),
})
test.each([
  [{ specversion: '-' }, 'ce_specversion'],
  [{ specversion: '0.3' }, 'specversion'],
  [{ id: '-' }, 'its id is missing'],
  [{ source: '' }, 'its source is empty'],
  [{ type: '-' }, 'its type is missing'],
  [{ time: 'yesterday' }, 'RFC 3339'],
  [{ time: '2026-13-01T00:00:00Z' }, 'RFC 3339'],
  [{ Bad_Name: 'x' }, 'Bad_Name'],
])('headers %j are those of no event', (attributes, message) => {
  expect(() => read(cloudEvents(json()), binary(attributes as unknown as Record<string, string>))).toThrow(
    failed('DECODE_FAILED', message),
  )
})

test.each(['', 'null', '[]', '{"specversion":"1.0"}', '{"specversion":"1.0","id":1,"source":"s","type":"t"}'])(
  'a structured event %j is none',
  (value) => {
    const headers: RecordHeader[] = [['content-type', Buffer.from('application/cloudevents+json')]]
    expect(() => read(cloudEvents(json()), { value, headers })).toThrow(failed('DECODE_FAILED', ''))
    const batch: RecordHeader[] = [['content-type', Buffer.from('application/cloudevents-batch+json')]]
    expect(() => read(cloudEvents(json()), { value, headers: batch })).toThrow(
      failed('DECODE_FAILED', 'one event a record'),
    )
  },
)

test('what is made of many records needs an id of its own; a missing or broken attribute is named', async () => {
  const made = { ...record, origin: null }
  const codec = cloudEvents<number>(json(), ATTRIBUTES)
  await expect(written(codec as never, { data: 1 }, made)).rejects.toThrow(failed('ENCODE_FAILED', 'no single record'))
  const own = cloudEvents<number>(json(), {
    ...ATTRIBUTES,
    id: ({ data }, { key, timestamp }) => `${key}/${timestamp}/${data}`,
  })
  expect(text((await written(own as never, { data: 1 }, made)).headers)['ce_id']).toBe(`ada/${record.timestamp}/1`)
  for (const [event, message] of [
    [{ data: 1, type: '' }, 'its type is empty'],
    [{ data: 1, tenantId: 'x' }, 'tenantId'],
    [{ data: 1, tenant: 1.5 }, 'tenant'],
    [{ data: 1, time: 'now' }, 'RFC 3339'],
    [7, 'no data'],
  ] as const) {
    await expect(written(codec as never, event)).rejects.toThrow(failed('ENCODE_FAILED', message))
  }
})

test('any event comes back in both modes; any bytes and headers are read or refused with a code', async () => {
  const word = fc.string({ unit: 'grapheme', minLength: 1 })
  const event = fc.record({
    ...{ id: word, source: word, type: word, subject: word },
    data: fc.jsonValue().filter((value) => value !== null && JSON.stringify(value) !== undefined),
  })
  const modes = ['binary', 'structured'] as const
  await fc.assert(
    fc.asyncProperty(
      event,
      fc.constantFrom(...modes),
      fc.uint8Array(),
      fc.dictionary(
        fc.constantFrom('ce_specversion', 'ce_id', 'ce_source', 'ce_type', 'content-type'),
        fc.oneof(word, fc.constantFrom('1.0', 'application/cloudevents+json')),
      ),
      async (of, mode, noise, headers) => {
        const codec = cloudEvents<unknown>(json(), { mode })
        const back = read(codec, await written(codec as never, of))
        expect(back).toMatchObject({ id: of.id, source: of.source, type: of.type, subject: of.subject })
        expect((back as CloudEvent<unknown>).data).toEqual(JSON.parse(JSON.stringify(of.data)))
        try {
          read(codec, {
            value: noise,
            headers: Object.entries(headers).map(([name, value]) => [name, Buffer.from(value)]),
          })
        } catch (error) {
          expect(error).toMatchObject({ code: 'DECODE_FAILED', kind: 'invalid' })
        }
      },
    ),
  )
})
