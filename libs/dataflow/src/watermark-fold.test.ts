import { WATERMARK_MIN, operatorUid } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { firstReaching } from './batch-cut.ts'
import { thrown } from './operators/fixture.ts'
import { readBatch } from './operators/source.ts'
import type { SourceBatch } from './ports.ts'
import type { CustomWatermarks } from './watermark-fold.ts'
import { SplitWatermarks } from './watermarks.ts'

const uid = operatorUid('in')
interface Tick {
  readonly at: number
  readonly marker?: number
}
/** Markers say how far their split is complete; nothing else does. */
const markers: CustomWatermarks<Tick, { until: number }> = {
  initial: { until: 0 },
  onEvent: (state, { marker }) => (marker === undefined ? state : { until: marker }),
  watermark: ({ until }) => until || null,
}
const nodeOf = (custom: CustomWatermarks<never, never>) => ({
  uid,
  decode: null,
  timestamp: (v: unknown) => (v as Tick).at,
  outOfOrderMs: 0,
  watermarks: custom as unknown as CustomWatermarks<unknown, unknown>,
})
const node = nodeOf(markers as never)
const polled = (...values: Tick[]): SourceBatch => ({
  ...{ kind: 'values', split: 0, values, timestamps: values.map(() => 0), offsets: values.map((_, i) => i) },
})
const read = (marks: SplitWatermarks, of: typeof node, batch: SourceBatch, refuse?: (i: number) => void): number => {
  const refusals = refuse ? { place: 0, refuse } : null
  return marks.observe(0, readBatch(of, batch, refusals, marks.foldOf(0)).timestamps)
}

test('time is what the fold says, null: not yet; one that goes back counts for nothing', () => {
  const marks = new SplitWatermarks(node, [0])
  expect(read(marks, node, polled({ at: 100 }))).toBe(WATERMARK_MIN)
  expect(read(marks, node, polled({ at: 200, marker: 50 }, { at: 300 }))).toBe(50)
  expect(read(marks, node, polled({ at: 200, marker: 40 }))).toBe(50)
})

test('its state goes on behind a restore, and a look ahead leaves it as it is', () => {
  const count: CustomWatermarks<Tick, number> = { initial: 0, onEvent: (n) => n + 1, watermark: (n) => n }
  const counting = nodeOf(count as never)
  const marks = new SplitWatermarks(counting, [0])
  read(marks, counting, polled({ at: 1 }, { at: 1 }))
  const batch = polled({ at: 1 }, { at: 1 }, { at: 1 })
  expect(firstReaching(counting, batch, 4, marks.foldOf(0))).toBe(1)
  const stored = JSON.parse(JSON.stringify([marks.snapshot(), marks.snapshotFolds()])) as [never, never]
  const restored = new SplitWatermarks(counting, [0], ...stored)
  expect(restored.current).toBe(2)
  expect(read(restored, counting, batch)).toBe(5)
})

test.each<[string, Partial<CustomWatermarks<Tick, unknown>>]>([
  ['a state of undefined', { onEvent: () => undefined }],
  ['a promise', { onEvent: async () => 1 }],
  ['a watermark of NaN', { watermark: () => Number.NaN }],
  ['a negative watermark', { watermark: () => -1 }],
  ['a date', { watermark: () => new Date() as never }],
])('%s is refused with the record, which counts for nothing', (_, wrong) => {
  let calls = 0
  const custom = { ...markers, ...wrong } as unknown as CustomWatermarks<Tick, never>
  const once: CustomWatermarks<Tick, never> = {
    initial: markers.initial as never,
    onEvent: (s, v, t) => (calls++ === 1 ? custom.onEvent(s, v, t) : (markers.onEvent(s, v, t) as never)),
    watermark: (s) => (calls === 2 ? custom.watermark(s) : markers.watermark(s)),
  }
  const of = nodeOf(once as never)
  const refused: number[] = []
  const marks = new SplitWatermarks(of, [0])
  const batch = polled({ at: 1, marker: 5 }, { at: 2, marker: 9 }, { at: 3, marker: 7 })
  expect(read(marks, of, batch, (i) => refused.push(i))).toBe(7)
  expect(refused).toEqual([1])
  calls = 1
  expect(thrown(() => read(new SplitWatermarks(of, [0]), of, batch))).toMatchObject({
    code: 'WATERMARK_INVALID',
    facts: { operatorUid: 'in', split: 0, offset: 0 },
  })
})

test('a state that JSON would not give back is found at the snapshot', () => {
  const of = nodeOf({ initial: new Map(), onEvent: (s: unknown) => s, watermark: () => 1 } as never)
  expect(thrown(() => new SplitWatermarks(of, [0]).snapshotFolds()).code).toBe('WATERMARK_INVALID')
})

test('a fold that keeps the highest timestamp is bounded out-of-orderness, in any batches and behind any restore', () => {
  const highest: CustomWatermarks<Tick, number> = {
    initial: 0,
    onEvent: (h, _v, at) => Math.max(h, at),
    watermark: (h) => Math.max(0, h - 10),
  }
  const custom = nodeOf(highest as never)
  const bounded = { ...node, watermarks: null, outOfOrderMs: 10 }
  fc.assert(
    fc.property(fc.array(fc.array(fc.integer({ min: 10, max: 99 }), { maxLength: 5 })), (batches) => {
      let ours = new SplitWatermarks(custom, [0])
      const theirs = new SplitWatermarks(bounded, [0])
      for (const times of batches) {
        const batch = polled(...times.map((at) => ({ at })))
        theirs.observe(0, readBatch(bounded, batch).timestamps)
        expect(read(ours, custom, batch)).toBe(theirs.current)
        ours = new SplitWatermarks(custom, [0], ours.snapshot(), ours.snapshotFolds())
      }
    }),
  )
})
