import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SegmentRef } from '@weir/dataflow'
import { attempt, epoch, generation, operatorUid } from '@weir/model'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { CountingObjects } from './counting-objects.fixture.ts'
import { LocalCopies, dropCopies, openStateStore, podName, type LevelStateStore } from './index.ts'

const dir = await mkdtemp(join(tmpdir(), 'weir-copies-'))
afterAll(() => rm(dir, { recursive: true, force: true }))
const uid = operatorUid('sum')
let serial = 0

/** One task-manager's disk, and the object store behind it. */
class Pod {
  readonly root = join(dir, `pod-${++serial}`)
  readonly objects: CountingObjects
  readonly sources: string[] = []
  constructor(objects = new CountingObjects()) {
    this.objects = objects
  }
  open(a: number, bytesMax = 1e9, bounds = { chainLengthMax: 100, chainRatioMax: 1_000 }): Promise<LevelStateStore> {
    return openStateStore(
      {
        ...{ dir: join(dir, `level-${++serial}`), keyGroups: { from: 0, to: 128 }, maxParallelism: 128 },
        ...{ writer: '0/1', hotEntriesMax: 4, ...bounds, freeze: true },
      },
      {
        objects: this.objects,
        upload: this.objects.upload,
        segmentKey: (c, kind) => `jobs/j/epochs/${c.epoch}-g1-a${c.attempt}/state-0-1-${kind}.seg`,
        copies: new LocalCopies({ root: this.root, jobId: 'j', attempt: `1-${a}`, bytesMax }),
        restoredFrom: (source) => this.sources.push(source),
      },
    )
  }
  async files(): Promise<string[]> {
    const names = await readdir(this.root, { recursive: true }).catch(() => [])
    return names.filter((name) => name.endsWith('.seg')).map(decodeURIComponent)
  }
  file = async (of: RegExp): Promise<string> =>
    join(
      this.root,
      (await readdir(this.root, { recursive: true })).find((name) => of.test(decodeURIComponent(name)))!,
    )
}
const cp = (n: number, a = 1) => ({ generation: generation(1), attempt: attempt(a), epoch: epoch(n) })
const values = (store: LevelStateStore) => ['a', 'b'].map((key) => store.keyed<number>(uid, 'acc').get(key))

async function chainOf(pod: Pod): Promise<readonly SegmentRef[]> {
  const store = await pod.open(1)
  const state = store.keyed<number>(uid, 'acc')
  state.put('a', 1)
  await store.snapshot(cp(1))
  state.put('b', 2)
  const chain = await store.snapshot(cp(2))
  await store.close()
  return chain
}

test('the next attempt on the same pod asks the object store for nothing', async () => {
  const pod = new Pod()
  const chain = await chainOf(pod)
  const next = await pod.open(2)
  await next.restore(chain)
  expect([values(next), pod.objects.bytesRead, pod.sources.sort()]).toEqual([[1, 2], 0, ['local', 'local']])
  await next.close()
  const elsewhere = new Pod(pod.objects)
  const other = await elsewhere.open(2)
  await other.restore(chain)
  expect([values(other), elsewhere.sources]).toEqual([
    [1, 2],
    ['store', 'store'],
  ])
  await other.close()
})

test('A21: a copy of an epoch that nobody published is not taken for the epoch of the same number that was', async () => {
  const pod = new Pod()
  const published = await chainOf(pod)
  // Attempt 2 stores epoch 3 on this pod, and it is given up; attempt 3, elsewhere, publishes another epoch 3.
  const second = await pod.open(2)
  await second.restore(published)
  second.keyed<number>(uid, 'acc').put('a', 666)
  const givenUp = await second.snapshot(cp(3, 2))
  await second.close()
  const elsewhere = new Pod(pod.objects)
  const third = await elsewhere.open(3)
  await third.restore(published)
  third.keyed<number>(uid, 'acc').put('a', 3)
  const chain = await third.snapshot(cp(3, 3))
  await third.close()

  pod.sources.length = 0
  const fourth = await pod.open(4)
  await fourth.restore(chain)
  expect([values(fourth), pod.sources.sort()]).toEqual([
    [3, 2],
    ['local', 'local', 'store'],
  ])
  await fourth.close()
  // Even under the very name: the bytes are not those the manifest names.
  const key = encodeURIComponent(chain[2]!.key)
  await writeFile(join(pod.root, 'j', '1-2', key), pod.objects.stored.get(givenUp[2]!.key)!.bytes)
  const fifth = await pod.open(5)
  await fifth.restore(chain)
  expect([values(fifth), pod.sources.slice(3).sort()]).toEqual([
    [3, 2],
    ['local', 'local', 'store'],
  ])
  await fifth.close()
})

test('a copy that is cut off or damaged is passed over, silently but for the count', async () => {
  const pod = new Pod()
  const chain = await chainOf(pod)
  const flipped = await pod.file(/epochs.1-/)
  const bytes = await readFile(flipped)
  bytes[20]! ^= 1
  await writeFile(flipped, bytes)
  const cut = await pod.file(/epochs.2-/)
  await writeFile(cut, (await readFile(cut)).subarray(0, 30))
  const next = await pod.open(2)
  await next.restore(chain)
  expect([values(next), pod.sources.sort()]).toEqual([
    [1, 2],
    ['store', 'store'],
  ])
  await next.close()
})

test('what no chain of the last epochs names is deleted; a job that has ended leaves nothing', async () => {
  const pod = new Pod()
  const store = await pod.open(1, 1e9, { chainLengthMax: 2, chainRatioMax: 1_000 })
  for (let n = 1; n <= 20; n++) {
    store.keyed<number>(uid, 'acc').put('a', n)
    await store.snapshot(cp(n))
    await store.folded()
  }
  const chain = await store.snapshot(cp(21))
  await store.folded()
  const files = await pod.files()
  expect(files.length).toBeLessThan(12)
  for (const { key } of chain) expect(files.some((file) => file.endsWith(key))).toBe(true)
  await store.close()
  await dropCopies(pod.root, 'j')
  expect(await pod.files()).toEqual([])
})

test('all copies of the pod together are bounded: the oldest go first; 0 keeps none', async () => {
  const pod = new Pod()
  const store = await pod.open(1, 2_000)
  for (let n = 1; n <= 8; n++) {
    for (let i = 0; i < 60; i++) store.keyed<number>(uid, 'acc').put(`k${i}`, n * i + 0.5)
    await store.snapshot(cp(n))
  }
  await store.folded()
  const kept = await pod.files()
  expect(kept.length).toBeGreaterThan(0)
  expect(kept.length).toBeLessThan(8)
  expect(kept.some((file) => file.includes('epochs/8-'))).toBe(true)
  await store.close()
  const none = new Pod()
  const without = await none.open(1, 0)
  without.keyed<number>(uid, 'acc').put('a', 1)
  await without.snapshot(cp(1))
  expect(await none.files()).toEqual([])
  await without.close()
})

test('a pod keeps its name over every start', async () => {
  const data = join(dir, 'data')
  expect(await podName(data, () => 'first')).toBe('first')
  expect(await podName(data, () => 'second')).toBe('first')
})

test('a copy of many chunks, which come faster than the disk takes them, is the object', async () => {
  const pod = new Pod()
  const store = await pod.open(1)
  const state = store.keyed<string>(uid, 'text')
  const text = (i: number): string => Array.from({ length: 40 }, (_, j) => Math.imul(i * 40 + j, 0x9e3779b1)).join()
  for (let i = 0; i < 5_000; i++) state.put(`key-${i}`, text(i))
  const chain = await store.snapshot(cp(1))
  await store.close()
  const next = await pod.open(2)
  await next.restore(chain)
  expect([next.keyed<string>(uid, 'text').get('key-4321'), pod.sources]).toEqual([text(4321), ['local']])
  expect((await readFile(await pod.file(/1-g1-a1/))).equals((await pod.objects.get(chain[0]!.key))!.bytes)).toBe(true)
  await next.close()
})

test('an epoch waits for no copy: a small one is written a little later, or when somebody asks for it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }) // by itself the time is never over
  onTestFinished(() => void vi.useRealTimers())
  const pod = new Pod()
  const store = await pod.open(1)
  store.keyed<number>(uid, 'acc').put('a', 1)
  await store.snapshot(cp(1))
  expect(await pod.files()).toEqual([])
  await store.folded()
  expect(await pod.files()).toHaveLength(1)
  await store.close()
})

test('a disk that is far behind the upload costs the copy, leaves nothing of it, and not the object', async () => {
  const pod = new Pod()
  const copies = new LocalCopies({ root: pod.root, jobId: 'j', attempt: '1-1', bytesMax: 1e9 })
  const stored: number[] = []
  const upload = copies.keeping('far-behind.seg', {
    write: (bytes) => Promise.resolve(void stored.push(bytes.length)),
    finish: () => Promise.resolve(),
    abort: () => Promise.resolve(),
  })
  // All at once: the disk has taken none of them when the last one comes.
  const chunk = new Uint8Array(8 << 20)
  await Promise.all(Array.from({ length: 9 }, () => upload.write(chunk)))
  await upload.finish()
  expect(stored).toHaveLength(9)
  await copies.settled()
  expect(await readdir(join(pod.root, 'j', '1-1'))).toEqual([])
})
