import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FlatPacker } from './flat-packer.ts'
import { pack, packReused, unpack } from './pack.ts'

const reused = (value: unknown): Buffer => {
  const { bytes, start, end } = packReused(value)
  return Buffer.from(bytes.subarray(start, end))
}

const numbers = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  ...[0x20, 0x40, 0x80, 0x100, 0x8000, 0x10000, 0x80000000, 0x100000000].map((n) =>
    fc.integer({ min: -2, max: 2 }).chain((by) => fc.constantFrom(n + by, -n + by)),
  ),
)
const simple = fc.oneof(numbers, fc.string(), fc.string({ unit: 'binary' }), fc.boolean(), fc.constant(null))
const records = fc.dictionary(fc.constantFrom('sum', 'last', 'a', 'größe', '1', 'hasOwnProperty', 'toJSON'), simple, {
  noNullPrototype: true,
})

test('whatever comes in whatever order, the bytes are those of msgpackr', () => {
  const values = fc.oneof(records, records, simple, fc.jsonValue(), fc.bigInt(), fc.date({ noInvalidDate: true }))
  fc.assert(
    fc.property(fc.array(values), (all) => {
      for (const value of all) expect(reused(value)).toEqual(Buffer.from(pack(value)))
    }),
    { numRuns: 1_000 },
  )
})

test('records of numbers, short texts, booleans and null are packed here, others are not', () => {
  const packer = new FlatPacker(pack)
  const flat = [{ sum: 5, last: -7.5 }, { sum: 6, last: 1 }, { user: 'anna', paid: true, at: null }, 7, 'x', null]
  for (const value of flat) {
    expect(packer.pack(value)).toBe(true)
    expect(unpack(packer.bytes.subarray(0, packer.end))).toEqual(value)
  }
  class Money {
    readonly minor = 5
  }
  for (const value of [
    undefined,
    5n,
    {},
    [1],
    { a: {} },
    { a: 'ä' },
    { a: 'x'.repeat(32) },
    new Money(),
    new Map(),
    Object.create(null),
  ])
    expect(packer.pack(value)).toBe(false)
})
