/** Needs the stack: npm run stack -- up. */
import { systemClock } from '@weir/runtime/system'
import { Redis } from 'ioredis'
import { afterAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { RedisClaims } from './redis-claims.ts'
import { RedisLink } from './redis-link.ts'
import { RedisTier } from './redis-tier.ts'
import { redisAddress } from './redis-url.ts'
import { claimOf, linked } from './redis.fixture.ts'
import { claimStoreContract } from './testing/claim-store-contract.ts'
import { claimTierContract } from './testing/claim-tier-contract.ts'

const address = redisAddress(`redis://${stackEndpoints().redis}`)
const [host, port] = stackEndpoints().redis.split(':')
const admin = new Redis({ host: host!, port: Number(port) })
afterAll(() => admin.disconnect())
const link = (): Promise<RedisLink> => linked(address)
const pass = (ms: number): Promise<void> => systemClock.sleep(ms)
const { signal } = new AbortController()
let numbered = 0
const opened: RedisClaims[] = []
afterAll(() => Promise.all(opened.map((store) => store.close())))

async function claims(onLost: (count: number) => void = () => {}): Promise<{ store: RedisClaims; namespace: string }> {
  const namespace = `redis-${process.pid}-${Date.now()}-${numbered++}`
  const options = { namespace, windowMs: 60_000, ttlMs: 60_000, wait: null }
  const store = new RedisClaims(options, { link: await link(), clock: systemClock, onLost })
  opened.push(store)
  return { store, namespace }
}

claimStoreContract('claims in Redis', () =>
  Promise.resolve({
    pass,
    open: async (options) =>
      new RedisClaims({ ...options, wait: null }, { link: await link(), clock: systemClock, onLost: () => {} }),
  }),
)

claimTierContract('Redis as a tier', () =>
  Promise.resolve({
    pass,
    ttlMsMin: 100,
    open: async () => new RedisTier({ namespace: 'tier-contract', wait: null }, await link()),
  }),
)

test('a batch is one command, also the first one after the scripts are gone', async () => {
  const { store } = await claims()
  const batch = Array.from({ length: 1_000 }, (_, i) => claimOf(`o${i}`, `order-${i}`))
  await store.claim(batch.slice(0, 1), signal)
  const calls = async (command: string): Promise<number> => {
    const [, found = '0'] = new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await admin.info('commandstats')) ?? []
    return Number(found)
  }
  const before = await calls('evalsha')
  expect((await store.claim(batch, signal)).filter(({ outcome }) => outcome === 'first').length).toBeGreaterThanOrEqual(
    999,
  )
  expect((await calls('evalsha')) - before).toBe(1)
  await admin.script('FLUSH')
  const again = await store.claim(
    batch.map((claim) => ({ ...claim, origin: `${claim.origin} again` })),
    signal,
  )
  expect(again.every(({ outcome }) => outcome === 'duplicate')).toBe(true)
})

test('a claim is kept for its time, and the time is one of Redis', async () => {
  const { store, namespace } = await claims()
  await store.claim([claimOf('a', 'order-1')], signal)
  const keys = await admin.keys(`weir:{${namespace}:*`)
  expect(keys).toHaveLength(1)
  const left = await admin.pttl(keys[0]!)
  expect(left).toBeGreaterThan(50_000)
  expect(left).toBeLessThanOrEqual(60_000)
})

test('what lies under the key of a claim and is none stops the claim, and says so', async () => {
  const { store, namespace } = await claims()
  await store.claim([claimOf('a', 'order-1')], signal)
  const [key] = await admin.keys(`weir:{${namespace}:*`)
  await admin.set(key!, 'something else')
  await expect(store.claim([claimOf('b', 'order-1')], signal)).rejects.toMatchObject({
    code: 'CLAIMS_FOREIGN',
    kind: 'invalid',
  })
  await admin.del(key!)
  await admin.lpush(key!, 'a list')
  await expect(store.claim([claimOf('b', 'order-1')], signal)).rejects.toMatchObject({ code: 'CLAIMS_FOREIGN' })
})

test('claims that Redis has forgotten are put back behind a new connection, and told of', async () => {
  const lost: number[] = []
  const { store, namespace } = await claims((count) => lost.push(count))
  await store.claim([claimOf('a', 'order-1'), claimOf('b', 'order-2')], signal)
  const [key] = await admin.keys(`weir:{${namespace}:*order-1`)
  await admin.del(key!)
  const id = String(await admin.client('LIST'))
    .split('\n')
    .filter((line) => line.includes('cmd=evalsha'))
    .map((line) => /id=(\d+)/.exec(line)![1]!)
  for (const client of id) await admin.client('KILL', 'ID', client)
  const outcome = async (): Promise<string> => {
    try {
      return (await store.claim([claimOf('c', 'order-1')], signal))[0]!.outcome
    } catch {
      return 'away'
    }
  }
  await expect.poll(outcome).toBe('duplicate')
  expect(lost).toEqual([1])
})

test('with too few replicas nothing counts as claimed', async () => {
  const options = {
    namespace: `wait-${Date.now()}`,
    windowMs: 60_000,
    ttlMs: 60_000,
    wait: { replicas: 1, timeoutMs: 50 },
  }
  const store = new RedisClaims(options, { link: await link(), clock: systemClock, onLost: () => {} })
  opened.push(store)
  await expect(store.claim([claimOf('a', 'order-1')], signal)).rejects.toMatchObject({
    code: 'CLAIMS_UNAVAILABLE',
    kind: 'retry',
  })
})

test('a wrong password and a server that is not there are told apart', async () => {
  const wrong = new RedisLink(redisAddress(`redis://nobody:wrong@${stackEndpoints().redis}`), systemClock)
  await expect
    .poll(() => wrong.call('get', ['x'], signal).then(String, (error: { code: string }) => error.code))
    .toBe('REDIS_REFUSED')
  await wrong.close()
  const away = new RedisLink(redisAddress('redis://127.0.0.1:1'), systemClock)
  await expect(away.call('get', ['x'], signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry' })
  await away.close()
})
