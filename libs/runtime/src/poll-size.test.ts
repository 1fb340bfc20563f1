import { expect, test } from 'vitest'
import { POLL_RECORDS_MAX, POLL_RECORDS_MIN, PollSize } from './poll-size.ts'

const after = (...took: readonly (readonly [polled: number, tookMs: number])[]): number => {
  const size = new PollSize(8)
  for (const [polled, tookMs] of took) size.handedOn(polled, tookMs)
  return size.records
}

test('polls begin small and double while they are full and quickly handed on, up to the bound', () => {
  expect(after()).toBe(POLL_RECORDS_MIN)
  expect(after([100, 1], [200, 1])).toBe(400)
  expect(after(...Array.from({ length: 9 }, () => [POLL_RECORDS_MAX, 1] as const))).toBe(POLL_RECORDS_MAX)
})

test('what is slow is asked for in smaller parts, down to the bound; what is in between, and what was not full, changes nothing', () => {
  expect(after([100, 1], [200, 1], [400, 17])).toBe(200)
  expect(after([100, 1_000])).toBe(POLL_RECORDS_MIN)
  expect(after([100, 1], [200, 5], [200, 16])).toBe(200)
  expect(after([99, 1])).toBe(POLL_RECORDS_MIN)
})
