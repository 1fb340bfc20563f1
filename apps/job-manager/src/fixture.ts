/** A job that has ended, over the real metadata of the embedded mode: for tests. */
import type { CheckpointStore, JobRecord, Leadership, LeaderStores, Manifest, ManifestRef } from '@weir/checkpoint'
import { defaultSettings, type PlanSummary } from '@weir/dataflow'
import { manifestKey, openEmbeddedMetadata, segmentKey, sha256 } from '@weir/metadata'
import { attempt, digest, epoch, generation, jobId, subtask } from '@weir/model'
import { systemRandom } from '@weir/runtime/system'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const EMPTY: PlanSummary = {
  ...{ version: 1, name: 'j', settings: defaultSettings, nodes: [], edges: [], stages: 1, sources: [], sinks: [] },
}

export interface EndedJob {
  readonly record: JobRecord
  /** Of epochs 1, 2, 3. */
  readonly refs: readonly ManifestRef[]
  readonly leadership: Leadership
  readonly stores: LeaderStores
  /** Numbers of the epochs of which anything lies there. */
  lie(): Promise<number[]>
  has(key: string): Promise<boolean>
  close(): Promise<void>
}

export const job = jobId('j')
export const at = (n: number) => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
export const segment = (n: number): string => segmentKey(job, at(n), 0, 1)
export const STAGED = 'jobs/j/staged/out/0/1-1/1-0.zst'
export const SAVEPOINT = 'jobs/j/savepoints/s/2-g1-a1/savepoint.json'

/** It has published three epochs; the third is kept. */
export async function ended(
  end: Partial<NonNullable<JobRecord['ended']>> = {},
  plan: PlanSummary = EMPTY,
): Promise<EndedJob> {
  const metadata = await openEmbeddedMetadata(await mkdtemp(join(tmpdir(), 'weir-sweep-')), systemRandom)
  const { signal } = new AbortController()
  const leadership: Leadership = await metadata.election.campaign({ grpcAddress: 'a:1', restAddress: 'a:2' }, signal)
  const stores: LeaderStores = metadata.stores(leadership)
  const store = stores.checkpoints(job, 'etcd')
  await store.claim()
  const refs: ManifestRef[] = []
  for (const n of [1, 2, 3]) refs.push(await published(store, stores, n, refs.at(-1) ?? null))
  for (const key of [STAGED, SAVEPOINT]) await stores.objects.put(key, Buffer.from('x'))
  const record: JobRecord = {
    ...{ jobId: job, name: 'j', bundleDigest: digest('b'), graphHash: 'g', submittedAt: 1, desired: 'running' },
    plan,
    ended: { state: 'STOPPED', at: 2, error: null, kept: [refs[2]!], ledger: 'settled', outcomes: [], ...end },
  }
  await stores.jobs.create(record)
  return {
    ...{ record, refs, leadership, stores },
    close: () => metadata.close(),
    lie: async () => {
      const keys = await stores.objects.list('jobs/j/epochs/')
      return [1, 2, 3].filter((n) => keys.includes(segment(n)) || keys.includes(manifestKey(job, at(n))))
    },
    has: async (key) => (await stores.objects.get(key)) !== null,
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
    ...{ parentEpoch: epoch(n - 1), parentDigest: parent?.digest ?? null, parentKey: parent?.key ?? null },
    ...{ triggeredAt: 0, lastCommittedAt: null },
    subtasks: [
      {
        ...{ subtask: subtask(0), sources: {}, watermarks: {}, recordsIn: 0 },
        sinks: { out: { sequence: n, handles: [] } },
        segments: [{ stage: 1, chain: [{ key: segment(n), bytes: bytes.length, sha256: sha256(bytes) }] }],
      },
    ],
  }
  const ref = await store.writeManifest(manifest)
  const outcome = await store.publish(ref)
  if (outcome.kind !== 'published') throw new Error(`epoch ${n} was not published: ${outcome.reason}`)
  return ref
}

/** A leader that has gone waits for nothing: what its jobs were about to write comes a moment later, into a folder that was just empty. */
export const removeFolder = (dir: string): Promise<void> =>
  rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
