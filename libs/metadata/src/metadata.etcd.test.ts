/** Election, job records and both arbiters on a real etcd and a real S3. */
import { attempt, digest, epoch, jobId, generation } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { PART_BYTES_MIN, type PutOutcome } from '@weir/checkpoint'
import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import {
  ArbitratedCheckpointStore,
  EtcdElection,
  EtcdHeadRegister,
  EtcdJobStore,
  GENERATION_KEY,
  S3ObjectStore,
  etcdClient,
  fixArbiters,
  type ArbiterKind,
  type EtcdLeadership,
} from './index.ts'
import { leaderKey } from './etcd.ts'
import { checkpointStoreContract, objectStoreContract } from './testing/contracts.ts'

const { etcd, s3 } = stackEndpoints()
const self = { grpcAddress: '127.0.0.1:1', restAddress: '127.0.0.1:2' }
const s3Options = (prefix = `t-${randomUUID()}/`) => ({
  endpoint: s3.url,
  region: 'us-east-1',
  bucket: s3.bucket,
  prefix,
  credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey },
})
/** What a store does that ignores If-Match and If-None-Match. */
class Unconditional extends S3ObjectStore {
  override put(key: string, bytes: Uint8Array): Promise<PutOutcome> {
    return super.put(key, bytes)
  }
}
const client = etcdClient({ hosts: [etcd], cluster: 'none' })
afterAll(() => client.close())

function cluster(ttlSeconds = 2, conditionalObjects = true) {
  const name = `t-${randomUUID()}`
  const objects = conditionalObjects ? new S3ObjectStore(s3Options()) : new Unconditional(s3Options())
  const candidate = () =>
    new EtcdElection(client, objects, { cluster: name, ttlSeconds, conditionalObjects }, systemClock)
  const scope = (leadership: EtcdLeadership) => ({ client, cluster: name, term: leadership.term })
  return { name, objects, candidate, scope }
}
const never = new AbortController().signal

describe('objects in S3', () => {
  objectStoreContract(() => new S3ObjectStore(s3Options()))

  test('a large object goes in parts, each with its checksum; unseen before the last', async () => {
    const store = new S3ObjectStore(s3Options())
    const parts = [1, 2, 3].map((n) => Buffer.alloc(n === 3 ? 17 : PART_BYTES_MIN, n))
    const upload = await store.multipart('large')
    // Side by side, and one of them again.
    await Promise.all(parts.map((bytes, i) => upload.part(i + 1, bytes)))
    await upload.part(2, parts[1]!)
    expect(await store.get('large')).toBeNull()
    await upload.complete()
    await upload.complete() // its answer was lost
    expect(Buffer.concat(parts).equals((await store.get('large'))!.bytes)).toBe(true)
    expect(Buffer.from((await store.readRange('large', PART_BYTES_MIN - 1, PART_BYTES_MIN + 1))!)).toEqual(
      Buffer.from([1, 2]),
    )
    const given = await store.multipart('given-up')
    await given.part(1, parts[2]!)
    await given.abort()
    expect(await store.get('given-up')).toBeNull()
  })

  test('C2: the probe tells a store with conditional writes from one without', async () => {
    expect(await new S3ObjectStore(s3Options()).honoursConditions(systemRandom)).toBe(true)
    expect(await new Unconditional(s3Options()).honoursConditions(systemRandom)).toBe(false)
  })

  test('a wrong secret, a missing bucket and a missing server are told apart', async () => {
    const wrong = new S3ObjectStore({ ...s3Options(), credentials: { accessKeyId: 'weir', secretAccessKey: 'no' } })
    await expect(wrong.get('k')).rejects.toMatchObject({ code: 'OBJECT_STORE_REFUSED', kind: 'invalid' })
    const none = new S3ObjectStore({ ...s3Options(), bucket: 'no-such-bucket' })
    await expect(none.put('k', Buffer.from('1'), { ifNoneMatch: '*' })).rejects.toMatchObject({
      code: 'OBJECT_STORE_REFUSED',
    })
    const away = new S3ObjectStore({ ...s3Options(), endpoint: 'http://127.0.0.1:1' })
    await expect(away.get('k')).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' })
  })
})

describe.each<ArbiterKind>(['etcd', 's3', 'etcd-alone'])('arbiter %s', (kind) => {
  checkpointStoreContract(
    async () => {
      const { objects, candidate, scope } = cluster(2, kind !== 'etcd-alone')
      let current: EtcdLeadership | null = null
      return {
        async next(job) {
          await current?.resign()
          current = await candidate().campaign(self, never)
          const store = new ArbitratedCheckpointStore(jobId(job), current.generation, kind, {
            objects,
            register: new EtcdHeadRegister(scope(current)),
            random: systemRandom,
          })
          return { store, generation: current.generation }
        },
        close: async () => void (await current?.resign()),
      }
    },
    // With head.json alone a leader goes on until the next one has claimed the job.
    { over: kind === 's3' ? 'claim' : 'election' },
  )
})

describe('election', () => {
  test('one leads; who waits takes over when it resigns, in a higher generation', async () => {
    const { candidate } = cluster()
    const first = await candidate().campaign(self, never)
    const second = candidate()
    const waiting = second.campaign({ ...self, grpcAddress: 'other:1' }, never)
    expect(await second.leader()).toMatchObject({ ...self, generation: first.generation })
    await first.resign()
    expect(first.signal.aborted).toBe(true)
    const next = await waiting
    expect(next.generation).toBeGreaterThan(first.generation)
    expect(await second.leader()).toMatchObject({ grpcAddress: 'other:1', generation: next.generation })
    await next.resign()
    expect(await second.leader()).toBeNull()
  })

  test('a leader whose key was taken from it stops by itself within its lease', async () => {
    const { candidate, name } = cluster()
    const leadership = await candidate().campaign(self, never)
    const ended = new Promise((resolve) => leadership.signal.addEventListener('abort', resolve))
    const lease = (await client.get(leaderKey(name)).exec()).kvs[0]!.lease
    await client.leaseClient.leaseRevoke({ ID: lease })
    await ended
    expect(leadership.signal.reason).toMatchObject({ code: 'LEADERSHIP_LOST', kind: 'fenced' })
  })

  test('a waiting candidate gives up with its signal', async () => {
    const { candidate } = cluster()
    const leader = await candidate().campaign(self, never)
    const abort = new AbortController()
    const waiting = candidate().campaign(self, abort.signal)
    abort.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await leader.resign()
  })

  test('a rebuilt etcd counts from the beginning, generations do not (C1)', async () => {
    const { candidate, objects } = cluster()
    await objects.put(GENERATION_KEY, Buffer.from(JSON.stringify({ generation: 1_000_000_000 })))
    const leadership = await candidate().campaign(self, never)
    expect(leadership.generation).toBe(generation(1_000_000_001))
    await leadership.resign()
  })
})

test('C2: the arbiters of a cluster are fixed by its first job-manager', async () => {
  const { name } = cluster()
  await fixArbiters(client, name, 'etcd-and-objects')
  await fixArbiters(client, name, 'etcd-and-objects')
  await expect(fixArbiters(client, name, 'etcd')).rejects.toMatchObject({ code: 'ARBITERS_CHANGED', kind: 'invalid' })
})

describe('job records', () => {
  const record = (id: string) => ({
    jobId: jobId(id),
    name: id,
    bundleDigest: 'd' as never,
    graphHash: 'g',
    plan: { version: 1 },
    submittedAt: 1,
    desired: 'running' as const,
    ended: null,
  })

  test('created once, changed by compare-and-swap, listed', async () => {
    const { candidate, scope } = cluster()
    const leadership = await candidate().campaign(self, never)
    const jobs = new EtcdJobStore(scope(leadership))
    expect(await jobs.create(record('a'))).toBe(true)
    expect(await jobs.create(record('a'))).toBe(false)
    await Promise.all(
      Array.from({ length: 5 }, () => jobs.update(jobId('a'), (r) => ({ ...r, submittedAt: r.submittedAt + 1 }))),
    )
    expect((await jobs.get(jobId('a')))!.submittedAt).toBe(6)
    expect(await jobs.get(jobId('none'))).toBeNull()
    expect((await jobs.list()).map((r) => r.jobId)).toEqual(['a'])
    await leadership.resign()
  })

  test('a leader of an earlier term changes nothing', async () => {
    const { candidate, scope } = cluster()
    const old = await candidate().campaign(self, never)
    const jobs = new EtcdJobStore(scope(old))
    await jobs.create(record('a'))
    await old.resign()
    const next = await candidate().campaign(self, never)
    await expect(jobs.update(jobId('a'), (r) => ({ ...r, desired: 'cancelled' }))).rejects.toMatchObject({
      code: 'LEADERSHIP_LOST',
      kind: 'fenced',
    })
    await expect(jobs.create(record('b'))).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' })
    await next.resign()
  })

  test('nor one whose revision came again, in an etcd that was restored from a backup', async () => {
    const { candidate, scope } = cluster()
    const old = await candidate().campaign(self, never)
    await old.resign()
    const next = await candidate().campaign(self, never)
    const again = { ...scope(old), term: { ...old.term, revision: next.term.revision } }
    await expect(new EtcdJobStore(again).create(record('a'))).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' })
    const register = new EtcdHeadRegister(again)
    const head = { epoch: epoch(1), parentEpoch: epoch(0), generation: next.generation, attempt: attempt(1) }
    const ref = { ...head, key: 'm', digest: digest('0'.repeat(64)) }
    expect((await register.read(jobId('a'))).leading).toBe(false)
    expect(await register.swap(jobId('a'), ref, '0')).toMatchObject({ won: false, view: { leading: false } })
    expect((await new EtcdHeadRegister(scope(next)).swap(jobId('a'), ref, '0')).won).toBe(true)
    await next.resign()
  })
})
