import { WATERMARK_MAX } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FIRING_PART_MAX } from '../firing.ts'
import { MemoryKeyedStates } from '../memory-state.ts'
import type { OperatorContext } from '../operator.ts'
import { TumblingWindow } from './tumbling-window.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './fixture.ts'
import type { Row } from './fixture.ts'

const countOf = (sizeMs: number, over: Partial<OperatorContext> = {}): TumblingWindow => {
  const window = new TumblingWindow({
    uid,
    window: { type: 'tumbling', sizeMs },
    aggregate: { initial: 0, add: (a) => (a as number) + 1 },
  })
  window.open(contextOf(over))
  return window
}

test('a window fires when the watermark reaches its end, and not one millisecond before', () => {
  const out = new Catch()
  const window = countOf(10)
  window.onBatch(batchOf(['ada', 'x', 0], ['ada', 'x', 9], ['ada', 'x', 10]))
  window.onWatermark(9, out)
  expect(out.seen).toEqual(['watermark 9'])
  window.onWatermark(10, out)
  expect(out.seen).toEqual(['watermark 9', ['ada', { start: 0, end: 10, value: 2 }, 9], 'watermark 10'])
})

test('results go out before the watermark that made them, windows in time order', () => {
  const out = new Catch()
  const window = countOf(10)
  window.onBatch(batchOf(['b', 'x', 25], ['a', 'x', 5], ['a', 'x', 25], ['a', 'x', 12]))
  window.onWatermark(WATERMARK_MAX, out)
  expect(out.seen).toEqual([
    ['a', { start: 0, end: 10, value: 1 }, 9],
    ['a', { start: 10, end: 20, value: 1 }, 19],
    ['b', { start: 20, end: 30, value: 1 }, 29],
    ['a', { start: 20, end: 30, value: 1 }, 29],
    `watermark ${WATERMARK_MAX}`,
  ])
})

test('an out-of-order record counts as long as its window is open; then it is late, counted and dropped', () => {
  const out = new Catch()
  const counters = { lateRecords: 0 }
  const window = countOf(10, { counters })
  window.onBatch(batchOf(['a', 'x', 15]))
  window.onWatermark(9, out)
  window.onBatch(batchOf(['a', 'x', 3])) // behind the watermark, window still open
  window.onWatermark(10, out)
  window.onBatch(batchOf(['a', 'x', 3], ['a', 'x', 19]))
  window.onWatermark(20, out)
  expect(out.seen.filter((s) => typeof s !== 'string')).toEqual([
    ['a', { start: 0, end: 10, value: 1 }, 9],
    ['a', { start: 10, end: 20, value: 2 }, 19],
  ])
  expect(counters.lateRecords).toBe(1)
})

test('late records are in the side output, as they came', () => {
  const late = new Catch()
  const window = countOf(10, { sides: new Map([['late', late]]) })
  window.onBatch(batchOf(['a', 'x', 15]))
  window.onWatermark(12, new Catch())
  window.onBatch(batchOf(['a', 'y', 3], ['a', 'x', 16], ['b', 'z', 9]))
  expect(late.seen).toEqual([
    ['a', 'y', 3],
    ['b', 'z', 9],
  ])
  expect(late.batches).toEqual([2])
})

test('after a restore the open windows fire, and a window that had fired stays fired', () => {
  const state = new MemoryKeyedStates()
  const before = countOf(10, { state })
  before.onBatch(batchOf(['a', 'x', 5], ['a', 'x', 15]))
  before.onWatermark(12, new Catch())

  const out = new Catch()
  const counters = { lateRecords: 0 }
  const after = countOf(10, { state, watermark: 12, counters })
  after.onBatch(batchOf(['a', 'x', 5], ['a', 'x', 16]))
  after.onWatermark(20, out)
  expect(out.seen).toEqual([['a', { start: 10, end: 20, value: 2 }, 19], 'watermark 20'])
  expect(counters.lateRecords).toBe(1)
})

test('a fired window leaves nothing in state', () => {
  const state = new MemoryKeyedStates()
  const window = countOf(10, { state })
  window.onBatch(batchOf(['a', 'x', 5], ['b', 'x', 15]))
  window.onWatermark(10, new Catch())
  expect(state.keyed(uid, 'window').namespaces()).toEqual([20])
})

test('a window with many keys leaves in bounded batches', () => {
  const out = new Catch()
  const window = countOf(10)
  window.onBatch(batchOf(...Array.from({ length: 2_500 }, (_, i): Row => [i, 'x', 1])))
  window.onWatermark(10, out)
  expect(out.batches).toEqual([FIRING_PART_MAX])
  expect(window.firing.isPending).toBe(true)
  window.firing.fire(out)
  expect(out.seen.filter((seen) => typeof seen === 'string')).toEqual([])
  window.firing.fire(out)
  expect(out.batches).toEqual([FIRING_PART_MAX, FIRING_PART_MAX, 500])
  expect(out.seen.at(-1)).toBe('watermark 10')
  expect(window.firing.isPending).toBe(false)
})

test('a watermark that comes in the middle of a firing is a fault of the caller', () => {
  const out = new Catch()
  const window = countOf(10, { firingPartMax: 1 })
  window.onBatch(batchOf(['a', 'x', 1], ['b', 'x', 1], ['a', 'x', 11]))
  window.onWatermark(10, out)
  expect(() => window.onWatermark(20, out)).toThrow('a watermark came while a firing was open')
})

test.each([[Number.NaN], [Number.POSITIVE_INFINITY], [-1], [1.5]])('an event time of %s is refused', (timestamp) => {
  expect(thrown(() => countOf(10).onBatch(batchOf(['a', 'x', timestamp])))).toMatchObject({
    code: 'TIMESTAMP_INVALID',
    kind: 'invalid',
    facts: { operatorUid: 'op', index: 0 },
  })
})

/** The dumb model keeps every record and looks at all of them at every watermark. */
function dumb(sizeMs: number, events: readonly (Row | number)[]): { results: unknown[]; late: number } {
  const results: unknown[] = []
  let open: Row[] = []
  let watermark = -1
  let late = 0
  const endOf = (row: Row): number => (Math.floor(row[2] / sizeMs) + 1) * sizeMs
  for (const event of events) {
    if (typeof event !== 'number') {
      if (endOf(event) <= watermark) late++
      else open.push(event)
      continue
    }
    watermark = Math.max(watermark, event)
    const due = open.filter((row) => endOf(row) <= watermark)
    open = open.filter((row) => endOf(row) > watermark)
    for (const end of [...new Set(due.map(endOf))].sort((a, b) => a - b)) {
      const rows = due.filter((row) => endOf(row) === end)
      for (const key of new Set(rows.map(([key]) => key))) {
        results.push([key, { start: end - sizeMs, end, value: rows.filter((row) => row[0] === key).length }, end - 1])
      }
    }
  }
  return { results, late }
}

test('agrees with a model that keeps every record, over a restore at any point', () => {
  const event = fc.oneof(
    fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constant('x'), fc.integer({ min: 0, max: 60 })),
    fc.integer({ min: 0, max: 70 }),
  )
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 15 }),
      fc.array(event, { maxLength: 60 }),
      fc.nat(60),
      (size, raw, restart) => {
        let highest = 0
        const events = raw.map((e) => (typeof e === 'number' ? (highest = Math.max(highest, e)) : e))
        const out = new Catch()
        const counters = { lateRecords: 0 }
        const state = new MemoryKeyedStates()
        let window = countOf(size, { state, counters })
        let watermark = Number.MIN_SAFE_INTEGER
        for (const [i, e] of events.entries()) {
          if (i === restart) window = countOf(size, { state, counters, watermark })
          if (typeof e === 'number') window.onWatermark((watermark = e), out)
          else window.onBatch(batchOf(e))
        }
        const expected = dumb(size, events)
        expect(out.seen.filter((s) => typeof s !== 'string')).toEqual(expected.results)
        expect(counters.lateRecords).toBe(expected.late)
      },
    ),
    { numRuns: 500 },
  )
})
