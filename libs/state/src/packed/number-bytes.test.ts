import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pack, unpack } from '../pack.ts'
import { NUMBER_BYTES_MAX, isNumberAt, numberIn } from './number-bytes.ts'

const number = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.integer({ min: -40, max: 300 }),
  fc.constantFrom(
    -0,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xffff,
    0x10000,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    -0x80,
    -0x81,
    -0x8000,
    -0x8001,
  ),
)

test('numbers are read as msgpackr reads them', () => {
  fc.assert(
    fc.property(number, (value) => {
      const bytes = Buffer.concat([Buffer.of(0xaa), pack(value), Buffer.of(0xbb)])
      expect(numberIn(bytes, 1)).toBe(unpack(pack(value)))
      expect(isNumberAt(bytes, 1)).toBe(true)
      expect(bytes.length - 2).toBeLessThanOrEqual(NUMBER_BYTES_MAX)
    }),
  )
})

test.each([
  null,
  true,
  false,
  '',
  'text',
  1n,
  -(2n ** 62n),
  [],
  [1],
  {},
  { a: 1 },
  new Date(0),
  new Uint8Array(1),
  new Map(),
])('nothing else is a number: %s', (value) => {
  expect(numberIn(pack(value), 0)).toBeUndefined()
  expect(isNumberAt(pack(value), 0)).toBe(false)
})
