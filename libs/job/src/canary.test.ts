import type { PublishedEpoch } from '@weir/checkpoint'
import { expect, test } from 'vitest'
import { hasReached, readUpTo } from './canary.ts'

const published = (subtasks: readonly object[]): PublishedEpoch =>
  ({ ref: {}, manifest: { epoch: 7, subtasks } }) as unknown as PublishedEpoch

test('positions are those of all subtasks; what is in flight is not processed', () => {
  const [one, other] = [0, 1].map((p) => ({ sources: { orders: { partitions: { [p]: { offset: `${p + 5}` } } } } }))
  expect(readUpTo(published([one!, other!]))).toEqual({
    ...{ epoch: 7, positions: { orders: { 0: '5', 1: '6' } }, inFlight: false },
  })
  expect(readUpTo(published([one!, { ...other!, inFlight: [{}] }]))?.inFlight).toBe(true)
  expect([readUpTo(null), readUpTo({ manifest: null } as PublishedEpoch)]).toEqual([null, null])
})

test.each([
  [{ orders: { 0: '5' } }, { orders: { 0: '5' } }, true],
  [{ orders: { 0: '10' } }, { orders: { 0: '9' } }, true],
  [{ orders: { 0: '9' } }, { orders: { 0: '10' } }, false],
  [{ orders: { 0: '9007199254740993' } }, { orders: { 0: '9007199254740994' } }, false],
  [{ orders: { 0: '5' } }, { orders: { 0: '5', 1: '0' } }, false],
  [{ orders: { 0: '5' }, more: { 0: '1' } }, { orders: { 0: '5' } }, true],
  [{}, { orders: { 0: '5' } }, false],
])('%j has read as far as %j: %s', (positions, target, reached) => {
  expect(hasReached(positions as never, target as never)).toBe(reached)
})
