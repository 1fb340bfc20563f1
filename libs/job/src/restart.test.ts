import { restartSettings, type RestartWish } from '@weir/dataflow'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { restartFor, stepRestart, type RestartEvent, type RestartState } from './restart.ts'

/** `[ms, random]` is a failure. What each event leads to: a delay, or why not. */
const play = (wish: RestartWish, events: readonly (readonly [number, number?] | 'final' | 'moved')[]): unknown[] => {
  let state = restartFor(restartSettings(wish))
  return events.map((e) => {
    const event: RestartEvent = typeof e === 'string' ? { type: e } : { type: 'failed', now: e[0], random: e[1] ?? 0.5 }
    state = stepRestart(state, event)
    return typeof e === 'string' ? e : (state.exhausted ?? [state.failures, state.delayMs])
  })
}

test('fixed: as many attempts as allowed, counted from the last final epoch', () => {
  const wish = { strategy: 'fixed', attempts: 2, delayMs: 100 } as const
  expect(play(wish, [[0], [1], 'final', [2], [3], [4]])).toEqual([
    [1, 100],
    [2, 100],
    'final',
    [1, 100],
    [2, 100],
    'restarted 2 times without a new final epoch',
  ])
})

test('settings without a strategy mean fixed', () => {
  expect(play({ attempts: 1 }, [[0], [1]])).toEqual([[1, 1_000], 'restarted 1 times without a new final epoch'])
})

const exponential = { strategy: 'exponential', initialMs: 100, maxMs: 500, factor: 2, resetAfterMs: 1_000 } as const

test('exponential: doubled up to the maximum, and from the beginning after a quiet time behind the restart', () => {
  const failures = [[0], [10], [20], [30], [40], [1_539], [3_039]] as const
  expect(play({ ...exponential, jitter: 0 }, failures)).toEqual([
    [1, 100],
    [2, 200],
    [3, 400],
    [4, 500],
    [5, 500],
    [6, 500], // 999 ms after the restart
    [1, 100], // 1,000 ms after it
  ])
})

test('exponential: a final epoch forgets nothing', () => {
  expect(play({ ...exponential, jitter: 0 }, [[0], 'final', [10]])).toEqual([[1, 100], 'final', [2, 200]])
})

test('exponential: jitter is a share of the delay, both ways, and never beyond the maximum', () => {
  const failures = [
    [0, 0],
    [1, 0.75],
    [2, 0.999_999],
    [3, 0.999_999],
  ] as const
  expect(play({ ...exponential, jitter: 0.1 }, failures)).toEqual([
    [1, 90],
    [2, 210],
    [3, 440],
    [4, 500],
  ])
})

test('failure-rate: one more within the interval is too many', () => {
  const wish = { strategy: 'failure-rate', maxFailures: 2, intervalMs: 100, delayMs: 5 } as const
  expect(play(wish, [[0], [60], 'final', [100], [159]])).toEqual([
    [1, 5],
    [2, 5],
    'final',
    [2, 5], // that of 0 is 100 ms old
    '3 failures within 100 ms (allowed: 2)',
  ])
})

test('none: the first failure is the last', () => {
  expect(play({ strategy: 'none' }, [[0]])).toEqual(['the restart strategy is "none"'])
})

test('a planned move counts for nothing and waits for nothing', () => {
  let state = restartFor(restartSettings({ attempts: 1, delayMs: 100 }))
  state = stepRestart(state, { type: 'failed', now: 0, random: 0 })
  expect(stepRestart(state, { type: 'moved' })).toEqual({ ...state, delayMs: 0 })
  const none = restartFor({ strategy: 'none' })
  expect(stepRestart(none, { type: 'moved' })).toEqual(none)
})

const times = fc
  .array(fc.record({ after: fc.nat(2_000), random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }) }))
  .map((gaps) => {
    let now = 0
    return gaps.map(({ after, random }) => ({ now: (now += after), random }))
  })

const states = (first: RestartState, failures: readonly { now: number; random: number }[]): RestartState[] => {
  const all = [first]
  for (const f of failures) all.push(stepRestart(all.at(-1)!, { type: 'failed', ...f }))
  return all.slice(1)
}

test('exponential: every delay is within jitter of a power of the factor, and within the maximum', () => {
  const wish = fc.record({
    initialMs: fc.integer({ min: 1, max: 1_000 }),
    more: fc.nat(5_000),
    factor: fc.double({ min: 1, max: 5, noNaN: true }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    resetAfterMs: fc.integer({ min: 1, max: 3_000 }),
  })
  fc.assert(
    fc.property(wish, times, ({ more, ...wanted }, failures) => {
      const { initialMs, factor, jitter } = wanted
      const maxMs = initialMs + more
      const first = restartFor(restartSettings({ ...wanted, strategy: 'exponential', maxMs }))
      for (const state of states(first, failures)) {
        const plainMs = Math.min(initialMs * factor ** (state.failures - 1), maxMs)
        expect(state.exhausted).toBeNull()
        expect(state.delayMs).toBeLessThanOrEqual(maxMs)
        expect(Math.abs(state.delayMs - plainMs)).toBeLessThanOrEqual(jitter * plainMs + 0.5 + 1e-6 * maxMs)
      }
    }),
  )
})

test('failure-rate: exhausted exactly when some interval holds too many failures', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 3_000 }),
      times,
      (maxFailures, intervalMs, failures) => {
        const first = restartFor({ strategy: 'failure-rate', maxFailures, intervalMs, delayMs: 0 })
        const tooMany = failures.some(
          ({ now }, i) => failures.slice(0, i + 1).filter((f) => now - f.now < intervalMs).length > maxFailures,
        )
        expect(states(first, failures).some((s) => s.exhausted !== null)).toBe(tooMany)
        for (const s of states(first, failures)) expect(s.failedMs.length).toBeLessThanOrEqual(maxFailures + 1)
      },
    ),
  )
})
