import { expect, test } from 'vitest'
import { SKEW_BARS_MAX, skewOf, splitsOf, type Split } from './skew.ts'

const now = Date.UTC(2026, 0, 2)
const of = (split: number, watermark: number, state: Split['state'] = 'active') => ({
  ...{ source: 's', split, watermark, state },
})
const slice = (splits: ReturnType<typeof of>[]) => ({ subtask: 4, splits })

test('partitions that are furthest behind come first; without an event time there is none', () => {
  const splits = [
    of(0, now - 1_000),
    of(1, now - 91_000),
    of(2, Number.MIN_SAFE_INTEGER),
    of(3, Number.MAX_SAFE_INTEGER, 'ended'),
  ]
  expect(splitsOf({ slices: [slice(splits)] }, now)).toEqual([
    { source: 's', split: 2, subtask: 4, state: 'active', at: '–', lagMs: null, behind: '–' },
    {
      source: 's',
      split: 1,
      subtask: 4,
      state: 'active',
      at: '2026-01-01 23:58:29',
      lagMs: 90_000,
      behind: '1 min 30 s',
    },
    { source: 's', split: 0, subtask: 4, state: 'active', at: '2026-01-01 23:59:59', lagMs: 0, behind: '0 ms' },
    { source: 's', split: 3, subtask: 4, state: 'ended', at: '–', lagMs: null, behind: '–' },
  ])
})

test('bars stand in the order of partitions, as high as their lag; one that is idle holds nobody up', () => {
  const splits = splitsOf(
    { slices: [slice([of(2, now - 500, 'idle'), of(1, now - 1_000), of(0, now), of(3, -1)])] },
    now,
  )
  expect(skewOf(splits)).toEqual([
    { source: 's', from: 0, to: 0, lagMs: 0, share: 0, isWaitedFor: true },
    { source: 's', from: 1, to: 1, lagMs: 1_000, share: 1, isWaitedFor: true },
    { source: 's', from: 2, to: 2, lagMs: 500, share: 0.5, isWaitedFor: false },
  ])
  expect(skewOf([])).toEqual([])
})

test('of thousands of partitions neighbours share a bar as high as the slowest of them, and no bar is of two sources', () => {
  const many: Split[] = Array.from({ length: 5_000 }, (_, n) => ({
    ...{
      source: n < 2_501 ? 'a' : 'b',
      split: n,
      subtask: 0,
      state: 'active',
      at: '',
      lagMs: n === 17 ? 900 : 1,
      behind: '',
    },
  }))
  const bars = skewOf(many)
  expect(bars.length).toBeLessThanOrEqual(SKEW_BARS_MAX + 1)
  expect(bars[0]).toMatchObject({ source: 'a', from: 0, to: 24, lagMs: 900, share: 1 })
  expect(bars.filter(({ source, to }) => source === 'a' && to > 2_500)).toEqual([])
  expect(bars.at(-1)?.to).toBe(4_999)
})
