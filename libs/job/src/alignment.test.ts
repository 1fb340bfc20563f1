import { operatorUid, subtask, WATERMARK_MIN, type Watermark } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  ALIGN_EARLY_MS,
  ALIGN_INTERVAL_MS,
  ALIGN_TOLD_MS_MAX,
  alignmentFor,
  hasOthers,
  stepAlignment,
  type AlignmentEvent,
  type AlignmentState,
} from './alignment.ts'

const orders = operatorUid('orders')
const payments = operatorUid('payments')
const source = (uid: string, alignWithinMs?: number, alignGroup?: string) => ({
  ...{ uid, kind: 'source', stage: 0 },
  config: { ...(alignWithinMs && { alignWithinMs }), ...(alignGroup && { alignGroup }) },
})
const one = (): AlignmentState => alignmentFor({ nodes: [source('orders', 10)] })!

/** What is announced, by subtask: the bounds in the order of the sources. */
function play(state: AlignmentState, ...events: readonly AlignmentEvent[]) {
  const announced: Record<number, (number | null)[]> = {}
  for (const event of events) {
    const step = stepAlignment(state, event)
    state = step.state
    for (const { subtask, bounds } of step.effects) announced[subtask] = bounds.map(({ atMost }) => atMost)
  }
  return { state, announced }
}
const told = (of: number, low: Watermark | null, now = 0): AlignmentEvent => ({
  ...{ type: 'told', subtask: subtask(of), now },
  lows: [{ source: orders, low }],
})
const tick = (now: number): AlignmentEvent => ({ type: 'tick', now })
const runs = (of: number, now = 0): AlignmentEvent => ({ type: 'runs', subtask: subtask(of), now })

test('each may go as far as the slowest of the others, and within; the slowest is not held by itself', () => {
  expect(play(one(), told(0, 100), told(1, 50), told(2, 70), tick(0)).announced).toEqual({ 0: [60], 1: [80], 2: [60] })
  expect(play(one(), told(0, 50), told(1, 50), tick(0)).announced).toEqual({ 0: [60], 1: [60] })
})

test('who has no split to wait for does not count, and is bound like the others; alone nobody is', () => {
  expect(play(one(), told(0, 100), told(1, null), told(2, 70), tick(0)).announced).toEqual({
    0: [80],
    1: [80],
    2: [110],
  })
  expect(play(one(), told(0, 100), told(1, null), tick(0)).announced).toEqual({ 0: [null], 1: [110] })
})

test('who begins to run reads one batch, and the others wait for its news', () => {
  const { state, announced } = play(one(), runs(0), runs(1))
  expect(announced).toEqual({ 0: [WATERMARK_MIN + 10], 1: [WATERMARK_MIN + 10] })
  const next = play(state, told(0, 500, 10), tick(20))
  expect(next.announced).toEqual({ 0: [WATERMARK_MIN + 10], 1: [510] })
  expect(play(next.state, told(1, 400, 30), tick(20 + ALIGN_EARLY_MS)).announced).toEqual({ 0: [410], 1: [510] })
})

test('bounds are renewed every interval, and sooner where the slowest has come far', () => {
  const { state } = play(one(), told(0, 100), told(1, 50), tick(0))
  expect(play(state, told(1, 55, 50), tick(ALIGN_INTERVAL_MS - 1)).announced).toEqual({})
  expect(play(state, told(1, 55, 50), tick(ALIGN_INTERVAL_MS)).announced).toEqual({ 0: [65], 1: [110] })
  expect(play(state, told(1, 56, 50), tick(ALIGN_EARLY_MS - 1)).announced).toEqual({})
  expect(play(state, told(1, 56, 50), tick(ALIGN_EARLY_MS)).announced).toEqual({ 0: [66], 1: [110] })
  expect(play(state, told(1, null, 50), tick(ALIGN_EARLY_MS)).announced).toEqual({ 0: [null], 1: [110] })
})

test('who does not tell for long is waited for no more, and told nothing', () => {
  const { state } = play(one(), told(0, 100), told(1, 50), tick(0))
  const later = ALIGN_TOLD_MS_MAX
  expect(play(state, told(0, 100, later - 1), tick(later - 1)).announced).toEqual({ 0: [60], 1: [110] })
  expect(play(state, told(0, 100, later), tick(later)).announced).toEqual({ 0: [null] })
})

test('sources of one group are aligned with each other, also in one subtask; others are not', () => {
  const nodes = [source('orders', 10, 'both'), source('payments', 20, 'both'), source('rates'), source('apart', 5)]
  const lows = [
    { source: orders, low: 100 },
    { source: payments, low: 40 },
    { source: operatorUid('apart'), low: 7 },
  ]
  const { announced } = play(alignmentFor({ nodes })!, { type: 'told', subtask: subtask(0), lows, now: 0 }, tick(0))
  expect(announced).toEqual({ 0: [50, 120, null] })
  expect(alignmentFor({ nodes: [source('orders')] })).toBeNull()
})

test('in one subtask there is nobody to wait for, but for another source of the group', () => {
  expect([1, 2].map((parallelism) => hasOthers(one(), parallelism))).toEqual([false, true])
  const both = alignmentFor({ nodes: [source('orders', 10, 'both'), source('payments', 20, 'both')] })!
  expect(hasOthers(both, 1)).toBe(true)
})

test('whatever is told, the slowest of a group is never held, and nobody goes further than the slowest and within', () => {
  const low = fc.option(fc.integer({ min: 0, max: 200 }), { freq: 4 })
  fc.assert(
    fc.property(fc.array(low, { minLength: 1, maxLength: 6 }), (lows) => {
      const { announced } = play(one(), ...lows.map((low, i) => told(i, low)), tick(0))
      const counting = lows.filter((low) => low !== null)
      for (const [i, own] of lows.entries()) {
        const [atMost] = announced[i]!
        const others = lows.filter((low, j) => low !== null && j !== i) as number[]
        expect(atMost).toBe(others.length === 0 ? null : Math.min(...others) + 10)
        if (own !== null && own === Math.min(...counting)) expect(own).toBeLessThanOrEqual(atMost ?? own)
      }
    }),
  )
})
