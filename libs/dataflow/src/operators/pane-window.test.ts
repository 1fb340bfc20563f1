import { WATERMARK_MAX } from '@weir/model'
import { expect, test } from 'vitest'
import { MemoryKeyedStates } from '../memory-state.ts'
import type { OperatorContext } from '../operator.ts'
import { counting, functionsOf, summing } from '../aggregate.ts'
import { windowProcessOf } from '../windowing.ts'
import { everyCount, everyEventTime, everyProcessingTime, purging } from '../window.ts'
import { Catch, batchOf, contextOf, uid } from './fixture.ts'
import { TumblingWindow } from './tumbling-window.ts'
import { PaneWindow, type PaneWindowOptions } from './pane-window.ts'

const open = (
  options: Partial<PaneWindowOptions> & Pick<PaneWindowOptions, 'window'>,
  over: Partial<OperatorContext> = {},
): PaneWindow => {
  const window = new PaneWindow({ uid, aggregate: functionsOf(counting), ...options })
  window.open(contextOf({ freeze: true, ...over }))
  return window
}
const results = (out: Catch): unknown[] =>
  out.seen
    .splice(0)
    .flatMap((seen) => (typeof seen === 'string' ? [] : [[seen[0], ...Object.values(seen[1] as object)]]))
const tenByFive = { type: 'sliding', sizeMs: 10, slideMs: 5 } as const
const ten = { type: 'tumbling', sizeMs: 10 } as const

test('a record is in every window over it; windows fire in the order of their end', () => {
  const out = new Catch()
  const window = open({ window: tenByFive })
  window.onBatch(batchOf(['a', 'x', 3], ['a', 'x', 7], ['b', 'x', 12]), out)
  window.onWatermark(9, out)
  expect(out.seen).toEqual([['a', { start: -5, end: 5, value: 1 }, 4], 'watermark 9'])
  out.seen.length = 0
  window.onWatermark(WATERMARK_MAX, out)
  expect(results(out)).toEqual([
    ['a', 0, 10, 2],
    ['a', 5, 15, 1],
    ['b', 5, 15, 1],
    ['b', 10, 20, 1],
  ])
})

test('one accumulator per key and pane, however many windows it is in; a pane goes with its last window', () => {
  const state = new MemoryKeyedStates()
  const window = open({ window: { type: 'sliding', sizeMs: 100, slideMs: 5 } }, { state })
  window.onBatch(batchOf(...Array.from({ length: 50 }, (_, i) => ['a', 'x', 200 + (i % 5)] as const)), new Catch())
  const rows = state.keyed(uid, 'window')
  expect(rows.namespaces()).toEqual([205])
  window.onWatermark(299, new Catch())
  expect(rows.get('a', 205)).toBe(50)
  window.onWatermark(300, new Catch())
  expect(rows.namespaces()).toEqual([])
})

test('where the slide does not divide the size, panes are their greatest common divisor', () => {
  const out = new Catch()
  const window = open({ window: { type: 'sliding', sizeMs: 6, slideMs: 4 } })
  window.onBatch(batchOf(['a', 'x', 4], ['a', 'x', 5], ['a', 'x', 6], ['a', 'x', 9]), out)
  window.onWatermark(WATERMARK_MAX, out)
  expect(results(out)).toEqual([
    ['a', 0, 6, 2],
    ['a', 4, 10, 4],
    ['a', 8, 14, 1],
  ])
})

test('windows begin at the offset', () => {
  const out = new Catch()
  const window = open({ window: { ...ten, offsetMs: 3 } })
  window.onBatch(batchOf(['a', 'x', 0], ['a', 'x', 3], ['a', 'x', 12], ['a', 'x', 13]), out)
  window.onWatermark(WATERMARK_MAX, out)
  expect(results(out)).toEqual([
    ['a', -7, 3, 1],
    ['a', 3, 13, 2],
    ['a', 13, 23, 1],
  ])
})

test('a record within the allowed lateness fires its window again, with all that is in it; later it is late', () => {
  const [out, late, counters] = [new Catch(), new Catch(), { lateRecords: 0 }]
  const window = open({ window: ten, allowedLatenessMs: 5 }, { sides: new Map([['late', late]]), counters })
  window.onBatch(batchOf(['a', 'x', 1]), out)
  window.onWatermark(14, out)
  expect(results(out)).toEqual([['a', 0, 10, 1]])
  window.onBatch(batchOf(['a', 'x', 9], ['b', 'x', 2], ['a', 'x', 8]), out)
  expect(results(out)).toEqual([
    ['a', 0, 10, 2],
    ['b', 0, 10, 1],
    ['a', 0, 10, 3],
  ])
  window.onWatermark(15, out)
  window.onBatch(batchOf(['a', 'y', 9]), out)
  expect([results(out), late.seen, counters.lateRecords]).toEqual([[], [['a', 'y', 9]], 1])
})

test('of a late record only the windows are left out that are gone', () => {
  const [out, late] = [new Catch(), new Catch()]
  const window = open({ window: tenByFive }, { sides: new Map([['late', late]]) })
  window.onWatermark(10, out)
  window.onBatch(batchOf(['a', 'x', 7], ['a', 'x', 4]), out)
  window.onWatermark(15, out)
  expect(results(out)).toEqual([['a', 5, 15, 1]])
  expect(late.seen).toEqual([['a', 'x', 4]])
})

test('what has fired is state: a watermark from before fires nothing again, and drops nothing that may still come', () => {
  const [state, out] = [new MemoryKeyedStates(), new Catch()]
  const before = open({ window: tenByFive, allowedLatenessMs: 20 }, { state })
  before.onBatch(batchOf(['a', 'x', 7]), out)
  before.onWatermark(12, out)
  expect(results(out)).toEqual([['a', 0, 10, 1]])

  const after = open({ window: tenByFive, allowedLatenessMs: 20 }, { state, watermark: 2 })
  after.onBatch(batchOf(['a', 'x', 8], ['b', 'x', 1]), out)
  expect(results(out)).toEqual([
    ['a', 0, 10, 2],
    ['b', -5, 5, 1],
    ['b', 0, 10, 1],
  ])
  after.onWatermark(15, out)
  expect(results(out)).toEqual([['a', 5, 15, 2]])
})

test('a tumbling window that is given a lateness later goes on with what it has', () => {
  const [state, out] = [new MemoryKeyedStates(), new Catch()]
  const before = new TumblingWindow({ uid, window: ten, aggregate: functionsOf(counting) })
  before.open(contextOf({ state }))
  before.onBatch(batchOf(['a', 'x', 1], ['a', 'x', 15]))
  before.onWatermark(11, new Catch())

  const after = open({ window: ten, allowedLatenessMs: 5 }, { state, watermark: 11 })
  after.onBatch(batchOf(['a', 'x', 12]), out)
  after.onWatermark(20, out)
  expect(results(out)).toEqual([['a', 10, 20, 2]])
})

test('early by event time: all open windows with what they have, at every multiple; purged, what came since', () => {
  for (const purges of [false, true]) {
    const out = new Catch()
    const trigger = purges ? purging(everyEventTime(4)) : everyEventTime(4)
    const window = open({ window: ten, trigger })
    window.onWatermark(1, out)
    window.onBatch(batchOf(['a', 'x', 2], ['b', 'x', 11]), out)
    window.onWatermark(3, out)
    expect(results(out)).toEqual([])
    window.onWatermark(4, out)
    expect(results(out)).toEqual([
      ['a', 0, 10, 1],
      ['b', 10, 20, 1],
    ])
    window.onBatch(batchOf(['a', 'x', 5]), out)
    window.onWatermark(10, out)
    expect(results(out)).toEqual(
      purges
        ? [['a', 0, 10, 1]]
        : [
            ['a', 0, 10, 2],
            ['b', 10, 20, 1],
          ],
    )
  }
})

test('by count: every so many records of a key in a window, and at its end', () => {
  const out = new Catch()
  const window = open({ window: ten, trigger: everyCount(2) })
  window.onBatch(batchOf(['a', 'x', 1], ['b', 'x', 1], ['a', 'x', 2], ['a', 'x', 11], ['a', 'x', 3]), out)
  expect(results(out)).toEqual([['a', 0, 10, 2]])
  window.onWatermark(WATERMARK_MAX, out)
  expect(results(out)).toEqual([
    ['a', 0, 10, 3],
    ['b', 0, 10, 1],
    ['a', 10, 20, 1],
  ])
})

test('by the clock: once per span in which a record came, not behind the end of the window', () => {
  const [out, state] = [new Catch(), new MemoryKeyedStates()]
  let now = 1_000
  const clock = { now: () => now }
  const options = { window: ten, trigger: everyProcessingTime(100), allowedLatenessMs: 50 }
  const first = open(options, { clock, state })
  first.onBatch(batchOf(['a', 'x', 1], ['a', 'x', 2], ['b', 'x', 11]), out)
  expect(first.processing!.nextMs).toBe(1_100)

  const window = open(options, { clock, state })
  now = 1_100
  window.processing!.fire(out)
  expect(results(out)).toEqual([
    ['a', 0, 10, 2],
    ['b', 10, 20, 1],
  ])
  expect(window.processing!.nextMs).toBe(Number.POSITIVE_INFINITY)
  window.onBatch(batchOf(['a', 'x', 3]), out)
  window.onWatermark(10, out)
  expect(results(out)).toEqual([['a', 0, 10, 3]])
  now = 1_200
  window.processing!.fire(out)
  expect(results(out)).toEqual([])
})

test('a merge or result that fails takes the result of its key away, and no other', () => {
  const refused: unknown[] = []
  const window = open(
    {
      window: tenByFive,
      aggregate: functionsOf({
        ...summing((n: number) => n),
        merge: (a, b) => {
          if (a + b === 13) throw new RangeError('unlucky')
          return a + b
        },
        result: (n) => {
          if (n === 5) throw new RangeError('five')
          return n
        },
      }),
    },
    { refuse: (batch, i, { code }) => void refused.push([batch.keys![i], batch.values[i], batch.timestamps[i], code]) },
  )
  const out = new Catch()
  window.onBatch(batchOf(['a', 6, 1], ['a', 7, 6], ['b', 5, 1], ['b', 3, 6]), out)
  window.onWatermark(WATERMARK_MAX, out)
  expect(results(out)).toEqual([
    ['a', -5, 5, 6],
    ['b', 0, 10, 8],
    ['a', 5, 15, 7],
    ['b', 5, 15, 3],
  ])
  expect(refused).toEqual([
    ['b', 5, 4, 'OPERATOR_FAILED'],
    ['a', 6, 9, 'OPERATOR_FAILED'],
  ])
})

test('a function over the whole window is given its records, pane by pane, and told of the window; a row is a record', () => {
  const state = new MemoryKeyedStates()
  const out = new Catch()
  const told: unknown[] = []
  const node = windowProcessOf<string, string>(tenByFive, (elements, { key, window, watermark }, out) => {
    told.push([key, window, watermark])
    for (const element of elements) out.emit(element)
  })
  const window = open({ ...node, window: tenByFive }, { state })
  window.onBatch(batchOf(['a', 'late in it', 7], ['a', 'first', 3], ['a', 'second', 3]), out)
  expect([...state.keyed(uid, 'window.elements[]').entries(5)].map(([, value]) => value)).toEqual(['first', 'second'])
  window.onWatermark(10, out)
  expect(out.seen).toEqual([
    ...[
      ['a', 'first', 4],
      ['a', 'second', 4],
    ],
    ...[
      ['a', 'first', 9],
      ['a', 'second', 9],
      ['a', 'late in it', 9],
    ],
    'watermark 10',
  ])
  expect(told).toEqual([
    ['a', { start: -5, end: 5 }, 10],
    ['a', { start: 0, end: 10 }, 10],
  ])
  expect(state.keyed(uid, 'window.elements[]').namespaces()).toEqual([10])
})

test('a function over the whole window that throws takes back what it has put out; the window has fired', () => {
  const out = new Catch()
  const refused: unknown[] = []
  const node = windowProcessOf<string, string>(ten, (elements, { key }, out) => {
    out.emit(`${key} begins`)
    if (elements.includes('bad')) throw new Error('no')
  })
  const window = open({ ...node, window: ten }, { refuse: (batch, _i, error) => refused.push(batch.keys, error.code) })
  window.onBatch(batchOf(['a', 'bad', 1], ['b', 'good', 2]), out)
  window.onWatermark(10, out)
  expect(out.seen).toEqual([['b', 'b begins', 9], 'watermark 10'])
  expect(refused).toEqual([['a'], 'OPERATOR_FAILED'])
})

test('the result of an aggregate is told of its window', () => {
  const out = new Catch()
  const aggregate = functionsOf<unknown, number, unknown>({
    ...counting,
    result: (count, { key, window: { start, end }, watermark }) => `${key} ${start}–${end}: ${count} at ${watermark}`,
  })
  const windows = [
    new TumblingWindow({ uid, window: ten, aggregate }),
    new PaneWindow({ uid, window: tenByFive, aggregate }),
  ]
  for (const window of windows) {
    window.open(contextOf())
    window.onBatch(batchOf(['a', 'x', 3]), out)
    window.onWatermark(11, out)
  }
  expect(results(out).map((result) => (result as unknown[]).at(-1))).toEqual([
    'a 0–10: 1 at 11',
    'a -5–5: 1 at 11',
    'a 0–10: 1 at 11',
  ])
})

test('a trigger that counts does so in every sliding window of a record; by the clock each of them fires', () => {
  const out = new Catch()
  const counting_ = open({ window: tenByFive, trigger: everyCount(2) })
  counting_.onBatch(batchOf(['a', 'x', 3], ['a', 'x', 7], ['a', 'x', 8]), out)
  expect(results(out)).toEqual([
    ['a', 0, 10, 2],
    ['a', 5, 15, 2],
  ])
  counting_.onWatermark(WATERMARK_MAX, out)
  expect(results(out)).toEqual([
    ['a', -5, 5, 1],
    ['a', 0, 10, 3],
    ['a', 5, 15, 2],
  ])
  let now = 1_000
  const window = open({ window: tenByFive, trigger: everyProcessingTime(100) }, { clock: { now: () => now } })
  window.onBatch(batchOf(['a', 'x', 3], ['a', 'x', 7]), out)
  window.onWatermark(5, out)
  out.seen.length = 0
  now = 1_100
  window.processing!.fire(out)
  expect(results(out)).toEqual([
    ['a', 0, 10, 2],
    ['a', 5, 15, 1],
  ])
})
