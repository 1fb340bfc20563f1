import type { RecordHeader } from '@weir/model'
import { expect, expectTypeOf, test } from 'vitest'
import {
  headerText,
  json,
  kafka,
  withHeaders,
  withNamedHeaders,
  type Codec,
  type Source,
  type WithHeaders,
  type WithNamedHeaders,
} from '../index.ts'

const HEADERS: RecordHeader[] = [
  ['region', Buffer.from('us')],
  ['region', Buffer.from('eu')],
  ['gone', null],
]

test('a record comes with its headers; the last of a name is its text', () => {
  const source = kafka.topic('orders', { value: withHeaders(json<{ id: number }>()) })
  expectTypeOf(source).toEqualTypeOf<Source<WithHeaders<{ id: number }>>>()
  const bytes = Buffer.from('{"id":1}')
  const { value, headers } = source.decode!(bytes, 0, bytes.length, () => HEADERS) as WithHeaders<{ id: number }>
  expect([value, headers]).toEqual([{ id: 1 }, HEADERS])
  expect([headerText(headers, 'region'), headerText(headers, 'gone'), headerText(headers, 'none')]).toEqual([
    ...['eu', undefined, undefined],
  ])
  expect(source.decode!(bytes, 0, bytes.length)).toEqual({ value: { id: 1 }, headers: [] })
})

test('headers are read only when a codec asks for them', () => {
  const ask = (): never => {
    throw new Error('nobody wants them')
  }
  expect(json().decode(Buffer.from('1'), 0, 1, ask)).toBe(1)
})

test('a sink writes the headers of a value behind those of its codec, and its own last', () => {
  const record = { key: 'k', timestamp: 5, origin: null }
  const codec = { ...json(), headers: () => [['content-type', 'application/json']] as const }
  const sink = kafka.sink<WithHeaders<number>>('out', {
    value: withHeaders(codec),
    headers: ({ value }, { key, timestamp }) => [['from', `${value}/${key}/${timestamp}`]],
  })
  expect(sink.encodeValue({ value: 7, headers: HEADERS })).toBe('7')
  expect(sink.encodeHeaders!({ value: 7, headers: HEADERS }, record)).toEqual([
    ['content-type', 'application/json'],
    ...HEADERS,
    ['from', '7/k/5'],
  ])
  expect(kafka.sink('out').encodeHeaders).toBeUndefined()
})

test('headers that are named are fields beside the value; what is null is not written', () => {
  const codec = withNamedHeaders(json<{ id: number }>(), { region: 'region', gone: 'gone', none: 'x-none' })
  expectTypeOf(codec).toEqualTypeOf<
    Codec<
      WithNamedHeaders<{ id: number }, 'region' | 'gone' | 'none'>,
      WithNamedHeaders<{ id: number }, 'region' | 'gone' | 'none'>
    >
  >()
  const bytes = Buffer.from('{"id":1}')
  const read = codec.decode(bytes, 0, bytes.length, () => HEADERS) as WithNamedHeaders<object, string>
  expect(read).toEqual({ value: { id: 1 }, headers: { region: 'eu', gone: null, none: null } })
  expect(codec.encode(read as never)).toBe('{"id":1}')
  expect(codec.headers!(read as never, { key: null, timestamp: 0, origin: null })).toEqual([['region', 'eu']])
})
