import fc from 'fast-check'
import { expect, test } from 'vitest'
import { REMEMBERED_TIMES_MAX, WALKED_TIMES_MAX, WaitingTimes } from './waiting-times.ts'

type Waiting = Map<number, readonly string[]>
const waiting = (count: number, timeOf = (i: number): number => i): Waiting =>
  new Map(Array.from({ length: count }, (_, i) => [timeOf(i), [`at ${timeOf(i)}`]]))

test('times of a span are handed out in order, both ends included, whatever order they came in', () => {
  for (const count of [3, WALKED_TIMES_MAX + 1]) {
    const state = waiting(count, (i) => 10 * (count - i))
    const times = new WaitingTimes()
    expect([...times.within('ada', state, 10, 30)].map(([time]) => time)).toEqual([10, 20, 30])
    expect([...times.within('ada', state, 11, 19)]).toEqual([])
    expect([...times.within('ada', state, 30, 1_000)][0]).toEqual([30, ['at 30']])
  }
})

test('a time that is not in the state any more is skipped: what failed is taken back there alone', () => {
  const state = waiting(40)
  const times = new WaitingTimes()
  expect([...times.within('ada', state, 0, 5)]).toHaveLength(6)
  state.delete(3)
  expect([...times.within('ada', state, 0, 5)].map(([time]) => time)).toEqual([0, 1, 2, 4, 5])
})

test('agrees with a walk through all of them, through whatever is added and removed', () => {
  const time = fc.integer({ min: 0, max: 60 })
  const does = fc.constantFrom('add', 'add', 'remove', 'take')
  const step = fc.record({ key: fc.constantFrom('ada', 'bob'), time, does, from: time, length: time })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const states = new Map<string, Waiting>([
        ['ada', new Map()],
        ['bob', new Map()],
      ])
      const times = new WaitingTimes()
      for (const { key, time, does, from, length } of steps) {
        const state = states.get(key)!
        if (does === 'take') {
          const before = [...state.keys()].filter((at) => at < time / 4)
          const taken = times.takeBefore(key, state, time / 4)
          for (const at of taken) state.delete(at)
          expect([...taken].sort((a, b) => a - b)).toEqual(before.sort((a, b) => a - b))
        } else if (does === 'remove') {
          state.delete(time)
          times.remove(key, time)
        } else {
          state.set(time, [])
          times.add(key, time)
        }
        const found = [...times.within(key, state, from, from + length)].map(([at]) => at)
        expect(found).toEqual([...state.keys()].filter((at) => from <= at && at <= from + length).sort((a, b) => a - b))
      }
    }),
  )
})

test('over the bound keys that were asked for longest ago are forgotten, and made again when they are asked for', () => {
  const times = new WaitingTimes()
  const state = waiting(REMEMBERED_TIMES_MAX / 2)
  let walks = 0
  const counted: Waiting = Object.create(state, {
    size: { get: () => state.size },
    get: { value: (time: number) => state.get(time) },
    keys: { value: () => (walks++, state.keys()) },
  }) as Waiting
  const ask = (key: string): number => [...times.within(key, counted, 5, 6)].length
  expect([ask('a'), ask('b'), ask('a'), walks]).toEqual([2, 2, 2, 2])
  expect([ask('c'), walks]).toEqual([2, 3])
  expect([ask('a'), walks]).toEqual([2, 3])
  expect([ask('b'), walks]).toEqual([2, 4])
})
