import fc from 'fast-check'
import { expect, test } from 'vitest'
import { closedBreaker, pauseMs, stepBreaker, type BreakerEvent, type BreakerState } from './breaker.ts'

const settings = { failures: 3, intervalMs: 1_000, pauseMsMax: 5_000 }
const givenUp: BreakerEvent = { type: 'given-up' }
const triggered: BreakerEvent = { type: 'triggered' }
const published: BreakerEvent = { type: 'published' }
const started = (now: number): BreakerEvent => ({ type: 'started', now })

const run = (events: readonly BreakerEvent[], from: BreakerState = closedBreaker): BreakerState =>
  events.reduce((state, event) => stepBreaker(state, event, settings), from)
const opened = run([started(0), givenUp, givenUp, givenUp])

test('it opens with the third epoch given up in a row, and says until when once an attempt runs', () => {
  expect(run([started(0), givenUp, givenUp])).toEqual({ phase: 'closed', failures: 2, openings: 0 })
  expect(opened).toEqual({ phase: 'open', untilMs: null, failures: 3, openings: 1 })
  expect(run([started(700)], opened)).toMatchObject({ phase: 'open', untilMs: 2_700 })
})

test('an epoch that is published closes it and forgets everything', () => {
  expect(run([started(0), givenUp, givenUp, published, givenUp])).toMatchObject({ phase: 'closed', failures: 1 })
  expect(run([started(0), triggered, published], opened)).toEqual(closedBreaker)
})

test('a trial that is given up doubles the pause, up to its bound', () => {
  let state = opened
  const pauses: number[] = []
  for (let trial = 0; trial < 4; trial++) {
    pauses.push(pauseMs(state, settings))
    state = run([started(0), triggered, givenUp], state)
    expect(state).toMatchObject({ phase: 'open', untilMs: null, failures: 4 + trial })
  }
  expect(pauses).toEqual([2_000, 4_000, 5_000, 5_000])
})

test('an attempt that ends during the trial or the pause says nothing: the next one pauses as long', () => {
  const trying = run([started(0), triggered], opened)
  expect(trying).toEqual({ phase: 'half-open', failures: 3, openings: 1 })
  expect(run([started(9_000)], trying)).toEqual({ phase: 'open', untilMs: 11_000, failures: 3, openings: 1 })
  expect(run([started(0), started(9_000)], opened)).toMatchObject({ untilMs: 11_000, openings: 1 })
})

test('failures are counted over attempts', () => {
  expect(run([started(0), givenUp, givenUp, started(5_000), givenUp])).toMatchObject({ phase: 'open', failures: 3 })
})

test('whatever happens: in an attempt that began open one epoch is tried, and no pause is outside of its bounds', () => {
  // One attempt after the other: per attempt what becomes of its epochs, until it ends.
  const attempts = fc.array(fc.array(fc.boolean(), { maxLength: 6 }), { maxLength: 12 })
  fc.assert(
    fc.property(attempts, (outcomes) => {
      let state = closedBreaker
      for (const [i, epochs] of outcomes.entries()) {
        const before = state
        state = run([started(i * 1_000)], state)
        expect(state.phase === 'closed').toBe(before.phase === 'closed')
        if (state.phase === 'open') {
          const pause = state.untilMs! - i * 1_000
          expect(pause).toBeGreaterThanOrEqual(settings.intervalMs)
          expect(pause).toBeLessThanOrEqual(settings.pauseMsMax)
        }
        let unpublished = 0
        for (const good of epochs) {
          const paused = state.phase === 'open'
          state = run([triggered, good ? published : givenUp], state)
          unpublished = good ? 0 : unpublished + 1
          if (paused) expect(state.phase).toBe(good ? 'closed' : 'open')
          if (state.phase === 'open') break // the attempt ends
          expect(unpublished).toBeLessThan(settings.failures)
        }
      }
    }),
  )
})
