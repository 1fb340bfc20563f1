import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../../test/stack/endpoints.ts'
import { claimStoreContract } from '../testing/claim-store-contract.ts'
import { claimTierContract } from '../testing/claim-tier-contract.ts'
import { TierClaims } from '../tier-claims.ts'
import { observePostgres } from './postgres-facts.ts'
import { POSTGRES_CONNECTIONS_MAX } from './postgres-pool.ts'
import { PostgresTier } from './postgres-tier.ts'

const { signal } = new AbortController()
const url = stackEndpoints().postgres!
const table = `weir_claims_test_${process.pid}`
const HOUR = 3_600_000
afterAll(async () => {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`DROP TABLE IF EXISTS ${table}`)
  await client.end()
})

claimTierContract('PostgreSQL', () =>
  Promise.resolve({
    ttlMsMin: 20,
    open: () => PostgresTier.open({ url, namespace: 'contract', table }),
    // The server's clock cannot be set on.
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  }),
)

claimStoreContract('claims in PostgreSQL', () =>
  Promise.resolve({
    open: async (options) => new TierClaims(options, await PostgresTier.open({ url, namespace: 'claims', table })),
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  }),
)

test('batches with the same keys in another order do not lock each other out', async () => {
  const tier = await PostgresTier.open({ url, namespace: 'order', table })
  const keys = Array.from({ length: 200 }, (_, i) => `k${i}`)
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, client) => {
      const entries = keys.map((key) => ({ key, value: `by ${client}`, ttlMs: HOUR }))
      return tier.claim(client % 2 === 0 ? entries : entries.toReversed(), signal)
    }),
  )
  expect(answers.flat().filter(({ won }) => won)).toHaveLength(keys.length)
  await tier.close()
})

test('rows whose time is over are deleted by and by', async () => {
  const tier = await PostgresTier.open({ url, namespace: 'sweep', table })
  const batch = (name: string, ttlMs: number): Promise<unknown> =>
    tier.claim(
      Array.from({ length: 1_100 }, (_, i) => ({ key: `${name}${i}`, value: 'x', ttlMs })),
      signal,
    )
  await batch('old', 1)
  await batch('new', HOUR)
  await batch('newer', HOUR)
  await tier.close()
  const client = new pg.Client(url)
  await client.connect()
  const { rows } = await client.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM ${table} WHERE namespace = 'sweep' AND expires_at <= clock_timestamp()`,
  )
  await client.end()
  expect(rows[0]!.n).toBeLessThan(1_100)
})

test('namespaces do not meet', async () => {
  const [one, other] = [
    await PostgresTier.open({ url, namespace: 'one', table }),
    await PostgresTier.open({ url, namespace: 'other', table }),
  ]
  await one.claim([{ key: 'k', value: 'a', ttlMs: HOUR }], signal)
  expect(await other.get('k', signal)).toBeNull()
  await one.close()
  await other.close()
})

test('a server that is not there is an outage; a wrong password or table name a mistake', async () => {
  const nowhere = PostgresTier.open({ url: 'postgres://weir:x@127.0.0.1:1/postgres', namespace: 'n' })
  await expect(nowhere).rejects.toMatchObject({ code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry' })
  const wrong = PostgresTier.open({ url: url.replace('weirsecret', 'wrong'), namespace: 'n' })
  await expect(wrong).rejects.toMatchObject({ code: 'CLAIM_TIER_REFUSED', kind: 'invalid' })
  await expect(PostgresTier.open({ url, namespace: 'n', table: 'x; DROP' })).rejects.toMatchObject({
    code: 'CLAIM_TIER_OPTIONS',
  })
})

test('operators of one thread share their connections, which close behind the last of them', async () => {
  // A name of its own to be counted by: other tests have connections to this server.
  const name = `weir-test-${process.pid}`
  const named = new URL(url)
  named.searchParams.set('application_name', name)
  const counting = new pg.Client(url)
  await counting.connect()
  const connections = async (): Promise<number> => {
    const { rows } = await counting.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = $1',
      [name],
    )
    return rows[0]!.count
  }
  const open = (namespace: string): Promise<PostgresTier> => PostgresTier.open({ url: named.href, namespace, table })
  const tiers = await Promise.all(['one', 'two', 'three'].map(open))
  const claims = tiers.flatMap((tier) =>
    Array.from({ length: 20 }, (_, i) => tier.claim([{ key: `k${i}`, value: 'v', ttlMs: HOUR }], signal)),
  )
  await Promise.all(claims)
  expect(await connections()).toBe(POSTGRES_CONNECTIONS_MAX)
  const [first, ...others] = tiers
  await first!.close()
  expect(await others[0]!.get('k1', signal)).toBe('v')
  for (const tier of others) await tier.close()
  await expect.poll(connections, { timeout: 20_000 }).toBe(0)
  const again = await open('one')
  expect(await again.get('k1', signal)).toBe('v')
  await again.close()
  await counting.end()
})

test('the doctor is told how many connections a server has for how many of a slot', async () => {
  const facts = await observePostgres(url, AbortSignal.timeout(30_000))
  expect(facts.connectionsPerSlot).toBe(POSTGRES_CONNECTIONS_MAX)
  expect(facts.connectionsMax).toBeGreaterThan(facts.connectionsUsed)
  expect(facts.connectionsUsed).toBeGreaterThanOrEqual(0)
  await expect(observePostgres('postgres://127.0.0.1:1/none', AbortSignal.timeout(30_000))).rejects.toMatchObject({
    code: 'CLAIM_TIER_UNAVAILABLE',
    kind: 'retry',
  })
})
