/** The doctor asks a real etcd and a real S3, and one that is not what it should be. */
import { asked, examine } from '@weir/dataflow'
import type { PutOutcome, StoredObject } from '@weir/checkpoint'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { randomUUID } from 'node:crypto'
import { afterAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { S3ObjectStore, etcdClient, etcdFacts, httpClock, objectsFacts } from './index.ts'

const { etcd, s3 } = stackEndpoints()
const deps = { clock: systemClock, random: systemRandom }
const s3Options = (bucket = s3.bucket) => ({
  ...{ endpoint: s3.url, region: 'us-east-1', bucket, prefix: `t-${randomUUID()}/` },
  credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey },
})
const address = { hosts: [etcd], cluster: `t-${randomUUID()}` }
const client = etcdClient(address)
afterAll(() => client.close())

test('an etcd tells its members, its room and how fast it is, and nothing stays there', async () => {
  const facts = await etcdFacts(client, address, deps)
  expect(facts).toMatchObject({ members: 1, alarms: [], quotaBytes: 2 * 1024 ** 3 })
  expect(facts.dbBytes).toBeGreaterThan(0)
  expect(facts.writeMs).toBeGreaterThan(0)
  expect(await client.getAll().prefix(`/weir/${address.cluster}/`).keys()).toEqual([])
})

test('an object store that honours conditions and reads what was written', async () => {
  const objects = new S3ObjectStore(s3Options())
  expect(await objectsFacts(objects, deps)).toMatchObject({ conditions: true, stale: [] })
  expect(await objects.list('')).toEqual([])
  await objects.close()
})

test('a store behind a cache that takes any write is told', async () => {
  /** Remembers the first answer to each read, a missing object too, and ignores If-Match and If-None-Match. */
  class Cached extends S3ObjectStore {
    readonly #seen = new Map<string, StoredObject | null>()
    override put(key: string, bytes: Uint8Array): Promise<PutOutcome> {
      return super.put(key, bytes)
    }
    override async get(key: string): Promise<StoredObject | null> {
      if (!this.#seen.has(key)) this.#seen.set(key, await super.get(key))
      return this.#seen.get(key)!
    }
  }
  const objects = new Cached(s3Options())
  const facts = await objectsFacts(objects, deps)
  expect(facts).toMatchObject({ conditions: false, stale: ['a new object', 'an overwritten object'] })
  await objects.close()
})

test('a bucket that is not there is said to be so, with what to check', async () => {
  const objects = new S3ObjectStore(s3Options('no-such-bucket'))
  const answer = await asked('s3', { clock: systemClock, boundMs: 30_000 }, () => objectsFacts(objects, deps))
  expect(examine({ objects: answer })).toMatchObject([{ code: 'NOT_EXAMINED', severity: 'warning', what: 's3' }])
  expect(JSON.stringify(answer)).toContain('NoSuchBucket')
  await objects.close()
})

test('an etcd that never answers holds nobody up', async () => {
  const gone = { hosts: ['127.0.0.1:1'], cluster: 'x' }
  const nobody = etcdClient(gone)
  const answer = await asked('etcd', { clock: systemClock, boundMs: 300 }, () => etcdFacts(nobody, gone, deps))
  expect(answer).toMatchObject({ name: 'etcd', unanswered: { message: expect.any(String) as string } })
  nobody.close()
})

test('servers tell their time with every answer, to the second', async () => {
  const { signal } = new AbortController()
  for (const url of [`http://${etcd}/health`, s3.url]) {
    const { offsetMs, uncertaintyMs } = await httpClock(url, systemClock, signal)
    expect(Math.abs(offsetMs)).toBeLessThanOrEqual(uncertaintyMs + 5)
  }
})
