import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WeirError, type Clock } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { claimStoreContract } from '../testing/claim-store-contract.ts'
import { claimTierContract } from '../testing/claim-tier-contract.ts'
import { memoryPlace, MemoryTier, type MemoryPlace } from '../testing/memory-tier.ts'
import { TierClaims } from '../tier-claims.ts'
import type { ClaimTier, TierEntry } from '../tier.ts'
import { DOUBT_MS } from './copies.ts'
import { HotTier } from './hot-tier.ts'
import { LevelTier } from './level-tier.ts'
import { TieredTier, type TieredTierDependencies, type TieredTierOptions } from './tiered-tier.ts'

const { signal } = new AbortController()
const HOUR = 3_600_000
const WON = { won: true }
const lost = (there: string): unknown => ({ won: false, there })
const entry = (key: string, value: string): TierEntry => ({ key, value, ttlMs: HOUR })
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Weather = 'fine' | 'away' | 'answers are lost'

/** A remote tier whose connection a test may break. */
class Remote extends MemoryTier {
  weather: Weather = 'fine'
  /** The next answer waits for it; what it answers to is done at once. */
  late: Promise<void> | null = null
  asked = 0

  override claim = this.#through(super.claim.bind(this))
  override getMany = this.#through(super.getMany.bind(this))
  override swap = this.#through(super.swap.bind(this))
  override release = this.#through(super.release.bind(this))

  #through<A extends unknown[], R>(call: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
    return async (...args) => {
      this.asked++
      const away = new WeirError({ code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry' }, 'away')
      if (this.weather === 'away') throw away
      const answer = await call(...args)
      const { late } = this
      this.late = null
      await late
      if (this.weather === 'answers are lost') throw away
      return answer
    }
  }
}

interface World {
  readonly place: MemoryPlace
  readonly folder: string
  readonly clock: Clock
  pass(ms: number): void
}

async function world(): Promise<World> {
  const parent = await mkdtemp(join(tmpdir(), 'weir-tiered-'))
  cleanups.push(() => rm(parent, { recursive: true, force: true }))
  const place = memoryPlace()
  const started = Date.now()
  const clock: Clock = { ...systemClock, now: () => started + place.nowMs, monotonic: () => place.nowMs }
  return { place, folder: join(parent, 'claims'), clock, pass: (ms) => void (place.nowMs += ms) }
}

async function opened(
  { place, folder, clock }: World,
  options: Partial<TieredTierOptions> = {},
  onDegraded?: TieredTierDependencies['onDegraded'],
): Promise<{ tier: TieredTier; remote: Remote; memory: HotTier; close(): Promise<void> }> {
  const remote = new Remote(place)
  const memory = new HotTier({ entriesMax: 100 }, { clock })
  const local = await LevelTier.open({ folder, onDamage: 'setAside' }, { clock })
  const tier = new TieredTier(
    { namespace: 'test', onUnavailable: 'fail', ...options },
    { memory, local, remote, clock, random: systemRandom, ...(onDegraded && { onDegraded }) },
  )
  cleanups.push(() => tier.close())
  return { tier, remote, memory, close: () => tier.close() }
}

let folders = 0
for (const soleWriter of [false, true])
  claimTierContract(`memory, LevelDB and a remote tier, ${soleWriter ? 'one writer' : 'many writers'}`, async () => {
    const here = await world()
    return {
      ttlMsMin: 1,
      shared: !soleWriter,
      open: async () => (await opened({ ...here, folder: `${here.folder}${folders++}` }, { soleWriter })).tier,
      pass: (ms) => Promise.resolve(here.pass(ms)),
    }
  })

claimStoreContract('claims in memory, LevelDB and a remote tier', async () => {
  const here = await world()
  return {
    open: async (options) =>
      new TierClaims(options, (await opened({ ...here, folder: `${here.folder}${folders++}` })).tier),
    pass: (ms) => Promise.resolve(here.pass(ms)),
  }
})

describe('what is certain above the remote tier', () => {
  test('with one writer: that a key is taken, by what this instance has written', async () => {
    const { tier, remote } = await opened(await world(), { soleWriter: true })
    await tier.claim([entry('k', 'a')], signal)
    const { asked } = remote
    expect(await tier.claim([entry('k', 'b')], signal)).toEqual([lost('a')])
    expect(await tier.get('k', signal)).toBe('a')
    expect(remote.asked).toBe(asked)
  })

  test('also from the disk, when memory has let it go', async () => {
    const { tier, remote, memory } = await opened(await world(), { soleWriter: true })
    await tier.claim([entry('k', 'a')], signal)
    memory.clear()
    const { asked } = remote
    expect(await tier.claim([entry('k', 'b')], signal)).toEqual([lost('a')])
    expect(remote.asked).toBe(asked)
  })

  test('never that it is free: only the known half of a batch is answered here', async () => {
    const { tier, remote } = await opened(await world(), { soleWriter: true })
    await tier.claim([entry('k', 'a')], signal)
    remote.asked = 0
    expect(await tier.claim([entry('new', 'b'), entry('k', 'b'), entry('other', 'b')], signal)).toEqual([
      WON,
      lost('a'),
      WON,
    ])
    expect(remote.asked).toBe(1)
  })

  test('not with several writers: a copy may be outdated by a dead letter', async () => {
    const here = await world()
    const [one, other] = [await opened(here), await opened({ ...here, folder: `${here.folder}2` })]
    await one.tier.claim([entry('k', 'a')], signal)
    await other.tier.swap(entry('k', 'a, dead'), 'a', signal)
    expect(await one.tier.claim([entry('k', 'b')], signal)).toEqual([lost('a, dead')])
  })

  test('not what an earlier instance has written', async () => {
    const here = await world()
    const first = await opened(here, { soleWriter: true })
    await first.tier.claim([entry('k', 'a')], signal)
    await first.close()
    const { tier, remote } = await opened(here, { soleWriter: true })
    expect(await tier.claim([entry('k', 'b')], signal)).toEqual([lost('a')])
    expect(remote.asked).toBeGreaterThan(0)
  })

  test('nothing, for a while, after a write whose outcome nobody knows', async () => {
    const here = await world()
    const { tier, remote } = await opened(here, { soleWriter: true })
    await tier.claim([entry('k', 'a')], signal)
    remote.weather = 'answers are lost'
    await expect(tier.swap(entry('k', 'b'), 'a', signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_UNAVAILABLE' })
    remote.weather = 'fine'
    expect(await tier.claim([entry('k', 'c')], signal)).toEqual([lost('b')])
    here.pass(DOUBT_MS)
    await tier.claim([entry('k', 'b')], signal)
    const { asked } = remote
    expect(await tier.claim([entry('k', 'c')], signal)).toEqual([lost('b')])
    expect(remote.asked).toBe(asked)
  })
})

test('answers that come in another order than the writes leave nothing certain', async () => {
  const { tier, remote } = await opened(await world(), { soleWriter: true })
  await tier.claim([entry('k', 'a')], signal)
  let arrive = (): void => {}
  remote.late = new Promise((resolve) => (arrive = resolve))
  const first = tier.swap(entry('k', 'b'), 'a', signal)
  while (remote.late !== null) await new Promise((resolve) => setImmediate(resolve))
  expect(await tier.swap(entry('k', 'c'), 'b', signal)).toEqual({ swapped: true })
  arrive()
  expect(await first).toEqual({ swapped: true })
  expect(await tier.claim([entry('k', 'd')], signal)).toEqual([lost('c')])
})

describe('without the remote tier', () => {
  test('`fail` says so', async () => {
    const { tier, remote } = await opened(await world())
    remote.weather = 'away'
    await expect(tier.claim([entry('k', 'a')], signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_UNAVAILABLE' })
    expect(tier.degraded).toBe(true)
  })

  test('`local` decides by what was known, and the remote tier is told before it is asked again', async () => {
    const { tier, remote } = await opened(await world(), { onUnavailable: 'local' })
    await tier.claim([entry('known', 'a')], signal)
    remote.weather = 'away'
    expect(await tier.claim([entry('known', 'b'), entry('new', 'b')], signal)).toEqual([lost('a'), WON])
    expect(await tier.claim([entry('new', 'c')], signal)).toEqual([lost('b')])
    expect(await tier.swap(entry('known', 'c'), 'a', signal)).toEqual({ swapped: true })
    expect(tier.degraded).toBe(true)
    remote.weather = 'fine'
    expect(await tier.getMany(['known', 'new'], signal)).toEqual(['c', 'b'])
    expect(tier.degraded).toBe(false)
    expect(await remote.getMany(['known', 'new'], signal)).toEqual(['c', 'b'])
  })

  test('what was decided outlives the process', async () => {
    const here = await world()
    const first = await opened(here, { onUnavailable: 'local' })
    first.remote.weather = 'away'
    await first.tier.claim([entry('k', 'a')], signal)
    await first.close()
    const { tier } = await opened(here, { onUnavailable: 'local' })
    expect(await tier.claim([entry('k', 'b')], signal)).toEqual([lost('a')])
  })

  test('what somebody else has claimed meanwhile stays theirs, and is told', async () => {
    const here = await world()
    const { tier, remote } = await opened(here, { onUnavailable: 'local' })
    remote.weather = 'away'
    await tier.claim([entry('k', 'mine'), entry('l', 'mine')], signal)
    await new MemoryTier(here.place).claim([entry('k', 'theirs')], signal)
    remote.weather = 'fine'
    const told: unknown[] = []
    const listen = (message: unknown): void => void told.push(message)
    subscribe('weir:idempotency:caught-up', listen)
    cleanups.push(() => unsubscribe('weir:idempotency:caught-up', listen))
    expect(await tier.getMany(['k', 'l'], signal)).toEqual(['theirs', 'mine'])
    expect(told).toEqual([{ namespace: 'test', keys: 2, conflicts: 1 }])
  })

  test('that it decides alone, and no longer, is told once each', async () => {
    const here = await world()
    const news: unknown[] = []
    const { tier, remote } = await opened(here, { onUnavailable: 'local' }, (isDegraded, { passedTwice }) =>
      news.push([isDegraded, passedTwice]),
    )
    await tier.claim([entry('before', 'mine')], signal)
    remote.weather = 'away'
    await tier.claim([entry('k', 'mine')], signal)
    await tier.claim([entry('l', 'mine')], signal)
    await new MemoryTier(here.place).claim([entry('k', 'theirs')], signal)
    expect(news).toEqual([[true, 0]])
    remote.weather = 'fine'
    await tier.get('k', signal)
    await tier.get('l', signal)
    expect(news).toEqual([
      [true, 0],
      [false, 1],
    ])
  })

  test('a second outage finds what was decided in the first', async () => {
    const { tier, remote } = await opened(await world(), { onUnavailable: 'local' })
    remote.weather = 'away'
    await tier.claim([entry('k', 'a')], signal)
    remote.weather = 'fine'
    await tier.get('other', signal)
    remote.weather = 'away'
    expect(await tier.claim([entry('k', 'b')], signal)).toEqual([lost('a')])
  })

  test('an instance alone gives the answers of a plain tier, whatever the weather', async () => {
    const key = fc.constantFrom('a', 'b')
    const value = fc.constantFrom('1', '2', '3')
    const operation = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          type: fc.constant('claim' as const),
          entries: fc.array(fc.record({ key, value, ttlMs: fc.constant(HOUR) }), { minLength: 1, maxLength: 3 }),
        }),
      },
      {
        weight: 4,
        arbitrary: fc.record({ type: fc.constant('swap' as const), key, value, expected: fc.option(value) }),
      },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('release' as const), key, value }) },
      {
        weight: 3,
        arbitrary: fc.record({
          type: fc.constant('weather' as const),
          weather: fc.constantFrom<Weather>('fine', 'away', 'answers are lost'),
        }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('later' as const) }) },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('read' as const) }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 30 }), fc.boolean(), async (operations, soleWriter) => {
        const here = await world()
        const plain: ClaimTier = new MemoryTier()
        let now = await opened(here, { onUnavailable: 'local', soleWriter })
        for (const each of operations) {
          if (each.type === 'weather') now.remote.weather = each.weather
          else if (each.type === 'later') here.pass(DOUBT_MS)
          else if (each.type === 'restart') {
            const { weather } = now.remote
            await now.close()
            now = await opened(here, { onUnavailable: 'local', soleWriter })
            now.remote.weather = weather
          } else if (each.type === 'claim')
            expect(await now.tier.claim(each.entries, signal)).toEqual(await plain.claim(each.entries, signal))
          else if (each.type === 'swap') {
            const to = entry(each.key, each.value)
            expect(await now.tier.swap(to, each.expected, signal)).toEqual(await plain.swap(to, each.expected, signal))
          } else if (each.type === 'release')
            expect(await now.tier.release(each.key, each.value, signal)).toBe(
              await plain.release(each.key, each.value, signal),
            )
          else expect(await now.tier.getMany(['a', 'b'], signal)).toEqual(await plain.getMany(['a', 'b'], signal))
        }
        now.remote.weather = 'fine'
        const expected = await plain.getMany(['a', 'b'], signal)
        expect(await now.tier.getMany(['a', 'b'], signal)).toEqual(expected)
        expect(await now.remote.getMany(['a', 'b'], signal)).toEqual(expected)
        await now.close()
      }),
      { numRuns: 60 },
    )
  })
})

test('what is known locally can be read by ranges of keys', async () => {
  const { tier } = await opened(await world())
  await tier.claim(
    ['b', 'a', 'c'].map((key) => entry(key, `of ${key}`)),
    signal,
  )
  expect(await tier.range('a', 'c')).toEqual([
    { key: 'a', text: 'of a' },
    { key: 'b', text: 'of b' },
  ])
})

test('each call tells what the tiers answered', async () => {
  const { tier, memory } = await opened(await world(), { soleWriter: true })
  await tier.claim([entry('a', '1'), entry('b', '1')], signal)
  memory.clear()
  await tier.claim([entry('b', '2')], signal)
  const told: unknown[] = []
  const listen = (message: unknown): void => void told.push(message)
  subscribe('weir:idempotency:tier', listen)
  cleanups.push(() => unsubscribe('weir:idempotency:tier', listen))
  await tier.claim([entry('a', '2'), entry('b', '2'), entry('c', '2')], signal)
  const of = (tier: string, hits: number, misses: number): unknown =>
    expect.objectContaining({ namespace: 'test', tier, operation: 'claim', hits, misses }) as unknown
  expect(told).toEqual([of('memory', 1, 2), of('leveldb', 1, 1), of('remote', 1, 0)])
})

test('a damaged local tier is set aside under way, and the claims are those of the remote one', async () => {
  const here = await world()
  const first = await opened(here)
  await first.tier.claim([entry('k', 'a')], signal)
  await first.close()
  const { ClassicLevel } = await import('classic-level')
  const level = new ClassicLevel(here.folder)
  await level.put('d:x', 'not as it was written')
  await level.close()
  const { tier } = await opened(here, { onUnavailable: 'local' })
  expect(await tier.claim([entry('k', 'b'), entry('d:x', 'b')], signal)).toEqual([lost('a'), WON])
  expect(await readdir(join(here.folder, '..'))).toContain('claims.damaged-1')
})
