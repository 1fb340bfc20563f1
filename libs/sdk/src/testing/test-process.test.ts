import { expect, test } from 'vitest'
import { listState, sideOutput, valueState, type KeyedProcess, type Out } from '../index.ts'
import { Catch, MemoryState, testProcess } from './index.ts'

const state = { sum: valueState({ initial: 0 }), recent: listState<number>({ ttl: '1m' }) }
const timers = { flush: 'event', remind: 'processing' } as const
const sums: KeyedProcess<number, string, typeof state, typeof timers> = {
  state,
  timers,
  onRecord({ state, timers, timestamp }, amount, out: Out<string>) {
    if (amount < 0) throw new RangeError('negative')
    state.sum.set(state.sum.get() + amount)
    state.recent.add(amount)
    timers.flush.set(timestamp + 1_000)
    timers.remind.set(timers.remind.now() + 500)
    out.emit(`${state.sum.get()} ${state.recent.get().join()}`)
  },
  onTimer: ({ key, state }, { name }, out) => out.emit(`${name} ${key} ${state.sum.get()}`),
}

test('a process alone: records, both kinds of timers, state', () => {
  const p = testProcess(sums, 10_000)
  p.record('ada', 5, 0)
  p.record('bob', 7, 500)
  p.advanceWatermark(999)
  p.advanceWatermark(1_000)
  p.advanceClock(500)
  expect(p.emitted).toEqual([
    { key: 'ada', value: '5 5', timestamp: 0 },
    { key: 'bob', value: '7 7', timestamp: 500 },
    { key: 'ada', value: 'flush ada 5', timestamp: 1_000 },
    { key: 'ada', value: 'remind ada 5', timestamp: 1_000 },
    { key: 'bob', value: 'remind bob 7', timestamp: 1_000 },
  ])
  expect(p.state('ada').recent.get()).toEqual([5])
  p.advanceWatermark(60_000)
  expect(p.state('ada').recent.get()).toEqual([])
  expect(p.state('ada').sum.get()).toBe(5)
})

test('what it puts into a side output is seen apart', () => {
  const p = testProcess({
    sides: { odd: sideOutput<number>() },
    onRecord: ({ sides }, n: number, out: Out<number>) => (n % 2 === 1 ? sides.odd.emit(n) : out.emit(n)),
  })
  p.record('ada', 1, 0)
  p.record('ada', 2, 5)
  expect(p.emitted).toEqual([{ key: 'ada', value: 2, timestamp: 5 }])
  expect(p.side('odd')).toEqual([{ key: 'ada', value: 1, timestamp: 0 }])
  // @ts-expect-error there is no such side output
  void ((): unknown => p.side('even'))
})

test('what it throws has the code of a job', () => {
  expect(() => testProcess(sums).record('ada', -1, 0)).toThrow(expect.objectContaining({ code: 'OPERATOR_FAILED' }))
})

test('its functions alone: states of a key, and what they emit', () => {
  const memory = new MemoryState(state)
  const out = new Catch<string>()
  memory.of('ada').sum.set(2)
  const none = { set: () => {}, delete: () => {}, now: () => 0 }
  const context = {
    key: 'ada',
    timestamp: 1,
    watermark: 0,
    origin: null,
    degraded: false,
    state: memory.of('ada'),
    timers: { flush: none, remind: none },
    sides: {},
  }
  sums.onRecord(context, 3, out)
  expect(out.caught).toEqual(['5 3'])
  expect(memory.of('ada').sum.get()).toBe(5)
  expect(memory.of('bob').sum.get()).toBe(0)
})
