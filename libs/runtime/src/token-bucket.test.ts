import { DURATION_MS_MAX, shareOf } from '@weir/dataflow'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  BURST_MS,
  FAILED_SHARE_MAX,
  LOOP_LAG_MS,
  LOOP_LAGS_MAX,
  PORTION_MS,
  RAISE_PER_SECOND,
  RESERVATIONS_MIN,
  SLOW_READ_MS,
  SLOW_READS_MAX,
  WINDOW_MS,
  bucketFor,
  bucketWaitMs,
  stepBucket,
  type BucketEvent,
  type BucketState,
} from './token-bucket.ts'

const LIMIT = { recordsPerSecond: 1_000, minRecordsPerSecond: 100 }

const after = (events: readonly BucketEvent[], from: BucketState = bucketFor(LIMIT, 0)): BucketState =>
  events.reduce((state, event) => stepBucket(state, event).state, from)

/** 10 records: the rate gives 10 ms for them. */
const taken = (nowMs: number, tookMs: number): BucketEvent => ({ type: 'taken', nowMs, tookMs, records: 10 })

const granted = (state: BucketState, nowMs: number, records = 10_000): { state: BucketState; records: number } => {
  const step = stepBucket(state, { type: 'reserve', nowMs, records })
  const grant = step.effects.find((effect) => effect.type === 'grant')
  return { state: step.state, records: grant!.records }
}

test('the triggers are those of the specification', () => {
  expect([SLOW_READS_MAX, SLOW_READ_MS]).toEqual([3, 200])
  expect([FAILED_SHARE_MAX, WINDOW_MS]).toEqual([0.15, 10_000])
})

test('a bucket gives the rate over time, in whole records, and saves up at most 100 ms', () => {
  let state = bucketFor({ recordsPerSecond: 1_000, minRecordsPerSecond: null }, 0)
  let records = 0
  for (let now = 0; now <= 1_000; now += 7) {
    const step = granted(state, now)
    state = step.state
    records += step.records
  }
  expect(records).toBeGreaterThanOrEqual(993)
  expect(records).toBeLessThanOrEqual(1_000)
  expect(granted(state, 60_000).records).toBe(BURST_MS)
})

test.each([1e-7, Number.MIN_VALUE])(
  'at %d records per second over two subtasks a record is waited for as long as a timer can',
  (rate) => {
    const bucket = bucketFor(shareOf({ recordsPerSecond: rate, minRecordsPerSecond: null }, 2), 0)
    expect(bucketWaitMs(bucket, 0)).toBe(DURATION_MS_MAX)
  },
)

test('three slow reads in a row lower the rate, two do not, and a fast one between them begins anew', () => {
  expect(after([taken(1_000, 201), taken(2_000, 201)]).rate).toBe(1_000)
  expect(after([taken(1_000, 201), taken(2_000, 201), taken(2_001, 1), taken(3_000, 201)]).rate).toBe(1_000)
  expect(after([taken(1_000, 200), taken(2_000, 200), taken(3_000, 200)]).rate).toBe(1_000)
  const lowered = after([taken(1_000, 201), taken(2_000, 201), taken(3_000, 201)])
  expect(lowered.rate).toBeLessThan(1_000)
  expect(lowered.reason).toBe('slow-reads')
})

/** So many in a row fail: the first one takes too long, those behind it make up for nothing. */
const failing = (nowMs: number, stepMs: number, count: number): BucketEvent[] =>
  Array.from({ length: count }, (_, i) => taken(nowMs + i * stepMs, i === 0 ? 10 + BURST_MS + 1 : 10))

test('15 % of what was reserved in ten seconds and failed lowers the rate, less does not', () => {
  // 2 of 20 have failed, then 3 of 20.
  const window = (failed: number): BucketEvent[] => [
    ...failing(1_000, 100, failed),
    ...Array.from({ length: RESERVATIONS_MIN - failed }, (_, i) => taken(1_000 + (failed + i) * 100, 0)),
  ]
  expect(after(window(2)).rate).toBe(1_000)
  expect(after(window(3))).toMatchObject({ reason: 'failed-reservations' })
})

test('what failed more than ten seconds ago counts no longer', () => {
  const early = failing(1_000, 1, 2)
  const good = Array.from({ length: 30 }, (_, i) => taken(2_000 + i * 300, 0))
  const late = failing(12_500, 1, 4)
  expect(after([...early, ...good, ...late]).rate).toBe(1_000)
  expect(after([...good, ...late, ...failing(12_600, 1, 3)]).reason).toBe('failed-reservations')
})

test('what lies behind may be late now and then, as long as it makes up for it', () => {
  const pauses = Array.from({ length: 500 }, (_, i) => taken(1_000 + i * 10, i % 20 === 0 ? 10 + BURST_MS - 1 : 4))
  expect(after(pauses).rate).toBe(1_000)
})

test('a rate that adapts is granted in small portions, a fixed one as it has saved up', () => {
  expect(granted(bucketFor(LIMIT, 0), 60_000).records).toBe(PORTION_MS)
  expect(granted(bucketFor({ ...LIMIT, minRecordsPerSecond: null }, 0), 60_000).records).toBe(BURST_MS)
})

test('waiting for tokens is the limit doing its work: a source that always waits is never lowered', () => {
  let state = bucketFor(LIMIT, 0)
  for (let now = 1; now < 30_000; now++) {
    const step = granted(state, now)
    state =
      step.records > 0
        ? after([{ type: 'taken', nowMs: now, tookMs: 0, records: step.records }], step.state)
        : step.state
  }
  expect(state.rate).toBe(1_000)
})

test('an event loop that is late three times in a row lowers the rate', () => {
  const late = (nowMs: number): BucketEvent => ({ type: 'looked', nowMs, lagMs: LOOP_LAG_MS + 1 })
  expect(after([late(300), late(600)]).rate).toBe(1_000)
  expect(after([late(300), late(600), late(900)])).toMatchObject({ rate: 970, reason: 'event-loop-lag' })
  expect(LOOP_LAGS_MAX).toBe(3)
})

test('it is lowered to what was passed on, not by a step from where it stands', () => {
  // 10 records per 50 ms: 200 records/s.
  const saturated = Array.from({ length: 40 }, (_, i) => taken(50 * (i + 1), 50))
  const { rate } = after(saturated)
  expect(rate).toBeGreaterThan(180)
  expect(rate).toBeLessThan(205)
})

test('a limit without a minimum is fixed, whatever lies behind', () => {
  const fixed = bucketFor({ recordsPerSecond: 1_000, minRecordsPerSecond: null }, 0)
  const bad = Array.from({ length: 50 }, (_, i) => taken(1_000 * i, 900))
  expect(after([...bad, { type: 'looked', nowMs: 60_000, lagMs: 5_000 }], fixed).rate).toBe(1_000)
})

test('a new limit holds at once, also above the old one, and gives no more than it has saved up', () => {
  const fixed = { ...LIMIT, minRecordsPerSecond: null }
  const slow = after([{ type: 'reserve', nowMs: 60_000, records: 0 }], bucketFor(fixed, 0))
  const fast = after([{ type: 'adjust', nowMs: 60_000, limit: { ...fixed, recordsPerSecond: 50_000 } }], slow)
  expect(fast.rate).toBe(50_000)
  expect(granted(fast, 60_000).records).toBe(100)
  expect(granted(fast, 60_100).records).toBe(5_000)
})

test('after ten seconds without a trigger the rate comes back, slowly at first, twice as fast with every ten more', () => {
  let state = after([taken(0, 201), taken(600, 201), taken(1_200, 201)])
  const low = state.rate
  const at = (from: number, to: number): number => {
    for (let now = from; now <= to; now += 100) state = granted(state, now).state
    return state.rate
  }
  expect(low).toBeLessThan(50 + 100)
  expect(at(1_300, 11_200)).toBe(low)
  expect(at(11_300, 21_100)).toBeCloseTo(low + 10 * RAISE_PER_SECOND * 1_000, -1)
  expect(at(21_200, 31_100)).toBeCloseTo(low + 30 * RAISE_PER_SECOND * 1_000, -1)
  expect(at(31_200, 100_000)).toBe(1_000)
  expect(state.reason).toBeNull()
})

/** A source with a bucket in front of something that takes `capacity` records per second, without a queue. */
const anEvent = fc.oneof(
  fc.record({
    type: fc.constant('taken' as const),
    records: fc.integer({ min: 1, max: 2_000 }),
    tookMs: fc.integer({ min: 0, max: 2_000 }),
  }),
  fc.record({ type: fc.constant('reserve' as const), records: fc.integer({ min: 0, max: 2_000 }) }),
  fc.record({ type: fc.constant('looked' as const), lagMs: fc.integer({ min: 0, max: 1_000 }) }),
  fc.record({
    type: fc.constant('adjust' as const),
    limit: fc.tuple(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 1e6 })).map(([a, b]) => ({
      recordsPerSecond: Math.max(a, b),
      minRecordsPerSecond: Math.min(a, b),
    })),
  }),
)

test('whatever happens, the rate is within its bounds and no more is granted than the highest rate gives', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anEvent, fc.integer({ min: 0, max: 3_000 })), { maxLength: 300 }), (events) => {
      let state = bucketFor(LIMIT, 0)
      /** The model: a bucket at the limit, never lowered. */
      let allowed = 0
      let nowMs = 0
      for (const [event, waitedMs] of events) {
        nowMs += waitedMs
        const burst = Math.max(1, (state.most / 1_000) * BURST_MS)
        allowed = Math.min(burst, allowed + (waitedMs * state.most) / 1_000)
        const step = stepBucket(state, { ...event, nowMs } as BucketEvent)
        const grant = step.effects.find((effect) => effect.type === 'grant')?.records ?? 0
        expect(grant).toBeLessThanOrEqual(allowed + 1e-6)
        allowed -= grant
        state = step.state
        expect(state.rate).toBeLessThanOrEqual(state.most)
        expect(state.rate).toBeGreaterThanOrEqual(state.least!)
        expect(state.tokens).toBeGreaterThanOrEqual(0)
        expect(state.seconds.length).toBeLessThanOrEqual(WINDOW_MS / 1_000 + 1)
        expect(bucketWaitMs(state, nowMs)).toBeGreaterThanOrEqual(1)
      }
    }),
    { numRuns: 300 },
  )
})

/**
 * A source in front of something that takes `capacity` records per second, one batch after the other: what is late once is made up for.
 * `lateMs`: by how much the source's own timers fire too late.
 */
function behind(
  capacity: number,
  from: BucketState,
  fromMs: number,
  forMs: number,
  lateMs: () => number = () => 0,
): { state: BucketState; nowMs: number; records: number } {
  let [state, nowMs, freeAtMs, records] = [from, fromMs, fromMs, 0]
  while (nowMs < fromMs + forMs) {
    const step = granted(state, nowMs, 2_000)
    state = step.state
    if (step.records === 0) {
      nowMs += bucketWaitMs(state, nowMs) + lateMs()
      continue
    }
    freeAtMs = Math.max(freeAtMs, nowMs) + (step.records / capacity) * 1_000
    const tookMs = Math.max(0, freeAtMs - nowMs) + lateMs()
    nowMs += tookMs
    records += step.records
    state = after([{ type: 'taken', nowMs, tookMs, records: step.records }], state)
  }
  return { state, nowMs, records }
}

test('timers that fire a few milliseconds late do not lower it: nearly all of any capacity is used', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1_000, max: 4_500 }), fc.nat(2_000), (capacity, seed) => {
      const late = fc.sample(fc.double({ min: 0, max: 2, noNaN: true }), { numRuns: 1_000, seed })
      let i = 0
      const limit = { recordsPerSecond: 5_000, minRecordsPerSecond: 500 }
      const { records } = behind(capacity, bucketFor(limit, 0), 0, 60_000, () => late[i++ % late.length]!)
      expect(records / 60).toBeGreaterThan(capacity * 0.9)
    }),
    { numRuns: 20 },
  )
})

test('in front of any capacity it settles beside it, and recovers wholly within two minutes when that is back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 150, max: 900 }), (capacity) => {
      const slow = behind(capacity, bucketFor(LIMIT, 0), 0, 60_000)
      expect(slow.state.rate).toBeGreaterThan(capacity * 0.85)
      expect(slow.state.rate).toBeLessThan(capacity * 1.15)
      const { state } = behind(5_000, slow.state, slow.nowMs, 120_000)
      expect(state).toMatchObject({ rate: 1_000, reason: null })
    }),
    { numRuns: 50 },
  )
})
