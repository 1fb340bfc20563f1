/** A cluster of three primaries with a replica each, started by the test. */
import { systemClock } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BUCKETS, RedisKeys } from './redis-keys.ts'
import { RedisClaims } from './redis-claims.ts'
import { RedisServers, claimOf, linked, until, type RedisProcess } from './redis.fixture.ts'
import { RedisTier } from './redis-tier.ts'
import { redisAddress, type RedisAddress } from './redis-url.ts'
import { claimStoreContract } from './testing/claim-store-contract.ts'
import { claimTierContract } from './testing/claim-tier-contract.ts'

let servers: RedisServers
let address: RedisAddress
const { signal } = new AbortController()
const REPLICATED_MS_MAX = 20_000

beforeAll(async () => {
  servers = await RedisServers.inFolder()
  const nodes: RedisProcess[] = []
  // Drawn at once: one that is given back may come again.
  const ports = await servers.ports(12)
  for (const [i, port] of ports.slice(0, 6).entries()) {
    const options = {
      'cluster-enabled': 'yes',
      'cluster-node-timeout': '1000',
      appendonly: 'yes',
      appendfsync: 'always',
      'repl-diskless-sync-delay': '0',
    }
    // The default is port + 10000, which may be none.
    nodes.push(await servers.start(port, { ...options, 'cluster-port': String(ports[6 + i]) }))
  }
  const [first] = nodes
  const slots = [0, 5_461, 10_923, 16_384]
  for (const [i, { admin }] of nodes.slice(0, 3).entries()) {
    await admin.cluster('SET-CONFIG-EPOCH', i + 1)
    await admin.cluster('ADDSLOTSRANGE', slots[i]!, slots[i + 1]! - 1)
  }
  const busOf = async ({ admin }: RedisProcess): Promise<number> => {
    const [, bus] = /@(\d+)/.exec(String(await admin.cluster('NODES')))!
    return Number(bus)
  }
  for (const other of nodes.slice(1))
    await first!.admin.call('CLUSTER', 'MEET', '127.0.0.1', String(other.port), String(await busOf(other)))
  await until('all know each other', async () => {
    const known = await Promise.all(
      nodes.map(
        async ({ admin }) =>
          String(await admin.cluster('NODES'))
            .trim()
            .split('\n').length,
      ),
    )
    return known.every((count) => count === 6)
  })
  for (const [i, { admin }] of nodes.slice(3).entries())
    await until('a replica has its primary', async () => {
      const id = String(await nodes[i]!.admin.call('CLUSTER', 'MYID'))
      return admin.call('CLUSTER', 'REPLICATE', id).then(
        () => true,
        () => false,
      )
    })
  await until('the cluster is whole', async () => {
    const infos = await Promise.all(nodes.map(({ admin }) => admin.cluster('INFO')))
    const replicas = String(await first!.admin.cluster('NODES')).match(/ slave /g)?.length ?? 0
    return replicas === 3 && infos.every((info) => String(info).includes('cluster_state:ok'))
  })
  // A replica that has not had its primary's data yet is never elected.
  await until('every replica has its data', async () => {
    const infos = await Promise.all(nodes.slice(3).map(({ admin }) => admin.info('replication')))
    return infos.every((info) => info.includes('master_link_status:up'))
  })
  address = redisAddress(
    `redis+cluster://${nodes
      .slice(0, 3)
      .map(({ port }) => `127.0.0.1:${port}`)
      .join(',')}`,
  )
})
afterAll(() => servers.stop())

claimStoreContract('claims in a cluster', () =>
  Promise.resolve({
    pass: (ms) => systemClock.sleep(ms),
    open: async (options) =>
      new RedisClaims(
        { ...options, wait: null },
        { link: await linked(address), clock: systemClock, onLost: () => {} },
      ),
  }),
)

claimTierContract('a cluster as a tier', () =>
  Promise.resolve({
    pass: (ms) => systemClock.sleep(ms),
    ttlMsMin: 100,
    open: async () => new RedisTier({ namespace: 'tier-contract', wait: null }, await linked(address)),
  }),
)

test('a namespace lies on every primary', async () => {
  const keys = new RedisKeys('spread')
  const slots = await Promise.all(
    Array.from({ length: BUCKETS }, async (_, i) =>
      Number(await servers.all[0]!.admin.cluster('KEYSLOT', keys.claim(i, 'x'))),
    ),
  )
  expect(new Set(slots.map((slot) => Math.floor(slot / 5_462))).size).toBe(3)
})

const claims = async (namespace: string): Promise<RedisClaims> => {
  const options = { namespace, windowMs: 60_000, ttlMs: 60_000, wait: null }
  return new RedisClaims(options, { link: await linked(address), clock: systemClock, onLost: () => {} })
}

test.each([
  ['killed', (of: RedisProcess) => servers.kill(of), 0],
  ['frozen', (of: RedisProcess) => Promise.resolve(void of.child.kill('SIGSTOP')), 1],
] as const)(
  'a primary is %s: its replica goes on, and of every event one claim passes',
  async (name, away, primary) => {
    const store = await claims(`away-${name}`)
    const batch = Array.from({ length: 300 }, (_, i) => claimOf(`a${i}`, `order-${i}`))
    expect((await store.claim(batch, signal)).every(({ outcome }) => outcome === 'first')).toBe(true)
    // What is replicated is not lost.
    expect(await servers.all[primary]!.admin.wait(1, REPLICATED_MS_MAX)).toBe(1)
    await away(servers.all[primary]!)
    const again = async (): Promise<readonly string[]> => {
      try {
        const others = batch.map((claim) => ({ ...claim, origin: `b${claim.origin}` }))
        return (await store.claim(others, signal)).map(({ outcome }) => outcome)
      } catch (error) {
        expect(error).toMatchObject({ code: 'CLAIMS_UNAVAILABLE', kind: 'retry' })
        return []
      }
    }
    let outcomes: readonly string[] = []
    await until('the cluster answers again', async () => (outcomes = await again()).length > 0)
    expect(outcomes.filter((outcome) => outcome !== 'duplicate')).toEqual([])
    await store.close()
  },
)
