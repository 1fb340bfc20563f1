import { epoch, operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import { DegradeSwitch, switchOf } from './degrade-switch.ts'
import { defaultSettings, validateSettings } from './settings.ts'

const uid = operatorUid('enrich')

test('behind a barrier it stands as the trigger of that epoch said, in front of the first as it was restored', () => {
  const of = new DegradeSwitch(true)
  expect(of.behind(epoch(3))).toBe(true)
  of.told(epoch(4), false)
  of.told(epoch(5), true)
  // The barrier of 4 reaches a stage when 5 is triggered already.
  expect([4, 5].map((n) => of.behind(epoch(n)))).toEqual([false, true])
})

test('what is remembered is bounded: of old epochs no barrier is on its way', () => {
  const of = new DegradeSwitch(false)
  for (let n = 1; n <= 10_000; n++) of.told(epoch(n), true)
  expect([1, 9_950, 10_000].map((n) => of.behind(epoch(n)))).toEqual([false, true, true])
})

test('who asks for it in a job that has none is told what to do', () => {
  expect(switchOf({ uid, degraded: () => true })()).toBe(true)
  const absent = { facts: { code: 'DEGRADE_SWITCH_ABSENT', kind: 'invalid', operatorUid: uid } }
  expect(switchOf({ uid })).toThrow(expect.objectContaining(absent) as Error)
  expect(switchOf({ uid })).toThrow(/degradable: true/)
})

test('the scope continuous has none, since output there is ahead of barriers', () => {
  const continuous = { ...defaultSettings, commit: { scope: 'continuous', intervalMs: 100 } } as const
  validateSettings({ ...defaultSettings, degradable: true })
  validateSettings({ ...continuous, degradable: false })
  expect(() => validateSettings({ ...continuous, degradable: true })).toThrow(/could meet the switch where it stood/)
})
