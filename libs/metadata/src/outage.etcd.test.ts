/** etcd is killed under a leader and comes back: a server of this test's own. */
import type { Manifest, ManifestRef } from '@weir/checkpoint'
import { attempt, epoch, jobId, type Generation } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { PrivateServer } from '../../../test/stack/private-server.ts'
import {
  ArbitratedCheckpointStore,
  EtcdElection,
  EtcdHeadRegister,
  S3ObjectStore,
  etcdClient,
  type EtcdLeadership,
} from './index.ts'

const { s3 } = stackEndpoints()
const TTL_SECONDS = 2
const id = jobId('j')
const self = { grpcAddress: '127.0.0.1:1', restAddress: '127.0.0.1:2' }
let etcd: PrivateServer<'etcd'>
let client: ReturnType<typeof etcdClient>
beforeAll(async () => {
  etcd = await PrivateServer.start('etcd')
  client = etcdClient({ hosts: [etcd.endpoint], cluster: 'none' })
})
afterAll(async () => {
  client.close()
  await etcd.close()
})

function cluster() {
  const name = `t-${randomUUID()}`
  const objects = new S3ObjectStore({
    endpoint: s3.url,
    region: 'us-east-1',
    bucket: s3.bucket,
    prefix: `${name}/`,
    credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey },
  })
  const register = (term: EtcdLeadership) => new EtcdHeadRegister({ client, cluster: name, term: term.term })
  return {
    campaign: () =>
      new EtcdElection(
        client,
        objects,
        { cluster: name, ttlSeconds: TTL_SECONDS, conditionalObjects: true },
        systemClock,
      ).campaign(self, new AbortController().signal),
    register,
    store: (term: EtcdLeadership) =>
      new ArbitratedCheckpointStore(id, term.generation, 'etcd', {
        objects,
        register: register(term),
        random: systemRandom,
      }),
  }
}
const manifest = (generation: Generation, n: number, parent: ManifestRef | null): Manifest => ({
  formatVersion: 1,
  jobId: id,
  epoch: epoch(n),
  generation,
  attempt: attempt(1),
  parentEpoch: parent?.epoch ?? epoch(0),
  parentDigest: parent?.digest ?? null,
  graphHash: 'g',
  parallelism: 1,
  maxParallelism: 128,
  triggeredAt: 1,
  lastCommittedAt: null,
  subtasks: [],
})

test('etcd killed for longer than the lease: the term goes on as a caretaker, and is live again with etcd', async () => {
  const { campaign, store, register } = cluster()
  const term = await campaign()
  const arbiters = store(term)
  expect(await arbiters.claim()).toMatchObject({ kind: 'claimed', published: null })
  const publish = async (n: number, parent: ManifestRef | null): Promise<ManifestRef> => {
    const ref = await arbiters.writeManifest(manifest(term.generation, n, parent))
    expect(await arbiters.publish(ref)).toMatchObject({ kind: 'published', published: { manifest: ref } })
    return ref
  }
  const one = await publish(1, null)
  expect(arbiters.degraded).toBe(false)

  await etcd.kill()
  const two = await publish(2, one)
  expect(arbiters.degraded).toBe(true)
  await systemClock.sleep(TTL_SECONDS * 1_000) // the lease's end is what is tested
  expect(term.live).toBe(false)
  expect(term.signal.aborted).toBe(false)
  const three = await publish(3, two)
  expect(await arbiters.reconcile()).toMatchObject({ kind: 'degraded' })
  // A restart of the job inside the outage: the swap of head.json proves that it is still ours (A8).
  expect(await arbiters.claim()).toMatchObject({ kind: 'claimed', published: three })

  await etcd.start()
  while (!term.live) await systemClock.sleep(20)
  while ((await arbiters.reconcile()).kind !== 'reconciled') await systemClock.sleep(20)
  expect(arbiters.degraded).toBe(false)
  expect((await register(term).read(id)).manifest).toEqual(three)
  await publish(4, three)
  await term.resign()
})

test('a lease that is gone when etcd is back ends the term, and nobody goes on beside the next leader', async () => {
  const { campaign, store } = cluster()
  const old = await campaign()
  const before = store(old)
  await before.claim()
  const one = await before.writeManifest(manifest(old.generation, 1, null))
  await before.publish(one)

  etcd.freeze()
  const two = await before.writeManifest(manifest(old.generation, 2, one))
  expect(await before.publish(two)).toMatchObject({ kind: 'published' })
  const ended = once(old.signal, 'abort')
  await systemClock.sleep(TTL_SECONDS * 2_000) // an etcd that was frozen lets leases end by its own clock
  etcd.thaw()

  const next = await campaign()
  const after = store(next)
  expect(await after.claim()).toMatchObject({ kind: 'claimed', published: two })
  const three = await before.writeManifest(manifest(old.generation, 3, two))
  expect(await before.publish(three)).toMatchObject({ kind: 'superseded' })
  await ended
  expect(old.signal.reason).toMatchObject({ code: 'LEADERSHIP_LOST', kind: 'fenced' })
  await next.resign()
})
