import { WATERMARK_MAX, WATERMARK_MIN, operatorUid } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SplitWatermarks, watermarkCuts, watermarkQuantumMs } from './watermarks.ts'

test('the watermark is the highest time seen minus the allowed disorder, over the slowest split', () => {
  const marks = new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs: 5 }, [0, 1])
  expect(marks.observe(0, [100, 90])).toBe(WATERMARK_MIN) // split 1 may still begin with older records
  expect(marks.observe(1, [50])).toBe(45)
  expect(marks.observe(1, [200])).toBe(95)
})

test('an older record moves nothing back', () => {
  const marks = new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs: 0 }, [7])
  marks.observe(7, [100])
  expect(marks.observe(7, [3])).toBe(100)
  expect(marks.observe(7, [])).toBe(100)
})

test('a split that has ended holds nobody back; when all have ended the watermark is the last one', () => {
  const marks = new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs: 0 }, [0, 1])
  marks.observe(0, [100])
  expect(marks.end(1)).toBe(100)
  expect(marks.end(0)).toBe(WATERMARK_MAX)
})

test('a subtask without splits holds nobody back', () => {
  expect(new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs: 0 }, []).current).toBe(WATERMARK_MAX)
})

test('a restored tracker stands where the old one stood, an ended split stays ended', () => {
  const marks = new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs: 5 }, [0, 1, 2])
  marks.observe(0, [100])
  marks.observe(1, [70])
  marks.end(2)
  const restored = new SplitWatermarks(
    { uid: operatorUid('in'), outOfOrderMs: 5 },
    [0, 1, 2],
    JSON.parse(JSON.stringify(marks.snapshot())),
  )
  expect(restored.current).toBe(65)
  expect(restored.snapshot()).toEqual(marks.snapshot())
  expect(restored.observe(1, [60])).toBe(65)
})

test('agrees with a model that keeps every timestamp, and never goes back', () => {
  const step = fc.record({ split: fc.nat(3), seen: fc.array(fc.nat(1_000), { maxLength: 4 }), end: fc.boolean() })
  fc.assert(
    fc.property(fc.nat(50), fc.integer({ min: 1, max: 4 }), fc.array(step), (outOfOrderMs, count, steps) => {
      const splits = Array.from({ length: count }, (_, i) => i)
      const seen = splits.map(() => [] as number[])
      const ended = splits.map(() => false)
      let marks = new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs }, splits)
      let last = marks.current
      for (const { split: s, seen: timestamps, end } of steps) {
        const split = s % count
        if (end) {
          ended[split] = true
          marks.end(split)
        } else if (!ended[split]) {
          seen[split]!.push(...timestamps)
          marks.observe(split, timestamps)
        }
        const each = splits.map((i) =>
          ended[i] ? WATERMARK_MAX : seen[i]!.length === 0 ? WATERMARK_MIN : Math.max(...seen[i]!) - outOfOrderMs,
        )
        expect(marks.current).toBe(Math.min(...each))
        expect(marks.current).toBeGreaterThanOrEqual(last)
        last = marks.current
        marks = new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs }, splits, marks.snapshot())
      }
    }),
  )
})

test.each([
  ['nothing looks at event time: one cut', [5, 12, 3], null, [[3, 12]]],
  [
    'behind the record that reaches a multiple',
    [5, 12, 3, 19, 20, 21],
    10,
    [
      [2, 12],
      [5, 20],
      [6, 21],
    ],
  ],
  ['the last record reaches one', [5, 10], 10, [[2, 10]]],
  ['several multiples at once', [5, 99], 10, [[2, 99]]],
  ['an empty batch', [], 10, [[0, WATERMARK_MIN]]],
] as [string, number[], number | null, [number, number][]][])(
  'cuts of a batch: %s',
  (_, timestamps, quantumMs, cuts) => {
    expect(watermarkCuts(timestamps, WATERMARK_MIN, { outOfOrderMs: 0, quantumMs })).toEqual(
      // The first record reaches a multiple too: everything before it was WATERMARK_MIN.
      [...(quantumMs !== null && timestamps.length > 0 ? [[1, 5]] : []), ...cuts].map(([to, watermark]) => ({
        to,
        watermark,
      })),
    )
  },
)

test('cuts allow for disorder and never go back', () => {
  expect(watermarkCuts([108, 90, 116], 100, { outOfOrderMs: 5, quantumMs: 10 })).toEqual([{ to: 3, watermark: 111 }])
})

test('the quantum divides every window', () => {
  expect(watermarkQuantumMs([10_000, 60_000, 4_000])).toBe(2_000)
  expect(watermarkQuantumMs([])).toBeNull()
})
