import { create, equals, toBinary, type MessageShape } from '@bufbuild/protobuf'
import { TimestampSchema, type Timestamp } from '@bufbuild/protobuf/wkt'
import { WeirError } from '@weir/model'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { beforeAll, expect, expectTypeOf, test } from 'vitest'
import { messageType, protoJson, protobuf, type Codec } from '../index.ts'

const PROTO = `syntax = "proto3";
package shop;
message Payment {
  string id = 1;
  int64 amount_minor = 2;
  fixed64 ledger = 3;
  bytes proof = 4;
  repeated sint32 steps = 5;
  map<string, int64> rates = 6;
  oneof party { string user = 7; Payment parent = 8; }
}`
let set: Uint8Array

beforeAll(() => {
  const dir = mkdtempSync(join(tmpdir(), 'weir-protobuf-'))
  writeFileSync(join(dir, 'shop.proto'), PROTO)
  const buf = join(import.meta.dirname, '../../../../node_modules/.bin/buf')
  set = execFileSync(buf, ['build', dir, '-o', '-#format=binpb'])
  rmSync(dir, { recursive: true })
})

const failure = (run: () => unknown): WeirError => {
  try {
    run()
  } catch (error) {
    if (error instanceof WeirError) return error
    throw error
  }
  throw new Error('it did not throw')
}
const read = ({ decode }: Pick<Codec<never>, 'decode'>, bytes: Uint8Array): unknown => {
  const buffer = Buffer.concat([Buffer.from('<<'), bytes, Buffer.from('>>')])
  const value = decode(buffer, 2, buffer.length - 2)
  buffer.fill(0xff) // what a value keeps of its buffer is gone
  return value
}

test('a generated type gives its messages a type, and 64 bits are exact', () => {
  const codec = protobuf(TimestampSchema)
  expectTypeOf(codec).toEqualTypeOf<Codec<Timestamp>>()
  const time = create(TimestampSchema, { seconds: 2n ** 63n - 1n, nanos: 7 })
  const bytes = codec.encode(time) as Uint8Array
  expect(bytes).toEqual(toBinary(TimestampSchema, time))
  expect(read(codec, bytes)).toEqual(time)
  expect(codec.encode(null as never)).toBeNull()
})

test('what a number cannot hold is refused, and so is what is no such message', () => {
  const codec = protobuf(TimestampSchema)
  for (const seconds of [1.5, 2 ** 63, 2n ** 63n, 'secret'] as unknown as bigint[]) {
    const error = failure(() => codec.encode({ $typeName: 'google.protobuf.Timestamp', seconds, nanos: 0 }))
    expect(error).toMatchObject({ code: 'ENCODE_FAILED', kind: 'invalid' })
  }
  expect(failure(() => codec.encode({ seconds: 1n, nanos: 0 } as Timestamp)).message).toContain('TimestampSchema')
})

test('a message of a FileDescriptorSet is written and read, its bytes are its own', () => {
  const Payment = messageType(set, 'shop.Payment')
  const codec = protobuf(Payment)
  const payment = create(Payment, {
    ...{ id: 'a', amountMinor: -(2n ** 63n), ledger: 2n ** 64n - 1n, proof: Uint8Array.of(1, 2, 3) },
    ...{ steps: [1, -1], rates: { eur: 5n }, party: { case: 'parent', value: create(Payment, { id: 'p' } as never) } },
  } as never)
  const back = read(codec, codec.encode(payment) as Uint8Array) as MessageShape<typeof Payment>
  expect(equals(Payment, back, payment)).toBe(true)
  expect((back as unknown as { proof: Uint8Array }).proof).toEqual(Uint8Array.of(1, 2, 3))
})

test('a set without the message names what it has', () => {
  expect(failure(() => messageType(set, 'shop.Order')).message).toContain('shop.Payment')
  expect(failure(() => messageType(Uint8Array.of(0xff), 'shop.Order')).code).toBe('SCHEMA_INVALID')
})

test('random messages come back; any bytes are read or refused with a code', () => {
  const Payment = messageType(set, 'shop.Payment')
  const codec = protobuf(Payment)
  const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  const payment = fc.record({
    id: fc.string({ unit: 'binary' }),
    amountMinor: int64,
    ledger: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    proof: fc.uint8Array(),
    steps: fc.array(fc.integer()),
    rates: fc.dictionary(fc.string(), int64),
  })
  fc.assert(
    fc.property(payment, fc.uint8Array({ maxLength: 60 }), (init, noise) => {
      const message = create(Payment, init as never)
      expect(equals(Payment, read(codec, codec.encode(message) as Uint8Array) as never, message)).toBe(true)
      try {
        read(codec, noise)
      } catch (error) {
        expect(error).toMatchObject({ code: 'DECODE_FAILED', kind: 'invalid' })
      }
    }),
  )
})

test('as ProtoJSON messages are plain: 64-bit integers and bytes are texts, and what was not set has its default', () => {
  const type = messageType(set, 'shop.Payment')
  const codec = protoJson<Record<string, unknown>>(type)
  const payment = {
    id: 'p1',
    amountMinor: '9007199254740993',
    proof: 'AQI=',
    steps: [-1],
    rates: { eu: '5' },
    user: 'ada',
  }
  const bytes = Buffer.from(codec.encode(payment) as Uint8Array)
  const read = codec.decode(bytes, 0, bytes.length)
  expect(read).toEqual({ ...payment, ledger: '0' })
  expect(codec.encode(null as never)).toBeNull()
  expect(failure(() => codec.encode({ id: 'p1', amount: 1 }))).toMatchObject({ code: 'ENCODE_FAILED' })
  expect(failure(() => codec.decode(Buffer.from([0x0a, 9, 1]), 0, 3))).toMatchObject({ code: 'DECODE_FAILED' })
})
