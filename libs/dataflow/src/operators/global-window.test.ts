import { WATERMARK_MAX } from '@weir/model'
import { expect, test } from 'vitest'
import { MemoryKeyedStates } from '../memory-state.ts'
import type { OperatorContext } from '../operator.ts'
import { functionsOf, summing } from '../aggregate.ts'
import { countWindow, everyCount, everyEventTime, everyProcessingTime, purging, type Trigger } from '../window.ts'
import { Catch, batchOf, contextOf, uid } from './fixture.ts'
import { GlobalWindow } from './global-window.ts'

const open = (trigger: Trigger, over: Partial<OperatorContext> = {}): GlobalWindow => {
  const aggregate = functionsOf(summing((n: number) => n))
  const window = new GlobalWindow({ uid, window: { type: 'global' }, aggregate, trigger })
  window.open(contextOf({ freeze: true, ...over }))
  return window
}
const results = (out: Catch): unknown[] =>
  out.seen
    .splice(0)
    .flatMap((seen) => (typeof seen === 'string' ? [] : [[seen[0], ...Object.values(seen[1] as object)]]))

test('a count window: so many records of a key, from their lowest event time to behind the highest', () => {
  const [out, state] = [new Catch(), new MemoryKeyedStates()]
  const { trigger } = countWindow(3)
  open(trigger, { state }).onBatch(batchOf(['a', 1, 7], ['b', 8, 1], ['a', 2, 3]), out)
  const restored = open(trigger, { state })
  restored.onBatch(batchOf(['a', 4, 5], ['a', 16, 9]), out)
  restored.onWatermark(WATERMARK_MAX, out)
  expect(out.seen).toEqual([['a', { start: 3, end: 8, value: 7 }, 7], `watermark ${WATERMARK_MAX}`])
  expect([...state.keyed(uid, 'window').entries(0)]).toEqual([
    ['b', 8],
    ['a', 16],
  ])
})

test('a trigger that does not purge puts out all records each time', () => {
  const out = new Catch()
  open(everyCount(2)).onBatch(batchOf(['a', 1, 1], ['a', 2, 2], ['a', 4, 3], ['a', 8, 4]), out)
  expect(results(out)).toEqual([
    ['a', 1, 3, 3],
    ['a', 1, 5, 15],
  ])
})

test('by event time: keys with new records, at the multiple behind them and behind the watermark', () => {
  const out = new Catch()
  const window = open(everyEventTime(10))
  window.onBatch(batchOf(['a', 1, 3], ['b', 2, 14]), out)
  window.onWatermark(9, out)
  expect(results(out)).toEqual([])
  window.onWatermark(12, out)
  expect(results(out)).toEqual([['a', 3, 4, 1]])
  window.onBatch(batchOf(['a', 4, 5]), out) // at 20: 10 has passed
  window.onWatermark(20, out)
  expect(results(out)).toEqual([
    ['b', 14, 15, 2],
    ['a', 3, 6, 5],
  ])
  window.onWatermark(30, out)
  expect(results(out)).toEqual([])
})

test('by the clock, purged: what came since', () => {
  const out = new Catch()
  let now = 0
  const window = open(purging(everyProcessingTime(10)), { clock: { now: () => now } })
  window.onBatch(batchOf(['a', 1, 1], ['a', 2, 2]), out)
  now = 10
  window.processing!.fire(out)
  window.onBatch(batchOf(['a', 4, 3]), out)
  now = 20
  window.processing!.fire(out)
  expect(results(out)).toEqual([
    ['a', 1, 3, 3],
    ['a', 3, 4, 4],
  ])
})
