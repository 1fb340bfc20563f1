import fc from 'fast-check'
import { expect, test } from 'vitest'
import { codecV1, codecV2, KEY_BYTES_MAX } from './key-codec.ts'
import { encodeMemcomparable } from './memcomparable.ts'

// The examples of TiKV's own `codec/bytes.rs`.
test.each([
  [[], [0, 0, 0, 0, 0, 0, 0, 0, 247]],
  [[0], [0, 0, 0, 0, 0, 0, 0, 0, 248]],
  [
    [1, 2, 3],
    [1, 2, 3, 0, 0, 0, 0, 0, 250],
  ],
  [
    [1, 2, 3, 4, 5, 6, 7, 8],
    [1, 2, 3, 4, 5, 6, 7, 8, 255, 0, 0, 0, 0, 0, 0, 0, 0, 247],
  ],
])('%j is encoded as %j', (key, encoded) => {
  expect([...encodeMemcomparable(Buffer.from(key))]).toEqual(encoded)
})

test('the encoding keeps the order', () => {
  const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array))
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(Math.sign(encodeMemcomparable(a).compare(encodeMemcomparable(b)))).toBe(Math.sign(a.compare(b)))
    }),
  )
})

test('in api v2 a key is led by its keyspace on the wire, and memcomparable only in boundaries', () => {
  const codec = codecV2(0x010203)
  const wire = codec.toWire(Buffer.from('key'))
  expect([...wire]).toEqual([0x72, 1, 2, 3, ...Buffer.from('key')])
  expect(codec.toBoundary(wire)).toEqual(encodeMemcomparable(wire))
  expect(codec.fromWire(wire).toString()).toBe('key')
  expect(codecV1.toBoundary(codecV1.toWire(Buffer.from('key'))).toString()).toBe('key')
})

test('a key that no server takes is refused before it is sent', () => {
  for (const bytes of [0, KEY_BYTES_MAX])
    expect(() => codecV1.toWire(Buffer.alloc(bytes))).toThrow(expect.objectContaining({ code: 'TIKV_KEY_LENGTH' }))
})
