import { MemoryClaims, claimPlace, type Claim, type ClaimAnswer } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { ManualClock } from '@weir/model/testing'
import { afterEach, expect, test } from 'vitest'
import { MeasuredClaims } from './measured-claims.ts'
import { PatientClaims, type UnavailablePolicy } from './patient-claims.ts'
import { claimOf } from './redis.fixture.ts'
import { TierSummary } from './tiers/tier-sums.ts'

const { signal } = new AbortController()
const summaries: TierSummary[] = []
afterEach(() => {
  for (const of of summaries.splice(0)) of.end()
})
/** What metrics are told from now on. */
function summary(): TierSummary {
  const of = new TierSummary()
  summaries.push(of)
  return of
}
const unavailable = new WeirError({ code: 'CLAIMS_UNAVAILABLE', kind: 'retry' }, 'nobody answers')

/** Away when it is told to be. */
class Flaky extends MemoryClaims {
  error: WeirError | null = null
  asked = 0

  override claim(claims: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    this.asked++
    return this.error === null ? super.claim(claims) : Promise.reject(this.error)
  }

  override dead(...of: Parameters<MemoryClaims['dead']>): Promise<void> {
    return this.error === null ? super.dead(...of) : Promise.reject(this.error)
  }
}

function over(onUnavailable: UnavailablePolicy) {
  const clock = new ManualClock()
  const place = claimPlace()
  const store = new Flaky(60_000, place)
  const told: string[] = []
  const claims = new PatientClaims(
    { namespace: 'n', operatorUid: 'once', onUnavailable, windowMs: 60_000 },
    {
      store: new MeasuredClaims('n', store, clock),
      clock,
      onDegraded: (is, { passedTwice }) => told.push(is ? 'degraded' : `restored, ${passedTwice} twice`),
    },
  )
  const outcomes = async (...of: Claim[]): Promise<string[]> =>
    (await claims.claim(of, signal)).map(({ outcome }) => outcome)
  return { clock, store, place, told, claims, outcomes }
}

/** Time goes on as long as somebody waits for it. */
async function passing<T>(clock: ManualClock, of: Promise<T>, stepMs = 50): Promise<T> {
  let isOver = false
  of.then(
    () => (isOver = true),
    () => (isOver = true),
  )
  for (let i = 0; i < 10_000 && !isOver; i++) {
    await Promise.resolve()
    await Promise.resolve()
    await Promise.resolve()
    if (!isOver) clock.advance(stepMs)
  }
  return of
}

test('block: it asks again until the store is back', async () => {
  const { clock, store, outcomes } = over({ policy: 'block', forMs: 30_000 })
  store.error = unavailable
  clock.after(20_000, () => (store.error = null))
  expect(await passing(clock, outcomes(claimOf('a', 'k')))).toEqual(['first'])
  expect(store.asked).toBeLessThan(60)
})

test('block: after its time the attempt ends, and begins again', async () => {
  const { clock, store, outcomes } = over({ policy: 'block', forMs: 30_000 })
  store.error = unavailable
  const error = { code: 'CLAIMS_UNAVAILABLE', kind: 'restart' }
  await expect(passing(clock, outcomes(claimOf('a', 'k')))).rejects.toMatchObject(error)
  expect(clock.monotonic()).toBeGreaterThanOrEqual(30_000)
  expect(clock.monotonic()).toBeLessThan(31_000)
})

test('fail: the attempt ends at once', async () => {
  const { clock, store, outcomes } = over({ policy: 'fail' })
  store.error = unavailable
  await expect(outcomes(claimOf('a', 'k'))).rejects.toMatchObject({ code: 'CLAIMS_UNAVAILABLE', kind: 'restart' })
  expect(clock.monotonic()).toBe(0)
})

test('what asking again cannot mend is told at once', async () => {
  for (const policy of ['block', 'fail', 'local'] as const) {
    const { store, outcomes } = over(policy === 'block' ? { policy, forMs: 1_000 } : { policy })
    store.error = new WeirError({ code: 'CLAIMS_FOREIGN', kind: 'invalid' }, 'something else')
    await expect(outcomes(claimOf('a', 'k'))).rejects.toMatchObject({ code: 'CLAIMS_FOREIGN' })
  }
})

test('local: it goes on by what it knows, tells so once, and teaches the store when that is back', async () => {
  const { clock, store, place, told, outcomes } = over({ policy: 'local' })
  expect(await outcomes(claimOf('a', 'k'))).toEqual(['first'])
  store.error = unavailable
  // It does not know what the store knows: that is the promise it suspends.
  expect(await outcomes(claimOf('b', 'k'), claimOf('c', 'l'), claimOf('d', 'l'))).toEqual([
    'first',
    'first',
    'duplicate',
  ])
  expect(await outcomes(claimOf('c', 'l'))).toEqual(['replay'])
  expect(told).toEqual(['degraded'])
  const asked = store.asked
  clock.advance(999)
  await outcomes(claimOf('e', 'm'))
  expect(store.asked).toBe(asked)
  store.error = null
  clock.advance(1)
  expect(await outcomes(claimOf('f', 'm'), claimOf('g', 'n'))).toEqual(['duplicate', 'first'])
  expect(told).toEqual(['degraded', 'restored, 1 twice'])
  expect([...place.held.values()].map(({ origin }) => origin)).toEqual(['a', 'c', 'e', 'g'])
})

test('local: dead letters hand on without the store, and it hears of them', async () => {
  const { clock, store, claims, outcomes } = over({ policy: 'local' })
  store.error = unavailable
  await outcomes(claimOf('a', 'k'), claimOf('x', 'l'))
  await claims.dead(['a', 'x'], claimOf('a', 'k').attempt, signal)
  expect(await outcomes(claimOf('b', 'k'))).toEqual(['handed-on'])
  store.error = null
  clock.advance(1_000)
  expect(await outcomes(claimOf('c', 'k'), claimOf('y', 'l'))).toEqual(['duplicate', 'handed-on'])
})

test('local: what is decided while the store hears of the rest, it hears of too', async () => {
  const { clock, store, place, told, outcomes } = over({ policy: 'local' })
  store.error = unavailable
  await outcomes(claimOf('a', 'k'))
  store.error = null
  clock.advance(1_000)
  const [first, second] = await Promise.all([outcomes(claimOf('b', 'l')), outcomes(claimOf('c', 'm'))])
  expect([first, second]).toEqual([['first'], ['first']])
  expect([...place.held.values()].map(({ origin }) => origin).sort()).toEqual(['a', 'b', 'c'])
  expect(told).toEqual(['degraded', 'restored, 0 twice'])
})

test('an attempt that ends while it waits ends the wait', async () => {
  const { clock, store, claims } = over({ policy: 'block', forMs: 30_000 })
  store.error = unavailable
  const attempt = new AbortController()
  const reason = new Error('over')
  const waiting = claims.claim([claimOf('a', 'k')], attempt.signal)
  clock.after(200, () => attempt.abort(reason))
  await expect(passing(clock, waiting)).rejects.toBe(reason)
})

test('metrics hear of calls, of what was decided without the store, and of what passed twice', async () => {
  const { clock, store, place, outcomes } = over({ policy: 'local' })
  const of = summary()
  await outcomes(claimOf('a', 'k'), claimOf('b', 'l'))
  const call = { namespace: 'n', tier: 'remote', operation: 'claim', misses: 0 }
  expect(of.take()).toMatchObject({ called: [{ ...call, hits: 2 }], unavailable: [], caughtUp: [] })
  store.error = unavailable
  await outcomes(claimOf('c', 'k'), claimOf('d', 'm'))
  await outcomes(claimOf('e', 'n'))
  expect(of.take()).toMatchObject({
    ...{ called: [], caughtUp: [] },
    unavailable: [{ namespace: 'n', decided: 'locally', keys: 3 }],
  })
  store.error = null
  clock.advance(1_000)
  await outcomes(claimOf('f', 'o'))
  // Three it had decided, of which `k` was somebody else's, and the new one.
  expect(of.take()).toMatchObject({
    ...{ called: [{ ...call, hits: 4 }], unavailable: [] },
    caughtUp: [{ namespace: 'n', keys: 3, conflicts: 1 }],
  })
  expect(place.held.size).toBe(5)
})

test('metrics hear once of a call that waits, however often it asks', async () => {
  const { clock, store, outcomes } = over({ policy: 'block', forMs: 30_000 })
  const of = summary()
  store.error = unavailable
  clock.after(20_000, () => (store.error = null))
  await passing(clock, outcomes(claimOf('a', 'k'), claimOf('b', 'l')))
  const { unavailable: told } = of.take()!
  expect(told).toEqual([{ namespace: 'n', decided: 'not', keys: 2 }])
  expect(store.asked).toBeGreaterThan(2)
})
