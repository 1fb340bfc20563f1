import { savepointOf, type Manifest, type ManifestRef, type StoredSegment } from '@weir/checkpoint'
import { attempt, digest, epoch, generation, jobId, subtask, type JobId } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { cp, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import {
  FolderObjectStore,
  JobSavepoints,
  jobObjects,
  readSavepoint,
  registerHead,
  sha256,
  type HeadRegister,
} from './index.ts'

const job = jobId('orders')
const patience = { clock: systemClock, signal: new AbortController().signal, budgetMs: 1_000 }
let root: string
let objects: FolderObjectStore
let savepoints: JobSavepoints
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'weir-savepoints-'))
  objects = new FolderObjectStore(root)
  savepoints = new JobSavepoints(job, objects, patience)
})

async function segment(name: string, text: string): Promise<StoredSegment> {
  const [key, bytes] = [`jobs/orders/epochs/7-g1-a1/${name}`, Buffer.from(text)]
  await objects.put(key, bytes)
  return { key, bytes: bytes.length, sha256: sha256(bytes) }
}
const manifest = (...chains: StoredSegment[][]): Manifest => ({
  ...{ formatVersion: 1, jobId: job, epoch: epoch(7), generation: generation(1), attempt: attempt(1) },
  ...{ parentEpoch: epoch(6), parentDigest: null, graphHash: 'g', parallelism: chains.length, maxParallelism: 128 },
  ...{ triggeredAt: 0, lastCommittedAt: null },
  subtasks: chains.map((chain, i) => ({
    ...{ subtask: subtask(i), sources: {}, watermarks: {}, recordsIn: 1 },
    segments: [{ stage: 1, chain }],
    sinks: { out: { sequence: 3, handles: [{ sequence: 3 }] } },
  })),
})
const draft = (of: Manifest, name = 's', takenAt = 1) =>
  savepointOf(of, of.epoch, { name, takenAt, stopped: false, bundleDigest: digest('b'), plan: { version: 1 } })

test('A23: a savepoint of an epoch that is not final is refused', () => {
  expect(() =>
    savepointOf(manifest(), epoch(6), { name: 's', takenAt: 1, stopped: false, bundleDigest: digest('b'), plan: {} }),
  ).toThrow('published and not final')
})

test('its folder is whole on its own: copied elsewhere under another name, every segment is found in it', async () => {
  const [a, b] = [await segment('state-0-1.seg', 'base'), await segment('state-1-1.seg', 'other')]
  const { folder } = await savepoints.write(draft(manifest([a], [b, a])))
  expect(folder).toBe('jobs/orders/savepoints/s/7-g1-a1/')
  const copy = await mkdtemp(join(tmpdir(), 'weir-elsewhere-'))
  await cp(join(root, folder), copy, { recursive: true })
  await objects.delete(a.key)
  const elsewhere = new FolderObjectStore(copy)
  const { subtasks } = await readSavepoint(elsewhere, '', patience)
  const keys = subtasks.map((s) => (s.segments as { chain: StoredSegment[] }[])[0]!.chain.map(({ key }) => key))
  expect(keys).toEqual([['state-000001.seg'], ['state-000002.seg', 'state-000001.seg']])
  expect(Buffer.from((await elsewhere.get('state-000001.seg'))!.bytes).toString()).toBe('base')
  expect((await elsewhere.list('')).toSorted()).toEqual(['savepoint.json', 'state-000001.seg', 'state-000002.seg'])
})

test('a segment that is damaged or gone makes no savepoint, and leaves none that could be listed', async () => {
  const a = await segment('state-0-1.seg', 'base')
  await expect(savepoints.write(draft(manifest([{ ...a, key: `${a.key}x` }])))).rejects.toMatchObject({
    code: 'SEGMENT_MISSING',
  })
  await objects.put(a.key, Buffer.from('bise'))
  await expect(savepoints.write(draft(manifest([a])))).rejects.toMatchObject({ code: 'SEGMENT_CORRUPT' })
  expect(await savepoints.list()).toEqual([])
})

test('listed oldest first; one that was changed is not listed, and refused when it is read', async () => {
  const a = await segment('state-0-1.seg', 'base')
  await savepoints.write(draft(manifest([a]), 'later', 2))
  await savepoints.write(draft(manifest([a]), 'first', 1))
  expect((await savepoints.list()).map(({ savepoint }) => savepoint.name)).toEqual(['first', 'later'])
  const key = 'jobs/orders/savepoints/first/7-g1-a1/savepoint.json'
  const text = Buffer.from((await objects.get(key))!.bytes).toString()
  await objects.put(key, Buffer.from(text.replace('"sequence":3', '"sequence":4')))
  expect((await savepoints.list()).map(({ savepoint }) => savepoint.name)).toEqual(['later'])
  await expect(readSavepoint(objects, 'jobs/orders/savepoints/first/7-g1-a1/', patience)).rejects.toMatchObject({
    code: 'SAVEPOINT_CORRUPT',
  })
})

test('of two of one name the newer one counts, and both are deleted', async () => {
  const a = await segment('state-0-1.seg', 'base')
  await savepoints.write(draft(manifest([a]), 'stop', 1))
  await savepoints.write(draft({ ...manifest([a]), epoch: epoch(8) }, 'stop', 2))
  expect((await savepoints.list()).map(({ savepoint }) => savepoint.epoch)).toEqual([8])
  await savepoints.delete('stop')
  expect(await savepoints.list()).toEqual([])
})

test('deleted with its objects, and no other one with it', async () => {
  const a = await segment('state-0-1.seg', 'base')
  await savepoints.write(draft(manifest([a]), 'one'))
  await savepoints.write(draft(manifest([a]), 'one-more'))
  expect(await savepoints.delete('one')).toBe(true)
  expect(await savepoints.delete('one')).toBe(false)
  expect(await objects.list('jobs/orders/savepoints/one/')).toEqual([])
  expect((await savepoints.list()).map(({ savepoint }) => savepoint.name)).toEqual(['one-more'])
})

test('on a store without conditional writes the head that retention looks at is the register’s, while it is ours', async () => {
  const manifest = { epoch: epoch(7) } as ManifestRef
  let leading = true
  const register: HeadRegister = {
    read: async () => ({ leading, manifest, revision: '12' }),
    swap: () => expect.unreachable(),
  }
  const head = (id: JobId) => registerHead(register, id, generation(4))
  const epochs = jobObjects({ objects, clock: systemClock, signal: patience.signal, head }).epochs(job)
  expect(await epochs.head()).toEqual({ generation: 4, manifest, nonce: '12' })
  leading = false
  expect(await epochs.head()).toBeNull()
})
