import type { TopicRecord } from '@weir/model'
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { crc32 } from 'node:zlib'
import { MARKS_MAX, RunDigest, firstDifference, type Hashes, type RunSummary } from './receipt.ts'
import type { RawRecords } from './ports.ts'

const hashes: Hashes = {
  sha256: (bytes) => createHash('sha256').update(bytes).digest('hex'),
  crc32: (bytes) => crc32(bytes),
}
const record = (value: string): TopicRecord => ({ key: null, value: Buffer.from(value), timestamp: 1, headers: [] })
const summaryOf = (records: readonly TopicRecord[]): RunSummary => {
  const digest = new RunDigest(hashes)
  for (const one of records) digest.add(one)
  return digest.summary()
}
const summary = (values: readonly string[]): RunSummary => summaryOf(values.map(record))
const numbers = (n: number): string[] => Array.from({ length: n }, (_, i) => String(i))

test('two records are hashed alike only when every part of them is the same', () => {
  const bytes = fc.option(fc.uint8Array({ maxLength: 3 }))
  const headers = fc.array(fc.tuple(fc.string({ maxLength: 2 }), bytes), { maxLength: 2 })
  const any = fc.record({ key: bytes, value: bytes, timestamp: fc.integer({ min: 0, max: 3 }), headers })
  const text = (r: TopicRecord): string =>
    JSON.stringify([
      r.key && [...r.key],
      r.value && [...r.value],
      r.timestamp,
      r.headers.map(([n, v]) => [n, v && [...v]]),
    ])
  fc.assert(
    fc.property(any, any, (a, b) => {
      expect(summaryOf([a]).digest === summaryOf([b]).digest).toBe(text(a) === text(b))
    }),
  )
})

test('the record that was changed is named; in a long run, the few it is among', () => {
  for (const n of [1, 2, 63, 64, 65, 200, MARKS_MAX - 1, MARKS_MAX, MARKS_MAX + 1, 3 * MARKS_MAX + 5]) {
    const values = numbers(n)
    const good = summary(values)
    expect(good).toMatchObject({ records: n })
    expect(good.marks.length).toBeLessThanOrEqual(8 * MARKS_MAX)
    expect(firstDifference(good, summary(values))).toBeNull()
    for (const at of new Set([0, n >> 1, n - 1])) {
      const found = firstDifference(good, summary(values.with(at, 'changed')))!
      expect(found.from).toBeLessThanOrEqual(at)
      expect(found.to).toBeGreaterThan(at)
      expect(found.to - found.from).toBe(good.each)
      expect(good.each).toBeLessThanOrEqual(Math.max(1, (2 * n) / MARKS_MAX))
    }
  }
})

test('a record more, one less, two in another order: none passes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(3).map(String), { maxLength: 150 }),
      fc.nat(),
      fc.nat(3).map(String),
      (values, n, more) => {
        const at = n % (values.length + 1)
        const good = summary(values)
        expect(firstDifference(good, summary(values.toSpliced(at, 0, more)))).not.toBeNull()
        if (at < values.length) expect(firstDifference(good, summary(values.toSpliced(at, 1)))).not.toBeNull()
        const swapped = values.toReversed()
        expect(firstDifference(good, summary(swapped)) === null).toBe(values.join() === swapped.join())
      },
    ),
  )
})

test('raw records have the digest of what they hold, also when they are larger than a block', () => {
  const bytes = fc.option(fc.uint8Array({ maxLength: 40_000, size: 'max' }), { freq: 5 })
  const headers = fc.array(fc.tuple(fc.string(), fc.option(fc.uint8Array())), { maxLength: 2 })
  const any = fc.record({ key: bytes, value: bytes, timestamp: fc.nat(), headers })
  fc.assert(
    fc.property(fc.array(any, { maxLength: 8 }), (records) => {
      const parts = records.flatMap(({ key, value }) => [key, value])
      let at = 0
      const places = parts.map((part) => (part === null ? [-1, at] : [at, (at += part.length)]))
      const column = (of: number, end: number): Int32Array =>
        Int32Array.from(
          places.filter((_, i) => i % 2 === of),
          (place) => place[end]!,
        )
      const raw: RawRecords = {
        buffer: Buffer.concat(parts.map((part) => part ?? Buffer.alloc(0))),
        count: records.length,
        ...{ keyStart: column(0, 0), keyEnd: column(0, 1), valueStart: column(1, 0), valueEnd: column(1, 1) },
        timestamps: Float64Array.from(records, (r) => r.timestamp),
        offsets: new Float64Array(records.length),
        headers: (_, i) => records[i]!.headers,
      }
      const digest = new RunDigest(hashes)
      for (let i = 0; i < records.length; i++) digest.addRaw(raw, i)
      expect(digest.summary()).toEqual(summaryOf(records))
    }),
    { numRuns: 50 },
  )
})

test('marks that agree though the records do not: the whole run is named', () => {
  const good = summary(['a', 'b', 'c'])
  expect(firstDifference(good, { ...good, digest: 'other' })).toEqual({ from: 0, to: 3 })
})
