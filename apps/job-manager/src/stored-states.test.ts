import { savepointOf, type JobRecord, type LeaderStores, type Manifest, type ManifestRef } from '@weir/checkpoint'
import type { PlanSummary, SegmentRef } from '@weir/dataflow'
import { openEmbeddedMetadata, segmentKey, type EmbeddedMetadata } from '@weir/metadata'
import { attempt, digest, epoch, jobId, operatorUid, subtask, type CheckpointId } from '@weir/model'
import { systemRandom } from '@weir/runtime/system'
import { openStateStore } from '@weir/state'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { removeFolder } from './fixture.ts'
import { StoredStates } from './stored-states.ts'

const id = jobId('sums')
const plan = { settings: { arbiter: 'etcd' } } as PlanSummary
const of = { operatorUid: 'balance', name: 'accumulator' }
let dir: string
let metadata: EmbeddedMetadata
let stores: LeaderStores
let refs: ManifestRef[]
/** What the job-manager knows. */
let finalEpoch: number | null
let ledger: NonNullable<JobRecord['ended']>['ledger']
let states: StoredStates

/** Publishes three epochs of one slice: n users with n × 10 each. */
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'weir-stored-'))
  metadata = await openEmbeddedMetadata(join(dir, 'meta'), systemRandom)
  const self = { grpcAddress: 'a:1', restAddress: 'a:2' }
  const leadership = await metadata.election.campaign(self, new AbortController().signal)
  stores = metadata.stores(leadership)
  const checkpoints = stores.checkpoints(id, 'etcd')
  await checkpoints.claim()
  const { objects } = stores
  const place = { dir: join(dir, 'level'), keyGroups: { from: 0, to: 128 }, maxParallelism: 128, writer: '0/1' }
  const bounds = { hotEntriesMax: 10, chainLengthMax: 8, chainRatioMax: 100, freeze: true }
  const store = await openStateStore(
    { ...place, ...bounds },
    {
      objects,
      upload: (key) => {
        const parts: Uint8Array[] = []
        return {
          write: async (bytes) => void parts.push(bytes),
          finish: async () => void (await objects.put(key, Buffer.concat(parts))),
          abort: async () => {},
        }
      },
      segmentKey: (checkpoint, kind) => segmentKey(id, checkpoint, 0, 1, kind),
    },
  )
  refs = []
  for (let n = 1; n <= 3; n++) {
    for (let i = 1; i <= n; i++) store.keyed(operatorUid('balance'), 'accumulator').put(`user-${i}`, n * 10)
    store.keyed(operatorUid('balance'), 'accumulator').put('rich', BigInt(n))
    const { generation } = leadership
    const checkpoint: CheckpointId = { generation, attempt: attempt(1), epoch: epoch(n) }
    const chain: readonly SegmentRef[] = await store.snapshot(checkpoint)
    const manifest: Manifest = {
      ...{ formatVersion: 1, jobId: id, ...checkpoint, graphHash: '', parallelism: 1, maxParallelism: 128 },
      ...{ parentEpoch: epoch(n - 1), parentDigest: null, triggeredAt: n * 1_000, lastCommittedAt: null },
      subtasks: [
        {
          ...{ subtask: subtask(0), sources: { orders: {} }, sinks: {}, watermarks: {}, recordsIn: 0 },
          segments: [{ stage: 1, chain }],
        },
      ],
      retention: { epochs: refs.slice(0, 2), unreferenced: [] },
    }
    const ref = await checkpoints.writeManifest(manifest)
    await checkpoints.publish(ref)
    refs.unshift(ref)
  }
  await store.close()
  finalEpoch = 3
  ledger = 'closed'
  states = new StoredStates({
    stores,
    running: () => (finalEpoch === null ? null : { finalEpoch }),
    ended: () => ({ ended: { ledger } }) as JobRecord,
    planOf: () => plan,
  })
})
afterEach(async () => {
  await metadata.close()
  await removeFolder(dir)
})

test('everything is of the last final epoch, and says so', async () => {
  expect(await states.overview(id, '', true)).toMatchObject({
    ...{ jobId: 'sums', epoch: 3, triggeredAt: 3_000, parallelism: 1, maxParallelism: 128, sources: ['orders'] },
    states: [{ operatorUid: 'balance', name: 'accumulator', stage: 1, schema: null, keys: 4 }],
    chains: [{ subtask: 0, stage: 1, segments: 3 }],
  })
  const user = await states.get(id, '', of, 'user-2', null)
  expect(user).toMatchObject({ epoch: 3, entries: [{ key: 'user-2', value: 30, namespace: 0, split: null }] })
  expect((await states.get(id, '', of, 'rich', null)).entries[0]!.value).toEqual({ $bigint: '3' })
  expect((await states.get(id, '', of, 'nobody', null)).entries).toEqual([])
})

test.each<[string, number | null, typeof ledger, number]>([
  ['a published epoch that is not final is not shown', 2, undefined, 2],
  ['of a leader that knows nothing of the job yet: the one before the newest is final', 0, undefined, 2],
  ['a job that has ended and is settled: its last epoch', null, 'settled', 3],
  ['a job that ended before there was a ledger', null, undefined, 3],
  ['a job that has ended with published output that may not be committed', null, 'unsettled', 2],
])('%s', async (_, final, state, expected) => {
  finalEpoch = final
  ledger = state
  expect((await states.overview(id, '', false)).epoch).toBe(expected)
})

test('another kept epoch by its number; one that is not kept is refused with those that are', async () => {
  expect(await states.get(id, '1', of, 'user-1', null)).toMatchObject({ epoch: 1, entries: [{ value: 10 }] })
  await expect(states.get(id, '7', of, 'user-1', null)).rejects.toMatchObject({
    code: 'STATE_EPOCH_UNKNOWN',
    facts: { epochs: [3, 2, 1] },
  })
  await expect(states.overview(jobId('other'), '', false)).rejects.toMatchObject({ code: 'STATE_NONE' })
  const unknown = states.get(id, '', { operatorUid: 'sum', name: 'acc' }, 'a', null)
  await expect(unknown).rejects.toMatchObject({ code: 'STATE_UNKNOWN', message: /balance accumulator/ })
})

test('pages go on in the epoch they began in', async () => {
  const first = await states.page(id, '2', of, { limit: 1 })
  expect(first).toMatchObject({ epoch: 2, entries: [{}], next: expect.any(String) as string })
  const keys = first.entries.map(({ key }) => key)
  for (let { next } = first; next !== null;) {
    const page = await states.page(id, '', of, { cursor: next, limit: 1 })
    expect(page.epoch).toBe(2)
    keys.push(...page.entries.map(({ key }) => key))
    next = page.next
  }
  expect(keys.sort()).toEqual(['rich', 'user-1', 'user-2'])
  await expect(async () => states.page(id, '', of, { cursor: 'x' })).rejects.toMatchObject({ code: 'PAGE_UNKNOWN' })
  await expect(async () => states.page(id, '', of, { limit: 1_001 })).rejects.toMatchObject({ code: 'PAGE_INVALID' })
})

test('two epochs compared: what was added and changed, as many as were asked for', async () => {
  expect(await states.diff(id, '1', '3', 1)).toMatchObject({
    ...{ before: 1, after: 3 },
    states: [{ operatorUid: 'balance', name: 'accumulator', added: 2, changed: 2, removed: 0, changes: [{}] }],
  })
  const { states: back } = await states.diff(id, '3', '1', 100)
  expect(back[0]).toMatchObject({ added: 0, changed: 2, removed: 2 })
  expect(back[0]!.changes.find(({ key }) => key === 'rich')).toMatchObject({
    ...{ change: 'changed', before: { $bigint: '3' }, after: { $bigint: '1' } },
  })
  expect((await states.diff(id, '2', '2', 1)).states).toEqual([])
})

test('a savepoint is read by its name, and goes on to be when its epoch is gone', async () => {
  const manifest = await stores.checkpoints(id, 'etcd').readManifest(refs[1]!)
  const origin = { bundleDigest: digest('b'), plan, name: 'cut', takenAt: 77, stopped: false }
  await stores.savepoints(id).write(savepointOf(manifest, manifest.epoch, origin))
  await stores.objects.delete(refs[1]!.key)
  const about = { epoch: 2, savepoint: 'cut', triggeredAt: 77 }
  expect(await states.get(id, 'cut', of, 'user-2', null)).toMatchObject({ ...about, entries: [{ value: 20 }] })
  const page = await states.page(id, 'cut', of, { limit: 1 })
  expect(await states.page(id, '', of, { cursor: page.next! })).toMatchObject(about)
  expect(await states.diff(id, 'cut', '3', 1)).toMatchObject({
    before: 2,
    after: 3,
    states: [{ added: 1, changed: 3 }],
  })
  await expect(states.overview(id, 'other', false)).rejects.toMatchObject({ code: 'SAVEPOINT_UNKNOWN' })
})

test('damage is named: a manifest that was changed, a segment that was, one that is gone', async () => {
  const { objects } = stores
  const change = async (key: string, at: number): Promise<void> => {
    const bytes = Uint8Array.from((await objects.get(key))!.bytes)
    bytes[at]! ^= 1
    await objects.put(key, bytes)
  }
  const segment = segmentKey(id, { ...refs[0]!, attempt: attempt(1) }, 0, 1)
  await change(segment, 9)
  await expect(states.overview(id, '', true)).rejects.toMatchObject({
    code: 'SEGMENT_CORRUPT',
    facts: { objectKey: segment },
  })
  await expect(states.diff(id, '1', '3', 1)).rejects.toMatchObject({ code: 'SEGMENT_CORRUPT' })
  expect((await states.overview(id, '', false)).states).toHaveLength(1) // by the manifest alone
  await objects.delete(segment)
  await expect(states.get(id, '', of, 'rich', null)).rejects.toMatchObject({ code: 'SEGMENT_MISSING' })
  await change(refs[1]!.key, 30)
  await expect(states.overview(id, '2', false)).rejects.toMatchObject({ code: 'MANIFEST_CORRUPT' })
  await change(refs[0]!.key, 30)
  await expect(states.overview(id, '', false)).rejects.toMatchObject({
    code: 'MANIFEST_CORRUPT',
    facts: { key: refs[0]!.key },
  })
})

test('an epoch that is deleted while it is read is gone, not damaged', async () => {
  const { objects } = stores
  const [, , oldest] = refs
  const cursor = (await states.page(id, '1', of, { limit: 1 })).next!
  // Two epochs on, nobody keeps it any more.
  const checkpoints = stores.checkpoints(id, 'etcd')
  await checkpoints.claim()
  const manifest = await checkpoints.readManifest(refs[0]!)
  const ref = await checkpoints.writeManifest({
    ...{ ...manifest, epoch: epoch(4), parentEpoch: epoch(3) },
    retention: { epochs: refs.slice(0, 2), unreferenced: [] },
  })
  const original = objects.get.bind(objects)
  let published = false
  objects.get = async (key) => {
    if (key === oldest!.key && !published) {
      published = true
      await checkpoints.publish(ref)
      await objects.delete(key)
    }
    return original(key)
  }
  await expect(states.page(id, '', of, { cursor })).rejects.toMatchObject({ code: 'STATE_EPOCH_GONE', kind: 'retry' })
})

test('whole chains are read by one at a time', async () => {
  const one = states.overview(id, '', true)
  await expect(states.overview(id, '', true)).rejects.toMatchObject({ code: 'STATE_BUSY', kind: 'retry' })
  await expect(states.get(id, '', of, 'rich', null)).resolves.toMatchObject({ epoch: 3 })
  await one
  await expect(states.overview(id, '', true)).resolves.toMatchObject({ epoch: 3 })
})
