import { expect, test } from 'vitest'
import { POLL_MAX_MS, POLL_MS, canCancel, ledger, pollAfter, timeline, toneOf, type Checkpoint } from './view.ts'

const checkpoint = (epoch: number, over: Partial<Checkpoint>): Checkpoint => ({
  epoch,
  attempt: 1,
  status: 'final',
  triggeredAt: 0,
  durationMs: 10,
  reason: null,
  ...over,
})

test('a running job that is degraded is not shown as well', () => {
  expect(toneOf({ state: 'RUNNING', degraded: false })).toBe('good')
  expect(toneOf({ state: 'RUNNING', degraded: true })).toBe('bad')
  expect(toneOf({ state: 'CANCELLED', degraded: false })).toBe('quiet')
})

test('a job that has ended, or is ending by a wish, cannot be cancelled', () => {
  expect(['RUNNING', 'RESTARTING'].every(canCancel)).toBe(true)
  expect(['FINISHED', 'FAILED', 'CANCELLED', 'STOPPED', 'CANCELLING', 'STOPPING'].some(canCancel)).toBe(false)
})

test('bars are shares of the slowest checkpoint; one that runs has no length, and a failure says why', () => {
  const late = { status: 'given-up', durationMs: 40, reason: 'timed out' } as const
  const bars = timeline([
    checkpoint(3, { status: 'in-progress', durationMs: null }),
    checkpoint(2, late),
    checkpoint(1, {}),
  ])
  expect(bars.map(({ share }) => share)).toEqual([null, 1, 0.25])
  expect(bars[1]).toMatchObject({ tone: 'bad', label: 'given-up, 40 ms, timed out' })
})

test('the ledger counts every state, also those with none', () => {
  const of = (state: 'open' | 'lost') => ({ transactionalId: 'x', state, records: null })
  expect(ledger([of('open'), of('open'), of('lost')])).toEqual({
    open: 2,
    prepared: 0,
    published: 0,
    committed: 0,
    lost: 1,
    foreign: 0,
  })
})

test('polls come less often with each failure, up to a bound', () => {
  expect([0, 1, 2].map(pollAfter)).toEqual([POLL_MS, 2 * POLL_MS, 4 * POLL_MS])
  expect(pollAfter(1_000)).toBe(POLL_MAX_MS)
})
