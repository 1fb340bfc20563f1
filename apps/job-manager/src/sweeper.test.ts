import type { CheckpointStore, JobRecord, Leadership, LeaderStores, Manifest, ManifestRef } from '@weir/checkpoint'
import { defaultSettings } from '@weir/dataflow'
import { manifestKey, openEmbeddedMetadata, segmentKey, sha256 } from '@weir/metadata'
import { attempt, digest, epoch, generation, jobId, subtask, systemRandom, type Digest } from '@weir/model'
import { ManualClock } from '@weir/model/testing'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Sweeper } from './sweeper.ts'

const job = jobId('j')
const TTL = 1_000
const at = (n: number) => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
const segment = (n: number): string => segmentKey(job, at(n), 0, 1)
const STAGED = 'jobs/j/staged/out/0/1-1/1-0.zst'
const SAVEPOINT = 'jobs/j/savepoints/s/2-g1-a1/savepoint.json'

/** A job that has published three epochs, and ended; the third is kept. */
async function ended(ledger: 'settled' | 'closed' = 'settled') {
  const metadata = await openEmbeddedMetadata(await mkdtemp(join(tmpdir(), 'weir-sweep-')), systemRandom)
  const { signal } = new AbortController()
  const leadership: Leadership = await metadata.election.campaign({ grpcAddress: 'a:1', restAddress: 'a:2' }, signal)
  const stores: LeaderStores = metadata.stores(leadership)
  const store = stores.checkpoints(job, 'etcd')
  await store.claim()
  let parent: ManifestRef | null = null
  for (const n of [1, 2, 3]) parent = await published(store, stores, n, parent)
  for (const key of [STAGED, SAVEPOINT]) await stores.objects.put(key, Buffer.from('x'))
  const kept = [parent!]
  const record: JobRecord = {
    ...{ jobId: job, name: 'j', bundleDigest: digest('b'), graphHash: 'g', submittedAt: 1, desired: 'running' },
    plan: { version: 1, name: 'j', settings: defaultSettings, nodes: [], edges: [], stages: 1, sources: [], sinks: [] },
    ended: { state: 'STOPPED', at: 2, error: null, kept, ledger, outcomes: [] },
  }
  await stores.jobs.create(record)
  const clock = new ManualClock()
  const said: string[] = []
  let latest = record
  const sweeper = new Sweeper(
    { leaseTtlMs: TTL },
    { leadership, stores, clock, recorded: (r) => void (latest = r), publish: (channel) => void said.push(channel) },
  )
  return {
    ...{ sweeper, record, clock, stores, said },
    latest: () => latest,
    close: () => metadata.close(),
    lie: async (): Promise<number[]> => {
      const keys = await stores.objects.list('jobs/j/epochs/')
      return [1, 2, 3].filter((n) => keys.includes(segment(n)) || keys.includes(manifestKey(job, at(n))))
    },
    has: async (key: string): Promise<boolean> => (await stores.objects.get(key)) !== null,
  }
}

async function published(
  store: CheckpointStore,
  { objects }: LeaderStores,
  n: number,
  parent: ManifestRef | null,
): Promise<ManifestRef> {
  const bytes = Buffer.from(`state ${n}`)
  await objects.put(segment(n), bytes)
  const manifest: Manifest = {
    ...{ formatVersion: 1, jobId: job, ...at(n), graphHash: 'g', parallelism: 1, maxParallelism: 128 },
    ...{ parentEpoch: epoch(n - 1), parentDigest: (parent?.digest ?? null) as Digest | null },
    ...{ triggeredAt: 0, lastCommittedAt: null },
    subtasks: [
      {
        ...{ subtask: subtask(0), sources: {}, sinks: {}, watermarks: {}, recordsIn: 0 },
        segments: [{ stage: 1, chain: [{ key: segment(n), bytes: bytes.length, sha256: sha256(bytes) }] }],
      },
    ],
  }
  const ref = await store.writeManifest(manifest)
  expect(await store.publish(ref)).toMatchObject({ kind: 'published' })
  return ref
}

test('A22: two leases after the end what no kept epoch names is deleted; savepoints and unproven output are not', async () => {
  const j = await ended()
  j.sweeper.ended(j.record)
  j.clock.advance(2 * TTL - 1)
  expect(await j.lie()).toEqual([1, 2, 3])
  j.clock.advance(1)
  await expect.poll(() => j.said).toEqual(['weir:sweep:swept'])
  expect(await j.lie()).toEqual([3])
  expect([await j.has(SAVEPOINT), await j.has(STAGED)]).toEqual([true, true])
  expect(j.latest().ended).toMatchObject({ swept: 'epochs' })
  // Every transaction is proven, and none can come any more.
  const closed = { ...j.latest(), ended: { ...j.latest().ended!, ledger: 'closed' as const } }
  await j.stores.jobs.update(job, () => closed)
  j.sweeper.ended(closed)
  j.clock.advance(0)
  await expect.poll(() => j.latest().ended).toMatchObject({ swept: 'all' })
  expect([await j.has(SAVEPOINT), await j.has(STAGED)]).toEqual([true, false])
  await j.close()
})

test('a job that runs again meanwhile loses nothing, and its record is its own', async () => {
  const j = await ended()
  j.sweeper.ended(j.record)
  j.sweeper.remove(job)
  j.clock.advance(10 * TTL)
  expect(await j.lie()).toEqual([1, 2, 3])
  expect((await j.stores.jobs.get(job))!.ended).not.toHaveProperty('swept')
  await j.close()
})

test('nothing is deleted while a kept manifest cannot be read: nobody knows what it names', async () => {
  const j = await ended()
  await j.stores.objects.put(manifestKey(job, at(3)), Buffer.from('damaged'))
  j.sweeper.ended(j.record)
  j.clock.advance(2 * TTL)
  await expect.poll(() => j.said).toEqual(['weir:sweep:swept'])
  expect(await j.lie()).toEqual([1, 2, 3])
  await j.close()
})
