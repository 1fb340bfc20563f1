import { expect, test } from 'vitest'
import { SourceGaps } from './gaps.ts'

const gap = (offset: number) => ({
  ...({
    topic: 'in',
    partition: 0,
    policy: 'earliest',
    offset: String(offset),
    resumedAt: String(offset + 10),
  } as const),
  ...{ logStart: String(offset + 10), logEnd: '1000000', gapRecords: 10, skippedRecords: 10, epoch: 1 },
})

test('a gap that is told again is one; of a source that falls behind for ever the newest thousand are shown', () => {
  const gaps = new SourceGaps()
  expect([gaps.add('orders', gap(7)), gaps.add('orders', gap(7)), gaps.list().length]).toEqual([true, false, 1])
  for (let i = 1; i <= 1_000; i++) gaps.add('orders', gap(i * 100))
  const shown = gaps.list().map(({ offset }) => offset)
  expect([shown.length, shown[0], shown.at(-1)]).toEqual([1_000, '100', '100000'])
})
