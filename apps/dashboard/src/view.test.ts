import { expect, test } from 'vitest'
import {
  POLL_MAX_MS,
  POLL_MS,
  bytes,
  canCancel,
  ledger,
  milliseconds,
  pollAfter,
  quantile,
  replayable,
  timeline,
  time,
  toneOf,
  workOf,
} from './view.ts'

type Told = Parameters<typeof timeline>[0][number]
const checkpoint = (epoch: number, over: Partial<Told>): Told => ({
  ...{ epoch, status: 'final', durationMs: 10, reason: null },
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
  const of = (state: 'open' | 'lost') => ({ state })
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

test('times are in the unit that fits', () => {
  expect([0.4, 999, 1_234, 61_000].map(milliseconds)).toEqual(['0 ms', '999 ms', '1.23 s', '1 min 1 s'])
})

test('a dead letter is replayed once, and only where it had no effect yet', () => {
  const letter = { origin: 'orders/1/2', replay: 'whole', replayed: null } as const
  expect(replayable(letter)).toBe(true)
  expect(replayable({ ...letter, replay: 'partial' })).toBe(false)
  expect(replayable({ ...letter, replayed: 'r1' })).toBe(false)
  expect(replayable({ ...letter, origin: null })).toBe(false)
  expect(time(1_000)).toBe('1970-01-01 00:00:01')
})

test('of a subtask the busiest stage is shown, and the one that is held up most', () => {
  const stage = (busyMsPerSecond: number, backPressuredMsPerSecond: number) => ({
    busyMsPerSecond,
    backPressuredMsPerSecond,
  })
  expect(workOf({ stages: [stage(996, 0), stage(300, 701)] })).toEqual({ busy: '100 %', held: '70 %' })
  expect(workOf({ stages: [] })).toEqual({ busy: '–', held: '–' })
})

test('a quantile is the bound that so many records were below; what lies beyond all bounds has none', () => {
  const latency = { records: 100, sumMs: 5_000, boundsMs: [10, 100], counts: [50, 49, 1] }
  expect([0.5, 0.51, 0.99, 1].map((share) => quantile(latency, share))).toEqual([10, 100, 100, null])
  expect(quantile(null, 0.5)).toBeNull()
})

test.each([
  [0, '0 B'],
  [1_023, '1023 B'],
  [1_536, '1.5 KiB'],
  [300 * 1_024 ** 2, '300 MiB'],
])('%i bytes are %s', (n, said) => expect(bytes(n)).toBe(said))
