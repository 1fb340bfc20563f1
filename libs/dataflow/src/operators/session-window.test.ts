import { WATERMARK_MAX } from '@weir/model'
import { expect, test } from 'vitest'
import { MemoryKeyedStates } from '../memory-state.ts'
import type { OperatorContext } from '../operator.ts'
import { functionsOf, summing } from '../aggregate.ts'
import { everyCount, everyEventTime, everyProcessingTime } from '../window.ts'
import { Catch, batchOf, contextOf, uid } from './fixture.ts'
import { SessionWindow, type SessionWindowOptions } from './session-window.ts'

const sum = functionsOf(summing((n: number) => n))
const open = (options: Partial<SessionWindowOptions> = {}, over: Partial<OperatorContext> = {}): SessionWindow => {
  const window = new SessionWindow({ uid, window: { type: 'session', gapMs: 10 }, aggregate: sum, ...options })
  window.open(contextOf({ freeze: true, ...over }))
  return window
}
const results = (out: Catch): unknown[] =>
  out.seen
    .splice(0)
    .flatMap((seen) => (typeof seen === 'string' ? [] : [[seen[0], ...Object.values(seen[1] as object)]]))

test('records less than the gap apart are one session; it fires at its end, with event time end − 1', () => {
  const out = new Catch()
  const window = open()
  window.onBatch(batchOf(['a', 1, 0], ['a', 2, 9], ['a', 4, 19], ['b', 8, 3]), out)
  window.onWatermark(18, out)
  expect(results(out)).toEqual([['b', 3, 13, 8]])
  window.onWatermark(19, out)
  expect(out.seen).toEqual([['a', { start: 0, end: 19, value: 3 }, 18], 'watermark 19'])
  out.seen.length = 0
  window.onWatermark(WATERMARK_MAX, out)
  expect(results(out)).toEqual([['a', 19, 29, 4]])
})

test('a record between two sessions makes one of them', () => {
  const out = new Catch()
  const window = open()
  window.onBatch(batchOf(['a', 1, 0], ['a', 2, 15], ['a', 4, 40], ['a', 8, 8]), out)
  window.onWatermark(WATERMARK_MAX, out)
  expect(results(out)).toEqual([
    ['a', 0, 25, 11],
    ['a', 40, 50, 4],
  ])
})

test('a record is late only if the session it would be in is gone', () => {
  const [out, late, counters] = [new Catch(), new Catch(), { lateRecords: 0 }]
  const window = open({}, { sides: new Map([['late', late]]), counters })
  window.onBatch(batchOf(['a', 1, 20]), out)
  window.onWatermark(25, out)
  window.onBatch(batchOf(['a', 2, 11], ['a', 4, 1], ['b', 8, 11]), out)
  window.onWatermark(30, out)
  expect(results(out)).toEqual([['a', 11, 30, 3]])
  expect(late.seen).toEqual([
    ['a', 4, 1],
    ['b', 8, 11],
  ])
  expect(counters.lateRecords).toBe(2)
})

test('with lateness a fired session is there to be fired again, to grow and to be joined', () => {
  const out = new Catch()
  const window = open({ allowedLatenessMs: 100 })
  window.onBatch(batchOf(['a', 1, 0], ['a', 2, 15]), out)
  window.onWatermark(12, out)
  expect(results(out)).toEqual([['a', 0, 10, 1]])
  window.onBatch(batchOf(['a', 4, 2]), out)
  expect(results(out)).toEqual([['a', 0, 12, 5]])
  window.onBatch(batchOf(['a', 8, 8]), out) // joins the one that is open
  expect(results(out)).toEqual([])
  window.onWatermark(25, out)
  expect(results(out)).toEqual([['a', 0, 25, 15]])
  window.onWatermark(125, out)
  window.onBatch(batchOf(['a', 16, 3]), out)
  expect(results(out)).toEqual([])
})

test('after a restore they go on; one that has fired does not fire again at a watermark from before', () => {
  const [state, out] = [new MemoryKeyedStates(), new Catch()]
  const before = open({ allowedLatenessMs: 100 }, { state })
  before.onBatch(batchOf(['a', 1, 0], ['a', 2, 15]), out)
  before.onWatermark(12, out)
  expect(results(out)).toEqual([['a', 0, 10, 1]])

  const after = open({ allowedLatenessMs: 100 }, { state, watermark: 5 })
  after.onBatch(batchOf(['a', 4, 16]), out)
  after.onWatermark(30, out)
  expect(results(out)).toEqual([['a', 15, 26, 6]])
})

test('nothing of a session that is gone is left in state', () => {
  const state = new MemoryKeyedStates()
  const window = open({}, { state })
  window.onBatch(batchOf(['a', 1, 0], ['a', 2, 15], ['a', 4, 8], ['b', 1, 3]), new Catch())
  expect([...state.keyed(uid, 'window[]').entries(0)]).toHaveLength(2)
  window.onWatermark(WATERMARK_MAX, new Catch())
  expect([...state.keyed(uid, 'window[]').entries(0)]).toEqual([])
  expect(state.keyed(uid, 'window.sessions').namespaces()).toEqual([])
})

test('early by event time: sessions that are open', () => {
  const out = new Catch()
  const window = open({ trigger: everyEventTime(5) })
  window.onWatermark(1, out)
  window.onBatch(batchOf(['a', 1, 2]), out)
  window.onWatermark(6, out)
  expect(results(out)).toEqual([['a', 2, 12, 1]])
  window.onBatch(batchOf(['a', 2, 8]), out)
  window.onWatermark(12, out)
  expect(results(out)).toEqual([['a', 2, 18, 3]])
})

test('a trigger that counts fires what is open; sessions that merge have counted together', () => {
  const out = new Catch()
  const state = new MemoryKeyedStates()
  const first = open({ trigger: everyCount(4) }, { state })
  first.onBatch(batchOf(['a', 1, 0], ['a', 2, 1], ['a', 4, 15]), out)
  expect(results(out)).toEqual([])
  const window = open({ trigger: everyCount(4) }, { state })
  window.onBatch(batchOf(['a', 8, 8]), out)
  expect(results(out)).toEqual([['a', 0, 25, 15]])
  window.onBatch(batchOf(['a', 16, 9]), out)
  window.onWatermark(WATERMARK_MAX, out)
  expect(results(out)).toEqual([['a', 0, 25, 31]])
})

test('a trigger by the clock fires what is open then; of sessions that have merged the one there is', () => {
  let now = 1_000
  const out = new Catch()
  const state = new MemoryKeyedStates()
  const over = { state, clock: { now: () => now } }
  open({ trigger: everyProcessingTime(100) }, over).onBatch(batchOf(['a', 1, 0], ['a', 2, 15], ['b', 4, 3]), out)
  const window = open({ trigger: everyProcessingTime(100) }, over)
  window.onBatch(batchOf(['a', 8, 8]), out)
  expect(window.processing!.nextMs).toBe(1_100)
  window.onWatermark(13, out)
  expect(results(out)).toEqual([['b', 3, 13, 4]])
  now = 1_100
  window.processing!.fire(out)
  expect(results(out)).toEqual([['a', 0, 25, 11]])
  now = 1_200
  window.processing!.fire(out)
  expect(results(out)).toEqual([])
})
