import { WATERMARK_MAX } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ALIGN_QUIET_MS, POLL_STEP_MS_MAX, SplitActivity } from './split-activity.ts'

const NONE: ReadonlySet<number> = new Set()
const idleAfter = (idleAfterMs: number, splits = [0, 1]): SplitActivity =>
  new SplitActivity({ idleAfterMs, alignWithinMs: null }, splits)

test('a split without records for long enough is idle, one with records never', () => {
  const activity = idleAfter(300)
  expect(activity.polled(100, 0, NONE)).toEqual([])
  expect(activity.polled(100, 0, NONE)).toEqual([])
  expect(activity.polled(100, 0, NONE)).toEqual([1])
  expect(activity.polled(100, 1, NONE)).toEqual([])
  expect(activity.polled(200, null, NONE)).toEqual([0])
})

test('time in which a task waited for room makes no split idle: all must have had their turn, and a poll adds little', () => {
  const activity = idleAfter(1_000)
  expect(activity.polled(60_000, 0, NONE)).toEqual([])
  expect(activity.polled(60_000, null, NONE)).toEqual([])
  const turns = idleAfter(POLL_STEP_MS_MAX, [0, 1, 2])
  expect(turns.polled(60_000, 0, NONE)).toEqual([]) // 1 and 2 come next
  expect(turns.polled(0, 1, NONE)).toEqual([])
  expect(turns.polled(0, 0, NONE)).toEqual([2])
})

test('a split that is held does not become idle', () => {
  const activity = idleAfter(300)
  for (let i = 0; i < 10; i++) expect(activity.polled(100, 0, new Set([1]))).toEqual([])
  expect(activity.polled(200, 0, NONE)).toEqual([])
})

const aligned = (splits = [0, 1, 2]): SplitActivity =>
  new SplitActivity({ idleAfterMs: null, alignWithinMs: 10 }, splits)

test('who is further ahead of the slowest than the bound is not polled', () => {
  expect([...aligned().ahead([0, 5, 11].entries(), NONE)]).toEqual([2])
  expect([...aligned().ahead([0, 5, 10].entries(), NONE)]).toEqual([])
})

test('nobody waits for a split that has ended, is held by a barrier, or has been quiet for a second', () => {
  expect([...aligned().ahead([WATERMARK_MAX, 5, 15].entries(), NONE)]).toEqual([])
  expect([...aligned().ahead([0, 50, 61].entries(), new Set([0]))]).toEqual([2])
  const activity = aligned()
  for (let i = 0; i * 100 < ALIGN_QUIET_MS; i++) activity.polled(100, (i % 2) + 1, NONE)
  expect([...activity.ahead([0, 50, 55].entries(), NONE)]).toEqual([])
})

test('whatever the splits do: somebody who may have records is always polled', () => {
  const times = fc.array(fc.oneof(fc.nat(100), fc.constant(WATERMARK_MAX)), { minLength: 1, maxLength: 5 })
  const polls = fc.array(fc.tuple(fc.nat(400), fc.option(fc.nat(4)), fc.uniqueArray(fc.nat(4))), { maxLength: 20 })
  fc.assert(
    fc.property(times, polls, fc.uniqueArray(fc.nat(4)), (watermarks, before, byBarrier) => {
      const splits = [...watermarks.keys()]
      const activity = aligned(splits)
      for (const [ms, found, held] of before) activity.polled(ms, found, new Set(held))
      const held = new Set(byBarrier)
      const ahead = activity.ahead(watermarks.entries(), held)
      const free = splits.filter((split) => watermarks[split]! < WATERMARK_MAX && !held.has(split))
      expect(free.length === 0 || free.some((split) => !ahead.has(split))).toBe(true)
    }),
  )
})

test('whatever the splits: none leads one that has records by more than the bound and what one poll brings', () => {
  const splits = fc.array(fc.array(fc.nat(30), { maxLength: 40 }), { minLength: 2, maxLength: 4 })
  fc.assert(
    fc.property(splits, fc.integer({ min: 1, max: 5 }), fc.infiniteStream(fc.nat(3)), (steps, batch, order) => {
      const all = steps.map((gaps) => gaps.reduce<number[]>((times, gap) => [...times, (times.at(-1) ?? 0) + gap], []))
      const at = all.map(() => 0)
      const watermarks = all.map(() => Number.MIN_SAFE_INTEGER)
      const activity = aligned([...all.keys()])
      for (;;) {
        const ahead = activity.ahead(watermarks.entries(), NONE)
        const next = [...all.keys()].filter((s) => !ahead.has(s) && at[s]! < all[s]!.length)
        if (next.length === 0) {
          if (at.every((n, s) => n === all[s]!.length)) return
          activity.polled(POLL_STEP_MS_MAX, null, ahead) // until who has nothing more is quiet
          continue
        }
        const split = next[(order.next().value as number) % next.length]!
        const to = Math.min(all[split]!.length, at[split]! + batch)
        const brought = all[split]![to - 1]! - all[split]![at[split]!]!
        at[split] = to
        watermarks[split] = all[split]![to - 1]!
        activity.polled(1, split, ahead)
        const others = [...all.keys()].filter((s) => at[s]! > 0 && at[s]! < all[s]!.length)
        const lowest = Math.min(...others.map((s) => watermarks[s]!))
        const gap = Math.max(...steps[split]!)
        expect(watermarks[split]! - lowest).toBeLessThanOrEqual(10 + brought + gap)
      }
    }),
  )
})
