import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { afterEach, describe, expect, test } from 'vitest'
import { TikvCluster, type ClusterOptions } from '../../../../test/tikv/cluster.ts'
import { scriptedFaults } from '../../../../test/tikv/faults.ts'
import { regionError } from '../../../../test/tikv/topology.ts'
import { claimStoreContract } from '../testing/claim-store-contract.ts'
import { claimTierContract } from '../testing/claim-tier-contract.ts'
import { TierClaims } from '../tier-claims.ts'
import { BREAKER, TikvTier, type TikvTierOptions } from './tikv-tier.ts'

const { signal } = new AbortController()
const deps = { clock: systemClock, random: systemRandom }
const HOUR = 3_600_000
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function started(options: ClusterOptions = {}): Promise<TikvCluster> {
  const cluster = await TikvCluster.start(options)
  cleanups.push(() => cluster.stop())
  return cluster
}

async function opened(cluster: TikvCluster, options: Partial<TikvTierOptions> = {}): Promise<TikvTier> {
  const tier = await TikvTier.open({ pd: cluster.pd, namespace: 'test', deadlineMs: 5_000, ...options }, deps, signal)
  cleanups.push(() => tier.close())
  return tier
}

/** Somewhere among the keys that were written: every few requests the regions change under the client. */
function restless(cluster: TikvCluster): void {
  let asked = 0
  cluster.faults = () => {
    const { applied, apiVersion } = cluster.data
    const key = applied[asked % Math.max(1, applied.length)]?.key
    if (key === undefined || ++asked % 41 !== 0) return null
    const wire = Buffer.from(key, 'latin1')
    const user = (apiVersion === 2 ? wire.subarray(4) : wire).toString()
    const turn = (asked / 41) % 4
    if (turn < 2) cluster.split(user)
    else if (turn === 2) cluster.transfer(user, cluster.stores[asked % cluster.stores.length]!.id)
    else cluster.merge(user)
    return null
  }
}

for (const [name, apiVersion] of [
  ['api v2', 2],
  ['api v1 with TTL', 'v1ttl'],
] as const)
  claimTierContract(`TiKV's protocol, ${name}, regions that change`, async () => {
    const cluster = await started({ apiVersion })
    restless(cluster)
    return {
      ttlMsMin: 1_000,
      // Client, stores and PD share a thread here: time is for the machine, not for what is tested.
      open: () =>
        TikvTier.open({ pd: cluster.pd, namespace: 'contract', apiVersion, deadlineMs: 10_000 }, deps, signal),
      pass: (ms) => {
        cluster.aheadSeconds += Math.ceil(ms / 1_000)
        return Promise.resolve()
      },
    }
  })

claimStoreContract('claims in TiKV', async () => {
  const cluster = await started()
  // A hundred times slower, since TiKV counts whole seconds.
  return {
    open: async (options) => {
      const at = { pd: cluster.pd, namespace: 'claims', deadlineMs: 10_000 }
      return new TierClaims({ ...options, ttlMs: 100 * options.ttlMs }, await TikvTier.open(at, deps, signal))
    },
    pass: (ms) => {
      cluster.aheadSeconds += Math.ceil((100 * ms) / 1_000)
      return Promise.resolve()
    },
  }
})

describe('opening', () => {
  test('a server without TTL is refused, with what to set', async () => {
    const cluster = await started({ apiVersion: 'v1' })
    await expect(opened(cluster, { apiVersion: 'v1ttl' })).rejects.toMatchObject({
      code: 'TIKV_TTL_DISABLED',
      kind: 'invalid',
      message: expect.stringContaining('storage.api-version = 2') as string,
    })
  })

  test('the other api version is refused, with the question to ask', async () => {
    const cluster = await started({ apiVersion: 'v1ttl' })
    await expect(opened(cluster)).rejects.toMatchObject({
      code: 'TIKV_REFUSED',
      kind: 'invalid',
      message: expect.stringContaining('Is apiVersion what the servers run') as string,
    })
  })

  test('a keyspace is known by name, and its keys are apart', async () => {
    const cluster = await started({ keyspaces: { DEFAULT: 0, payments: 7 } })
    const [payments, other] = [await opened(cluster, { keyspace: 'payments' }), await opened(cluster)]
    await payments.claim([{ key: 'k', value: 'a', ttlMs: HOUR }], signal)
    expect(await other.get('k', signal)).toBeNull()
    expect(cluster.data.applied.at(-1)?.key).toBe(cluster.wireKey('test\0k', 7).toString('latin1'))
    await expect(opened(cluster, { keyspace: 'nowhere' })).rejects.toMatchObject({ code: 'TIKV_KEYSPACE' })
  })

  test('nobody there is an outage, not a mistake', async () => {
    const cluster = await started()
    const { pd } = cluster
    cluster.stop()
    await expect(TikvTier.open({ pd, namespace: 'n', openMs: 300 }, deps, signal)).rejects.toMatchObject({
      code: 'CLAIM_TIER_UNAVAILABLE',
      kind: 'retry',
    })
  })

  test.each([
    [{ pd: [] }, 'at least one PD member'],
    [{ pd: ['http://pd:2379'] }, 'leave "http://" out'],
    [{ apiVersion: 1 as never }, 'kept for ever'],
    [{ apiVersion: 'v1ttl' as const, keyspace: 'x' }, 'keyspaces are of apiVersion 2'],
    [{ deadlineMs: 0 }, 'from 5 to 10,000'],
  ])('%j is refused: %s', async (options, message) => {
    const all = { pd: ['127.0.0.1:1'], namespace: 'n', ...options }
    await expect(TikvTier.open(all, deps, signal)).rejects.toMatchObject({
      code: 'TIKV_OPTIONS',
      message: expect.stringContaining(message) as string,
    })
  })
})

describe('TLS', () => {
  /** One certificate is the authority, the servers' and the client's. */
  async function certificate(): Promise<{ key: Buffer; cert: Buffer; ca: Buffer }> {
    const dir = await mkdtemp(join(tmpdir(), 'weir-tls-'))
    cleanups.push(() => rm(dir, { recursive: true, force: true }))
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
    const subject = ['-subj', '/CN=weir', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:tikv', '-days', '1']
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' })
    const pem = await readFile(cert)
    return { key: await readFile(key), cert: pem, ca: pem }
  }

  test('PD and stores are asked with the client’s certificate, and not without', async () => {
    const tls = await certificate()
    const cluster = await started({ tls })
    const tier = await opened(cluster, { tls })
    expect(await tier.claim([{ key: 'k', value: 'a', ttlMs: HOUR }], signal)).toEqual([{ won: true }])
    await expect(opened(cluster, { tls: { ca: tls.ca }, deadlineMs: 100, openMs: 500 })).rejects.toMatchObject({
      code: 'CLAIM_TIER_UNAVAILABLE',
    })
    await expect(opened(cluster, { deadlineMs: 100, openMs: 500 })).rejects.toMatchObject({
      code: 'CLAIM_TIER_UNAVAILABLE',
    })
  })
})

describe('a claim whose answer was lost', () => {
  test('has won, and says so', async () => {
    const cluster = await started()
    const tier = await opened(cluster)
    cluster.faults = scriptedFaults('rawCompareAndSwap', [{ type: 'loseAnswer' }])
    expect(await tier.claim([{ key: 'k', value: 'mine', ttlMs: HOUR }], signal)).toEqual([{ won: true }])
    expect(cluster.stores.reduce((sum, { retries }) => sum + retries, 0)).toBeGreaterThan(0)
  })

  test('has lost to who was there before', async () => {
    const cluster = await started()
    const tier = await opened(cluster)
    await tier.claim([{ key: 'k', value: 'first', ttlMs: HOUR }], signal)
    cluster.faults = scriptedFaults('rawCompareAndSwap', [{ type: 'loseAnswer' }, { type: 'hangBehind' }])
    expect(await tier.claim([{ key: 'k', value: 'mine', ttlMs: HOUR }], signal)).toEqual([
      { won: false, there: 'first' },
    ])
  })

  test('is undetermined when time ends first, and the same call tells', async () => {
    const cluster = await started()
    const tier = await opened(cluster, { deadlineMs: 100 })
    cluster.faults = (asked) => (asked.method === 'rawCompareAndSwap' ? { type: 'hangBehind' } : null)
    const entry = { key: 'k', value: 'mine', ttlMs: HOUR }
    await expect(tier.claim([entry], signal)).rejects.toMatchObject({
      code: 'CLAIM_TIER_UNAVAILABLE',
      cause: { code: 'TIKV_UNDETERMINED' },
    })
    cluster.faults = () => null
    const patient = await opened(cluster)
    expect(await patient.claim([entry], signal)).toEqual([{ won: true }])
  })
})

describe('a call is over in time', () => {
  test('when the leader of the region dies: the next one is asked at once', async () => {
    const cluster = await started()
    const tier = await opened(cluster)
    await tier.claim([{ key: 'a', value: 'x', ttlMs: HOUR }], signal)
    cluster.leaderOf('test\0a').stop()
    cluster.transfer('test\0a', 2n)
    const before = performance.now()
    expect(await tier.claim([{ key: 'b', value: 'x', ttlMs: HOUR }], signal)).toEqual([{ won: true }])
    expect(performance.now() - before).toBeLessThan(2_000)
  })

  test('when PD still names the dead leader: the other peers know better', async () => {
    const cluster = await started()
    const tier = await opened(cluster)
    await tier.claim([{ key: 'a', value: 'x', ttlMs: HOUR }], signal)
    cluster.leaderOf('test\0a').stop()
    const late = setTimeout(() => cluster.transfer('test\0a', 3n), 60)
    cleanups.push(() => clearTimeout(late))
    expect(await tier.claim([{ key: 'b', value: 'x', ttlMs: HOUR }], signal)).toEqual([{ won: true }])
  })

  test('when a store hangs: the deadline ends it', async () => {
    const cluster = await started()
    const tier = await opened(cluster, { deadlineMs: 100 })
    cluster.faults = () => ({ type: 'hangBefore' })
    const before = performance.now()
    await expect(tier.get('k', signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_UNAVAILABLE' })
    expect(performance.now() - before).toBeLessThan(2_000)
  })

  test('when a store is busy for longer than that', async () => {
    const cluster = await started()
    const tier = await opened(cluster)
    const serverIsBusy = { reason: 'write stall', backoffMs: 60_000n, estimatedWaitMs: 0 }
    cluster.faults = () => ({ type: 'regionError', error: regionError('', { serverIsBusy }) })
    await expect(tier.get('k', signal)).rejects.toMatchObject({ cause: { code: 'TIKV_BUSY' } })
  })

  test('when it is aborted', async () => {
    const cluster = await started()
    const tier = await opened(cluster)
    cluster.faults = () => ({ type: 'hangBefore' })
    const abort = new AbortController()
    const call = tier.get('k', abort.signal)
    const reason = new Error('the attempt is over')
    abort.abort(reason)
    await expect(call).rejects.toBe(reason)
  })

  test('and after some that were not answered the next ones fail at once', async () => {
    const cluster = await started()
    const tier = await opened(cluster, { deadlineMs: 20 })
    cluster.faults = () => ({ type: 'hangBefore' })
    for (let i = 0; i < BREAKER.failures; i++) await expect(tier.get('k', signal)).rejects.toThrow()
    const asked = cluster.stores.map(({ counts }) => counts.get('rawGet'))
    await expect(tier.get('k', signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_UNAVAILABLE' })
    expect(cluster.stores.map(({ counts }) => counts.get('rawGet'))).toEqual(asked)
  })
})

describe('PD', () => {
  test('a member that leads no more sends on to the one that does', async () => {
    const cluster = await started({ pdMembers: 3 })
    const tier = await opened(cluster)
    cluster.pdLeader = cluster.members[2]!
    cluster.split('test\0m')
    expect(await tier.claim([{ key: 'z', value: 'x', ttlMs: HOUR }], signal)).toEqual([{ won: true }])
  })

  test('a member that is down is passed over', async () => {
    const cluster = await started({ pdMembers: 3 })
    cluster.members[0]!.stop()
    cluster.pdLeader = cluster.members[1]!
    expect(await (await opened(cluster)).get('k', signal)).toBeNull()
  })

  test('one question is enough for a batch over many regions', async () => {
    const cluster = await started({ pdMembers: 1 })
    for (let i = 0; i < 20; i++) cluster.split(`test\0k${String(i).padStart(2, '0')}`)
    const tier = await opened(cluster)
    const asked = cluster.members[0]!.counts.get('getRegion') ?? 0
    const keys = Array.from({ length: 200 }, (_, i) => `k${String(i % 20).padStart(2, '0')}/${i}`)
    expect(await tier.getMany(keys, signal)).toEqual(keys.map(() => null))
    expect(cluster.members[0]!.counts.get('scanRegions')).toBe(1)
    expect(cluster.members[0]!.counts.get('getRegion') ?? 0).toBe(asked)
  })
})

test('a value that Weir has not written is named, not taken for a claim', async () => {
  const cluster = await started()
  const tier = await opened(cluster)
  cluster.data.put(cluster.wireKey('test\0k'), Buffer.from('of another'), 0n)
  await expect(tier.get('k', signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_CORRUPT', kind: 'invalid' })
})

test('what is released leaves a tombstone that goes by itself', async () => {
  const cluster = await started()
  const tier = await opened(cluster)
  await tier.claim([{ key: 'k', value: 'a', ttlMs: HOUR }], signal)
  await tier.release('k', 'a', signal)
  expect(cluster.data.ttl(cluster.wireKey('test\0k'))).toBeGreaterThan(0)
  expect(await tier.get('k', signal)).toBeNull()
  cluster.aheadSeconds += 21
  expect(cluster.data.get(cluster.wireKey('test\0k'))).toBeNull()
})
