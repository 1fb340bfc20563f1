/** What codecs read is written by them again behind an exchange, where values have been bytes in between. */
import { create } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, StructSchema, TimestampSchema } from '@bufbuild/protobuf/wkt'
import { records } from '@weir/model'
import { expect, test } from 'vitest'
import { decodeFrame, encodeFrame } from '../../../runtime/src/frame.ts'
import { avro, cloudEvents, json, protobuf, withHeaders, type Codec } from '../index.ts'

function exchanged(value: unknown): unknown {
  const batch = { keys: ['k'], values: [value], timestamps: [1] }
  const element = decodeFrame(encodeFrame(0, records(batch)), 0)
  return element.kind === 'records' ? element.batch.values[0] : undefined
}
const everything = {
  type: 'record',
  name: 'Everything',
  fields: [
    ...['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'].map((type) => ({ name: type, type })),
    { name: 'fixed', type: { type: 'fixed', name: 'Two', size: 2 } },
    { name: 'choice', type: ['null', 'bytes', 'long', { type: 'array', items: ['null', 'Two'] }] },
    { name: 'map', type: { type: 'map', values: ['bytes', 'Everything', 'null'] } },
  ],
}
const inner = {
  ...{ null: null, boolean: true, int: -1, long: -(2n ** 63n), float: 0.5, double: 0.1, bytes: Buffer.from([1]) },
  ...{ string: 'ü', fixed: Buffer.from([2, 3]), choice: 2n ** 60n, map: {} },
}
const samples: [string, Codec<never>, unknown][] = [
  ['json', json() as never, { a: [1, 'x', null], b: { c: true } }],
  [
    'avro',
    avro(everything, { long: 'bigint' }),
    { ...inner, choice: [null, inner.fixed], map: { a: inner.bytes, b: inner } },
  ],
  ['protobuf', protobuf(TimestampSchema) as never, create(TimestampSchema, { seconds: -(2n ** 63n), nanos: 1 })],
  [
    'protobuf with maps and oneofs',
    protobuf(StructSchema) as never,
    create(StructSchema, {
      fields: { a: { kind: { case: 'numberValue', value: 1.5 } }, b: { kind: { case: 'nullValue', value: 0 } } },
    }),
  ],
  [
    'protobuf with presence (proto2)',
    protobuf(FileDescriptorProtoSchema) as never,
    create(FileDescriptorProtoSchema, {
      name: '',
      package: 'p',
      messageType: [{ name: 'M', options: { deprecated: false } }],
    }),
  ],
  ['headers', withHeaders(json()) as never, { value: 1, headers: [['h', Buffer.from('x')]] }],
  ['events', cloudEvents(json(), { source: 's', type: 't' }) as never, { id: '1', data: { n: 1 } }],
]

test.each(samples)('%s', (_, codec, value) => {
  const bytes = codec.encode(value as never)!
  const read = codec.decode(Buffer.from(bytes), 0, bytes.length, () => [
    ['ce_specversion', Buffer.from('1.0')],
    ...['id', 'source', 'type'].map((name) => [`ce_${name}`, Buffer.from(name)] as const),
  ])
  expect(codec.encode(exchanged(read) as never)).toEqual(bytes)
})
