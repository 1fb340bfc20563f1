/** What a job names is what the task-manager opens: `.idempotent({ store })` from the descriptor to real servers, and the TiKV peer. */
import type { Claim, ClaimStore, IdempotentNode, SubtaskContext } from '@weir/dataflow'
import type { OperatorUid } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { postgres, tikv, type Claims } from '@weir/sdk'
import { Metrics, watchClaimTiers } from '@weir/telemetry'
import pg from 'pg'
import { afterAll, afterEach, expect, test } from 'vitest'
import { claimsOf } from '../../apps/task-manager/src/claims.ts'
import { TieredStores } from '../../apps/task-manager/src/tiered-claims.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { TikvCluster } from '../tikv/cluster.ts'

const { signal } = new AbortController()
const url = stackEndpoints().postgres!
const table = `weir_claim_stores_${process.pid}`
const HOUR_MS = 3_600_000
process.env['CLAIMS_TEST_URL'] = url

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(async () => {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`DROP TABLE IF EXISTS ${table}`)
  await client.end()
})

/** As the slot of one subtask opens it. */
function opened({ claims }: Claims, policy: IdempotentNode['onUnavailable'] = { policy: 'fail' }): ClaimStore {
  const node = {
    ...{ uid: 'once' as OperatorUid, claims, windowMs: HOUR_MS, ttlMs: HOUR_MS, rewindMs: 0, onUnavailable: policy },
  } as IdempotentNode
  const deps = { clock: systemClock, localDir: '/nowhere', tiered: new TieredStores() }
  const store = claimsOf(node, { jobId: 'job' } as SubtaskContext, deps, () => undefined)
  cleanups.push(() => store.close())
  return store
}

const claim = (bizKey: string, origin: string): Claim => ({
  key: { bizKey, eventType: '' },
  ...{ fingerprint: 'f', origin, attempt: { generation: 1, attempt: 1 } as Claim['attempt'], eventTime: 0 },
})
const outcomes = async (store: ClaimStore, ...claims: Claim[]): Promise<string[]> =>
  (await store.claim(claims, signal)).map(({ outcome }) => outcome)

async function stores(): Promise<readonly Claims[]> {
  const cluster = await TikvCluster.start({})
  cleanups.push(() => cluster.stop())
  return [tikv({ pd: cluster.pd, deadline: '5s' }), postgres.claims({ url: 'env:CLAIMS_TEST_URL', table })]
}

test('one of two subtasks wins a key, and passes again when its record is read again', async () => {
  for (const named of await stores()) {
    const [a, b] = [opened(named), opened(named)]
    expect(await outcomes(a, claim('k', 'a/1'), claim('l', 'a/2'))).toEqual(['first', 'first'])
    expect(await outcomes(b, claim('k', 'b/1'), claim('m', 'b/2'))).toEqual(['duplicate', 'first'])
    // Its own text is there: `first` or `replay`, as the port has it.
    const [again] = await outcomes(opened(named), claim('k', 'a/1'))
    expect(['first', 'replay']).toContain(again)
  }
})

test('what is asked of every store is in the metrics', async () => {
  for (const named of await stores()) {
    const { registry } = new Metrics('task-manager')
    cleanups.push(watchClaimTiers(registry))
    await outcomes(opened(named), claim('metered', 'a/1'), claim('metered too', 'a/2'))
    const text = await registry.metrics()
    const labels = 'namespace="job.once",tier="remote",operation="claim"'
    expect(text).toContain(`weir_claims_tier_keys_total{${labels},outcome="hit",service="task-manager"} 2`)
    expect(text).toMatch(/^weir_claims_tier_seconds_count\{.*namespace="job\.once".*\} 1$/m)
  }
})

test('a secret that no task-manager has is named before anything is opened', () => {
  const named = postgres.claims({ url: 'env:CLAIMS_TEST_NOWHERE' })
  expect(() => opened(named)).toThrow(expect.objectContaining({ code: 'SECRET_MISSING' }))
})

test('a cluster that is away when the attempt starts ends it only as onUnavailable says', async () => {
  const cluster = await TikvCluster.start({})
  const { pd } = cluster
  await cluster.stop()
  const store = opened(tikv({ pd }))
  await expect(store.claim([claim('k', 'a/1')], signal)).rejects.toMatchObject({ code: 'CLAIMS_UNAVAILABLE' })
})
