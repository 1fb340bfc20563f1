import { expect, test } from 'vitest'
import { ANSWER_ERROR_MS_MAX, UNWITNESSED_MS_MAX, hear, type FleetTime, type TimeAnswer } from './fleet-time.ts'

const answer = (sentAt: number, receivedAt: number, fleetNow: number): TimeAnswer => ({ sentAt, receivedAt, fleetNow })
const known: FleetTime = { offset: 1_000, error: 2, at: 0 }

test('the middle of the way there and back', () => {
  expect(hear(null, answer(10, 14, 1_012), 1_014)).toEqual({
    kind: 'followed',
    time: { offset: 1_000, error: 2, at: 14 },
  })
})

test('an answer that took too long says nothing', () => {
  expect(hear(known, answer(0, 2 * ANSWER_ERROR_MS_MAX + 1, 1_020), 1_041).kind).toBe('too-slow')
})

test('a worse answer only confirms the better one, until that has aged', () => {
  expect(hear(known, answer(1_000, 1_010, 2_005), 2_010)).toEqual({
    kind: 'confirmed',
    time: { offset: 1_000, error: 2 + 1_010 * 200e-6, at: 1_010 },
  })
  expect(hear(known, answer(20_000, 20_010, 21_005), 21_010).kind).toBe('followed')
})

test('an answer that contradicts what is known is right: another job-manager leads, or this machine was suspended', () => {
  expect(hear(known, answer(1_000, 1_010, 2_105), 2_010)).toMatchObject({ kind: 'followed', time: { offset: 1_100 } })
})

test('far from what is known it needs the wall clock as a witness', () => {
  const off = 2 * UNWITNESSED_MS_MAX
  expect(hear(known, answer(1_000, 1_002, 2_001 + off), 2_002)).toEqual({ kind: 'unwitnessed', byMs: off })
  expect(hear(known, answer(1_000, 1_002, 2_001 + off), 2_002 + off).kind).toBe('followed')
  expect(hear(null, answer(1_000, 1_002, 2_001 + off), 2_002).kind).toBe('unwitnessed')
  expect(hear(null, answer(1_000, 1_002, 2_001 + 3 * 3_600_000), 2_002).kind).toBe('followed')
})
