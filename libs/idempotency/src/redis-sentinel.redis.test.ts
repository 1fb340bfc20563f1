/** A primary, its replica and three sentinels, started by the test; the primary is killed. */
import { systemClock } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RedisClaims } from './redis-claims.ts'
import { RedisServers, claimOf, linked, until, type RedisProcess } from './redis.fixture.ts'
import { redisAddress, type RedisAddress } from './redis-url.ts'

let servers: RedisServers
let primary: RedisProcess
let replica: RedisProcess
let address: RedisAddress
const { signal } = new AbortController()

beforeAll(async () => {
  servers = await RedisServers.inFolder()
  const [a, b, ...sentinels] = await servers.ports(5)
  primary = await servers.start(a!, { appendonly: 'no' })
  replica = await servers.start(b!, { appendonly: 'no', replicaof: `127.0.0.1 ${a}` })
  await until('the replica follows', async () =>
    (await replica.admin.info('replication')).includes('master_link_status:up'),
  )
  const watch = [
    `sentinel monitor weir 127.0.0.1 ${a} 2`,
    'sentinel down-after-milliseconds weir 800',
    'sentinel failover-timeout weir 4000',
  ].join('\n')
  const watching: RedisProcess[] = []
  for (const port of sentinels) watching.push(await servers.start(port, {}, watch))
  await until('the sentinels know each other and the replica', async () => {
    const said = await Promise.all(
      watching.map(({ admin }) => admin.call('SENTINEL', 'MASTER', 'weir') as Promise<string[]>),
    )
    const of = (fields: string[], name: string): string => fields[fields.indexOf(name) + 1]!
    return said.every((f) => of(f, 'num-other-sentinels') === '2' && of(f, 'num-slaves') === '1')
  })
  address = redisAddress(`redis+sentinel://${sentinels.map((port) => `127.0.0.1:${port}`).join(',')}/weir`)
})
afterAll(() => servers.stop())

test('a fail-over that has lost acknowledged claims is found, and what this process had claimed is put back', async () => {
  const lost: number[] = []
  const options = { namespace: 'failover', windowMs: 60_000, ttlMs: 60_000, wait: null }
  const store = new RedisClaims(options, {
    link: await linked(address),
    clock: systemClock,
    onLost: (n) => lost.push(n),
  })
  const batch = (from: number): ReturnType<typeof claimOf>[] =>
    Array.from({ length: 50 }, (_, i) => claimOf(`a${from + i}`, `order-${from + i}`))
  await store.claim(batch(0), signal)
  await until('the replica has them', async () => (await replica.admin.dbsize()) === 50)
  // Asynchronous replication, stretched: the primary acknowledges what its replica never gets.
  await replica.admin.call('REPLICAOF', 'NO', 'ONE')
  await store.claim(batch(50), signal)
  await servers.kill(primary)
  const outcomes = async (): Promise<readonly string[]> => {
    try {
      const others = [...batch(0), ...batch(50)].map((claim) => ({ ...claim, origin: `b${claim.origin}` }))
      return (await store.claim(others, signal)).map(({ outcome }) => outcome)
    } catch (error) {
      expect(error).toMatchObject({ code: 'CLAIMS_UNAVAILABLE', kind: 'retry' })
      return []
    }
  }
  let seen: readonly string[] = []
  await until('the replica was promoted', async () => (seen = await outcomes()).length > 0)
  expect(seen.every((outcome) => outcome === 'duplicate')).toBe(true)
  expect(lost).toEqual([50])
  await store.close()
})
