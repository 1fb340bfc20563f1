import { expect, test } from 'vitest'
import { StageClock } from './stage-time.ts'

const begun = (): StageClock => {
  const clock = new StageClock()
  clock.begin(1_000)
  return clock
}

test('before its loop begins there is nothing to tell, nor in the moment it begins', () => {
  expect(new StageClock().take(5)).toBeNull()
  expect(begun().take(1_000)).toBeNull()
})

test('what it does not wait is busy; the three are a second together', () => {
  const clock = begun()
  clock.waits('idle', 1_100)
  clock.goesOn(1_300)
  clock.waits('back-pressured', 1_400)
  clock.goesOn(1_900)
  expect(clock.take(2_000)).toEqual({ busyMsPerSecond: 300, idleMsPerSecond: 200, backPressuredMsPerSecond: 500 })
})

test('a wait that lasts is counted in each second of it, once', () => {
  const clock = begun()
  clock.waits('back-pressured', 1_500)
  expect(clock.take(2_000)).toMatchObject({ busyMsPerSecond: 500, backPressuredMsPerSecond: 500 })
  expect(clock.take(3_000)).toMatchObject({ busyMsPerSecond: 0, backPressuredMsPerSecond: 1_000 })
  clock.goesOn(3_250)
  expect(clock.take(4_000)).toMatchObject({ busyMsPerSecond: 750, backPressuredMsPerSecond: 250 })
})

test('told after another time than a second, it is still of a second', () => {
  const clock = begun()
  clock.waits('idle', 1_000)
  clock.goesOn(1_100)
  expect(clock.take(1_400)).toEqual({ busyMsPerSecond: 750, idleMsPerSecond: 250, backPressuredMsPerSecond: 0 })
})
