import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../../test/stack/endpoints.ts'
import { claimStoreContract } from '../testing/claim-store-contract.ts'
import { claimTierContract } from '../testing/claim-tier-contract.ts'
import { TierClaims } from '../tier-claims.ts'
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
