/**
 * A pool of connections that is exhausted, on the real PostgreSQL and the real object store, as a process shows it to a scrape: the
 * incident that WeirPoolExhausted is for.
 */
import { PostgresTier, RedisLink, redisAddress } from '@weir/idempotency'
import { KafkaConnections } from '@weir/kafka'
import { S3ObjectStore, etcdClient } from '@weir/metadata'
import { samplePools } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { PoolMetrics } from '@weir/telemetry'
import pg from 'pg'
import { Registry } from 'prom-client'
import { afterEach, expect, test } from 'vitest'
import { stackEndpoints } from '../stack/endpoints.ts'

const { etcd, kafka, redis, s3 } = stackEndpoints()
const postgres = stackEndpoints().postgres!
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const LOOK_MS = 20
/** Asks as Prometheus does, until it is so. */
async function scraped(registry: Registry, pool: string, is: (of: Readonly<Record<string, number>>) => boolean) {
  for (;;) {
    const metrics = await registry.getMetricsAsJSON()
    const values = metrics.flatMap(({ name, values: all }) => {
      const found = all.find(({ labels }) => labels['pool'] === pool)
      return found === undefined ? [] : [[name.replace('weir_pool_', ''), Number(found.value)] as const]
    })
    const of = Object.fromEntries(values)
    if (is(of)) return of
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

test('statements that hang take every connection to PostgreSQL: the others wait, and the time of it is counted', async () => {
  const table = `pool_${systemRandom.nonce().slice(0, 8)}`
  const tier = await PostgresTier.open({ url: postgres, namespace: 'pools', table, deadlineMs: 30_000 })
  const blocker = new pg.Client(postgres)
  await blocker.connect()
  closers.push(async () => {
    await tier.close()
    await blocker.query(`DROP TABLE ${table}`)
    await blocker.end()
  })
  const registry = new Registry()
  new PoolMetrics(registry)
  await blocker.query('BEGIN')
  await blocker.query(`LOCK TABLE ${table}`)
  const { signal } = new AbortController()
  const claims = Array.from({ length: 7 }, (_, i) => tier.claim([{ key: `k${i}`, value: 'v', ttlMs: 60_000 }], signal))
  const during = await scraped(registry, 'postgres-claims', (of) => of['exhausted_seconds_total']! > 0.2)
  expect(during).toMatchObject({ connections_open: 4, connections_busy: 4, connections_max: 4, waiting_requests: 3 })
  await blocker.query('COMMIT')
  expect(await Promise.all(claims)).toEqual(claims.map(() => [{ won: true }]))
  const behind = await scraped(registry, 'postgres-claims', () => true)
  expect(behind).toMatchObject({ connections_busy: 0, waiting_requests: 0 })
  // Nobody waits any more: it stands still.
  expect(await scraped(registry, 'postgres-claims', () => true)).toEqual(behind)
})

test('more requests than sockets to the object store: the others wait, and the time of it is counted', async () => {
  const store = new S3ObjectStore({
    ...{ endpoint: s3.url, region: 'us-east-1', bucket: s3.bucket, prefix: `pools-${systemRandom.nonce()}/` },
    ...{ credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey }, connectionsMax: 2 },
  })
  closers.push(() => store.close())
  const registry = new Registry()
  new PoolMetrics(registry)
  const keys = Array.from({ length: 40 }, (_, i) => `object-${i}`)
  await Promise.all(keys.map((key) => store.put(key, Buffer.alloc(64 * 1024))))
  const of = await scraped(registry, 's3', () => true)
  expect(of).toMatchObject({ connections_max: 2, waiting_requests: 0 })
  expect(of['connections_open']).toBeLessThanOrEqual(2)
  expect(of['exhausted_seconds_total']).toBeGreaterThan(0)
  await store.deleteMany(keys)
})

test('a pool that has room is not exhausted, however busy it is', async () => {
  const store = new S3ObjectStore({
    ...{ endpoint: s3.url, region: 'us-east-1', bucket: s3.bucket, prefix: `pools-${systemRandom.nonce()}/` },
    ...{ credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey } },
  })
  closers.push(() => store.close())
  const registry = new Registry()
  new PoolMetrics(registry)
  await Promise.all(Array.from({ length: 10 }, () => store.list('')))
  const of = await scraped(registry, 's3', () => true)
  expect(of).toMatchObject({ connections_max: 50, exhausted_seconds_total: 0 })
  expect(of['connections_open']).toBeGreaterThan(0)
})

test('where requests share a connection, those on their way are told; behind them nothing is, and a closed one is gone', async () => {
  const registry = new Registry()
  new PoolMetrics(registry)
  const { signal } = new AbortController()
  const link = new RedisLink(redisAddress(`redis://${redis}`), systemClock)
  await link.settled(signal)
  const list = `pools-${systemRandom.nonce()}`
  const blocked = link.call('BLPOP', [list, '1'], signal)
  expect(await scraped(registry, 'redis-claims', () => true)).toMatchObject({
    connections_open: 1,
    connections_busy: 1,
  })
  expect(await blocked).toBeNull()

  const client = etcdClient({ hosts: [etcd], cluster: 'pools' })
  // One is over sooner than anybody looks.
  let isSeen = false
  const asked = (async () => {
    while (!isSeen) await client.get('pools').string()
  })()
  await scraped(registry, 'etcd', (of) => of['connections_busy']! > 0)
  isSeen = true
  await asked
  expect(await scraped(registry, 'etcd', () => true)).toMatchObject({ connections_busy: 0 })

  const connections = new KafkaConnections({ brokers: [kafka], clientId: 'weir-pools' }, { clock: systemClock })
  await connections.transactionProtocol()
  const idle = { connections_busy: 0, waiting_requests: 0, exhausted_seconds_total: 0 }
  expect(await scraped(registry, 'kafka', (of) => of['connections_open']! > 0)).toMatchObject(idle)

  await Promise.all([link.close(), connections.close()])
  client.close()
  expect(samplePools()).toEqual([])
})
