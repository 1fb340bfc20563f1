import { WeirError } from '@weir/model'
import avsc from 'avsc'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { avro, type AvroSchema, type Codec } from '../index.ts'

const Order = {
  type: 'record',
  name: 'Order',
  namespace: 'shop',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'amountMinor', type: 'long' },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'tags', type: { type: 'array', items: 'string' }, default: [] },
    { name: 'rates', type: { type: 'map', values: 'double' }, default: {} },
    { name: 'status', type: { type: 'enum', name: 'Status', symbols: ['PAID', 'FAILED'] }, default: 'PAID' },
  ],
}
const order = { id: 'a', amountMinor: 7, note: 'late', tags: ['x', 'y'], rates: { eur: 1.5 }, status: 'FAILED' }

const failure = (run: () => unknown): WeirError => {
  try {
    run()
  } catch (error) {
    if (error instanceof WeirError) return error
    throw error
  }
  throw new Error('it did not throw')
}
const bytesOf = <T>(codec: Codec<T>, value: T): Buffer => codec.encode(value) as Buffer
/** As a source reads: out of a larger buffer. */
const read = ({ decode }: Pick<Codec<never>, 'decode'>, bytes: Uint8Array): unknown => {
  const buffer = Buffer.concat([Buffer.from('<<'), bytes, Buffer.from('>>')])
  return decode(buffer, 2, buffer.length - 2)
}

test('a value comes back as plain fields; another implementation reads the same bytes', () => {
  const codec = avro<typeof order>(Order)
  const bytes = bytesOf(codec, order)
  expect(Object.entries(read(codec, bytes) as object)).toEqual(Object.entries(order))
  expect(avsc.Type.forSchema(Order as never).fromBuffer(bytes)).toEqual(order)
  expect(read(avro(JSON.stringify(Order)), bytes)).toEqual(order)
  expect(codec.encode(null as never)).toBeNull()
})

test('fields left out have their defaults; a wrong one is named by place and type, never by content', () => {
  const codec = avro(Order)
  expect(read(codec, bytesOf(codec, { id: 'a', amountMinor: 7 }))).toEqual({
    ...{ id: 'a', amountMinor: 7, note: null, tags: [], rates: {}, status: 'PAID' },
  })
  const error = failure(() => codec.encode({ ...order, amountMinor: 'secret' }))
  expect(error).toMatchObject({ code: 'ENCODE_FAILED', kind: 'invalid' })
  expect(error.message).toContain('amountMinor is string, the schema wants long')
  expect(error.message).not.toContain('secret')
  for (const value of [undefined, 7, [], { id: 'a' }, { ...order, id: '\ud800' }]) {
    expect(failure(() => codec.encode(value)).code).toBe('ENCODE_FAILED')
  }
})

test('bytes that are cut off, too long or of another record are refused', () => {
  const codec = avro(Order)
  const bytes = bytesOf(codec, order)
  for (let length = 0; length < bytes.length; length++) {
    expect(failure(() => read(codec, bytes.subarray(0, length))).code).toBe('DECODE_FAILED')
  }
  expect(failure(() => read(codec, Buffer.concat([bytes, Buffer.from([0])]))).message).toContain('trailing')
  expect(failure(() => read(avro('string'), Buffer.from([2, 0xff]))).message).toContain('UTF-8')
  expect(read(avro('string'), bytesOf(avro<string>('string'), '\ufffd'))).toBe('\ufffd')
})

/** Zig-zag, 7 bits a byte, done by hand. */
function longBytes(value: bigint): Buffer {
  const bytes: number[] = []
  for (let z = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)); ; z >>= 7n) {
    if (z < 128n) return Buffer.from([...bytes, Number(z)])
    bytes.push(Number(z & 127n) | 128)
  }
}
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 53n - 1n, -(2n ** 53n), 0n, -1n),
)

test('a long is exact as a bigint; as a number it is exact or refused', () => {
  const [big, small] = [avro<bigint>('long', { long: 'bigint' }), avro<number>('long')]
  fc.assert(
    fc.property(int64, (value) => {
      const bytes = longBytes(value)
      expect(bytesOf(big, value)).toEqual(bytes)
      expect(read(big, bytes)).toBe(value)
      let exact: number
      try {
        exact = read(small, bytes) as number
      } catch (error) {
        expect(error).toMatchObject({ code: 'DECODE_FAILED' })
        expect(value >= -(2n ** 53n - 2n) && value <= 2n ** 53n - 2n).toBe(false)
        return
      }
      expect(BigInt(exact)).toBe(value)
      expect(bytesOf(small, exact)).toEqual(bytes)
    }),
  )
  for (const value of [2 ** 53, 1.5, Number.NaN]) expect(failure(() => small.encode(value)).code).toBe('ENCODE_FAILED')
  for (const value of [2n ** 63n, -(2n ** 63n) - 1n, 1 as unknown as bigint]) {
    expect(failure(() => big.encode(value)).code).toBe('ENCODE_FAILED')
  }
  expect(failure(() => small.encode(2 ** 53 + 2)).message).toContain('long: "bigint"')
})

test('counts that the bytes cannot hold are refused at once, also inside of what is skipped', () => {
  const many = longBytes(2n ** 40n)
  for (const schema of [
    { type: 'array', items: 'long' },
    { type: 'array', items: 'null' },
    { type: 'map', values: 'null' },
  ]) {
    expect(failure(() => read(avro(schema), many)).message).toContain('does not fit')
    expect(failure(() => read(avro(schema), Buffer.concat([longBytes(-5n), longBytes(-9n)]))).code).toBe(
      'DECODE_FAILED',
    )
  }
})

test('bytes are written from any Uint8Array: behind an exchange they are no Buffers any more', () => {
  const bytes = {
    type: 'array',
    items: ['null', 'bytes', { type: 'map', values: { type: 'fixed', name: 'F', size: 2 } }],
  }
  const codec = avro<unknown>(bytes)
  const value = (of: (...bytes: number[]) => Uint8Array): unknown => [null, of(1, 2, 3), { a: of(4, 5) }]
  const plain = bytesOf(
    codec,
    value((...all) => Uint8Array.from([0, ...all]).subarray(1)),
  )
  expect(plain).toEqual(
    bytesOf(
      codec,
      value((...all) => Buffer.from(all)),
    ),
  )
  expect(read(codec, plain)).toEqual(value((...all) => Buffer.from(all)))
  expect(failure(() => codec.encode(value(() => Uint8Array.of(1)))).code).toBe('ENCODE_FAILED')
})

test('a map has the key __proto__ like any other', () => {
  const codec = avro<Record<string, number>>({ type: 'map', values: 'int' })
  const bytes = Buffer.concat([longBytes(1n), longBytes(9n), Buffer.from('__proto__'), longBytes(5n), longBytes(0n)])
  const value = read(codec, bytes) as object
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  expect(Object.entries(value)).toEqual([['__proto__', 5]])
  expect(bytesOf(codec, value as Record<string, number>)).toEqual(bytes)
})

const name = fc.stringMatching(/^[a-z]{1,6}$/)
interface Sample {
  readonly schema: AvroSchema
  readonly value: fc.Arbitrary<unknown>
}
const primitive: fc.Arbitrary<Sample> = fc.constantFrom(
  { schema: 'null' as AvroSchema, value: fc.constant(null as unknown) },
  { schema: 'boolean', value: fc.boolean() },
  { schema: 'int', value: fc.integer() },
  { schema: 'long', value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) },
  { schema: 'double', value: fc.double({ noNaN: true }) },
  { schema: 'string', value: fc.string({ unit: 'binary' }) },
  { schema: 'bytes', value: fc.uint8Array().map((bytes) => Buffer.from(bytes)) },
)
let records = 0
const { sample } = fc.letrec<{ sample: Sample }>((tie) => ({
  sample: fc.oneof(
    { depthSize: 'small' },
    primitive,
    tie('sample').map((of) => ({
      schema: { type: 'array', items: of.schema } as AvroSchema,
      value: fc.array(of.value, { maxLength: 5 }),
    })),
    tie('sample').map((of) => ({
      schema: { type: 'map', values: of.schema } as AvroSchema,
      value: fc.dictionary(fc.string({ unit: 'binary' }), of.value, { maxKeys: 4, noNullPrototype: true }),
    })),
    fc.uniqueArray(fc.tuple(name, tie('sample')), { selector: ([n]) => n, maxLength: 4 }).map((fields) => ({
      schema: {
        type: 'record',
        name: `R${records++}`,
        fields: fields.map(([n, of]) => ({ name: n, type: of.schema })),
      } as AvroSchema,
      value: fc.record(Object.fromEntries(fields.map(([n, of]) => [n, of.value])), { noNullPrototype: true }),
    })),
  ),
}))

test('values of any schema come back; any bytes are read or refused with a code', () => {
  const any = sample.chain(({ schema, value }) => fc.tuple(fc.constant(schema), value, fc.uint8Array()))
  fc.assert(
    fc.property(any, ([schema, value, noise]) => {
      const codec = avro(schema, { long: 'bigint' })
      if (value !== null) expect(read(codec, bytesOf(codec, value))).toEqual(value)
      try {
        read(codec, noise)
      } catch (error) {
        expect(error).toMatchObject({ code: 'DECODE_FAILED', kind: 'invalid' })
      }
    }),
    { numRuns: 300 },
  )
})

test.each([['{"type":'], [{ type: 'recrod' }], ['Unknown'], [{ type: 'record', name: 'A', fields: 1 }]])(
  'no schema: %j',
  (schema) => {
    expect(failure(() => avro(schema as AvroSchema)).code).toBe('SCHEMA_INVALID')
  },
)
