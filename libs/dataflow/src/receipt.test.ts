import type { TopicRecord } from '@weir/model'
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { MARKS_MAX, RunDigest, firstDifference, framed, type RunSummary } from './receipt.ts'

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')
const record = (value: string): TopicRecord => ({ key: null, value: Buffer.from(value), timestamp: 1, headers: [] })
const summary = (values: readonly string[]): RunSummary => {
  const digest = new RunDigest(sha256)
  for (const value of values) digest.add(record(value))
  return digest.summary()
}
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
      expect(Buffer.from(framed(a)).equals(framed(b))).toBe(text(a) === text(b))
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
