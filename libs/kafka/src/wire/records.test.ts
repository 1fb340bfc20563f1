import fc from 'fast-check'
import { expect, test } from 'vitest'
import { murmur2, murmur2OfAscii } from '../murmur2.ts'
import { readBatches } from './read-batches.ts'
import { BatchBuilder } from './records.ts'

const identity = { producerId: 7n, producerEpoch: 3 }

test('what is written is read: keys, values, nulls, times', () => {
  const text = fc.oneof(fc.string({ maxLength: 40 }), fc.string({ maxLength: 40, unit: 'binary' }))
  const record = fc.record({
    key: fc.option(text),
    encoded: fc.boolean(),
    value: fc.option(text),
    at: fc.integer({ min: -(2 ** 44), max: 2 ** 44 }),
    headers: fc.array(fc.tuple(text, fc.option(fc.uint8Array())), { maxLength: 3 }),
  })
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 50 }), (rows) => {
      const b = new BatchBuilder(16)
      for (const { key, encoded, value, at, headers } of rows)
        b.append(key !== null && encoded ? Buffer.from(key) : key, value, at, headers)
      const { chunks, nextOffset } = readBatches(b.finish(identity, 0), 0n, null)
      const { buffer, count, keyStart, keyEnd, valueStart, valueEnd, timestamps } = chunks[0]!
      const part = (from: Int32Array, to: Int32Array, i: number) =>
        from[i]! < 0 ? null : buffer.toString('utf8', from[i], to[i])
      const read = Array.from({ length: count }, (_, i) => ({
        key: part(keyStart, keyEnd, i),
        value: part(valueStart, valueEnd, i),
        at: timestamps[i],
        headers: chunks[0]!.headers!(chunks[0]!, i).map(([name, of]) => [name, of && [...of]]),
      }))
      const utf8 = (s: string | null) => (s === null ? null : Buffer.from(s).toString())
      const named = (h: [string, Uint8Array | null][]) => h.map(([name, of]) => [utf8(name), of && [...of]])
      expect(read).toEqual(
        rows.map((r) => ({ key: utf8(r.key), value: utf8(r.value), at: r.at, headers: named(r.headers) })),
      )
      expect(nextOffset).toBe(BigInt(rows.length))
    }),
  )
})

test('a safe integer is written as its decimal digits', () => {
  const number = fc.oneof(
    fc.maxSafeInteger(),
    fc.integer(),
    fc.constantFrom(0, -0, 9, 10, 9_999, 10_000, 2 ** 31 - 1, 2 ** 31),
  )
  fc.assert(
    fc.property(fc.array(number, { minLength: 1, maxLength: 50 }), (numbers) => {
      const [digits, texts] = [new BatchBuilder(16), new BatchBuilder(16)]
      for (const value of numbers) digits.append('k', value, 1)
      for (const value of numbers) texts.append('k', String(value), 1)
      expect(digits.finish(identity, 0)).toEqual(texts.finish(identity, 0))
    }),
  )
})

test('a batch cut off by the fetch limit is left for the next fetch', () => {
  const b = new BatchBuilder()
  b.append(null, 'x', 0)
  const whole = b.finish(identity, 0)
  expect(readBatches(whole.subarray(0, whole.length - 1), 0n, null)).toEqual({
    chunks: [],
    owners: [],
    control: [],
    nextOffset: null,
  })
})

test('records of an aborted transaction are not for read_committed', () => {
  const b = new BatchBuilder()
  b.append(null, 'x', 0)
  const read = readBatches(b.finish(identity, 0), 0n, [{ producerId: 7n, firstOffset: 0n }])
  expect(read).toMatchObject({ chunks: [], nextOffset: 1n })
})

test('keys land in the partitions of the Java client', () => {
  // Vectors of org.apache.kafka.common.utils.UtilsTest, positive form.
  const vectors: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
  ]
  for (const [text, hash] of vectors) {
    expect(murmur2(Buffer.from(text))).toBe(hash & 0x7fffffff)
    expect(murmur2OfAscii(text)).toBe(hash & 0x7fffffff)
  }
  for (const text of ['é', 'abcd…', '\ud800', 'abcde\u0080']) expect(murmur2OfAscii(text)).toBe(-1)
})
