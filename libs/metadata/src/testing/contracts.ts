/** Contract suites: every object store and every pair of arbiters passes the same. */
import type { CheckpointStore, Manifest, ManifestRef, ObjectStore } from '@weir/checkpoint'
import { attempt, epoch, jobId, type Generation } from '@weir/model'
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (b: Uint8Array | undefined): string | undefined => b && Buffer.from(b).toString()

export function objectStoreContract(make: () => ObjectStore): void {
  test('what was put is got, byte by byte; a missing key is null', async () => {
    const store = make()
    const body = Uint8Array.from({ length: 256 * 1024 }, (_, i) => (i * 31) & 255)
    await store.put('a/b/c', body)
    expect(Buffer.compare((await store.get('a/b/c'))!.bytes, body)).toBe(0)
    expect(await store.get('a/b/other')).toBeNull()
    await store.put('empty', new Uint8Array())
    expect((await store.get('empty'))!.bytes.byteLength).toBe(0)
    await store.close()
  })

  test('a range is read alone; beyond the end there is less, or nothing', async () => {
    const store = make()
    await store.put('r', bytes('0123456789'))
    const range = async (key: string, from: number, to: number): Promise<string | null> => {
      const read = await store.readRange!(key, from, to)
      return read === null ? null : text(read)!
    }
    expect(await range('r', 2, 5)).toBe('234')
    expect(await range('r', 8, 100)).toBe('89')
    expect(await range('r', 10, 12)).toBe('')
    expect(await range('none', 0, 1)).toBeNull()
    await store.close()
  })

  test('If-None-Match creates once', async () => {
    const store = make()
    expect((await store.put('k', bytes('1'), { ifNoneMatch: '*' })).kind).toBe('stored')
    expect(await store.put('k', bytes('2'), { ifNoneMatch: '*' })).toEqual({ kind: 'lost' })
    expect(text((await store.get('k'))?.bytes)).toBe('1')
    await store.close()
  })

  test('If-Match changes only what was read; the tag of a put is the tag of a get', async () => {
    const store = make()
    const first = await store.put('k', bytes('1'))
    if (first.kind !== 'stored') throw new Error('not stored')
    expect((await store.get('k'))!.etag).toBe(first.etag)
    const second = await store.put('k', bytes('2'), { ifMatch: first.etag })
    expect(second.kind).toBe('stored')
    expect(await store.put('k', bytes('3'), { ifMatch: first.etag })).toEqual({ kind: 'lost' })
    expect(await store.put('none', bytes('3'), { ifMatch: first.etag })).toEqual({ kind: 'lost' })
    expect(text((await store.get('k'))?.bytes)).toBe('2')
    await store.close()
  })

  test('of many at once exactly one wins', async () => {
    const store = make()
    const first = await store.put('race', bytes('0'))
    if (first.kind !== 'stored') throw new Error('not stored')
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => store.put('race', bytes(`w${i}`), { ifMatch: first.etag })),
    )
    expect(all.filter((o) => o.kind === 'stored')).toHaveLength(1)
    await store.close()
  })

  test('many are deleted at once, those that are not there too', async () => {
    const store = make()
    if (store.deleteMany === undefined) return store.close()
    for (const key of ['m/1', 'm/2', 'm/3']) await store.put(key, bytes(key))
    await store.deleteMany(['m/1', 'm/3', 'm/9'])
    await store.deleteMany([])
    expect(await store.list('m/')).toEqual(['m/2'])
    await store.close()
  })

  test('list by prefix, sorted; delete is repeatable', async () => {
    const store = make()
    await Promise.all(['p/2', 'p/1', 'q/1', 'p/deep/er'].map((key) => store.put(key, bytes(key))))
    expect(await store.list('p/')).toEqual(['p/1', 'p/2', 'p/deep/er'])
    await store.delete('p/1')
    await store.delete('p/1')
    expect(await store.list('p/')).toEqual(['p/2', 'p/deep/er'])
    await store.close()
  })
}

export interface Terms {
  /** A store of the given job for the next term; earlier terms are over. */
  next(job: string): Promise<{ store: CheckpointStore; generation: Generation }>
  close(): Promise<void>
}

const manifest = (job: string, gen: Generation, n: number, parent: ManifestRef | null, note = ''): Manifest => ({
  formatVersion: 1,
  jobId: jobId(job),
  epoch: epoch(n),
  generation: gen,
  attempt: attempt(1),
  parentEpoch: parent?.epoch ?? epoch(0),
  parentDigest: parent?.digest ?? null,
  graphHash: `g${note}`,
  parallelism: 1,
  maxParallelism: 128,
  triggeredAt: 1,
  lastCommittedAt: null,
  subtasks: [],
})

/** `over`: what of a second term ends the first; null: the embedded mode has one owner only. */
export function checkpointStoreContract(
  make: () => Promise<Terms>,
  options: { over: 'election' | 'claim' | null },
): void {
  const job = (): string => `job-${randomUUID().slice(0, 8)}`

  test('claim first, then epochs one after the other; the next term finds the last', async () => {
    const terms = await make()
    const name = job()
    const { store, generation: gen } = await terms.next(name)
    await expect(store.writeManifest(manifest(name, gen, 1, null))).rejects.toMatchObject({ code: 'CLAIM_REQUIRED' })
    expect(await store.claim()).toMatchObject({ kind: 'claimed', published: null })
    const one = await store.writeManifest(manifest(name, gen, 1, null))
    expect(await store.publish(one)).toMatchObject({ kind: 'published', published: { manifest: one } })
    const two = await store.writeManifest(manifest(name, gen, 2, one))
    expect(await store.publish(two)).toMatchObject({ kind: 'published' })
    await expect(store.publish(one)).rejects.toMatchObject({ code: 'PUBLISH_NOT_A_SUCCESSOR' })

    const later = await terms.next(name)
    expect(await later.store.claim()).toMatchObject({ kind: 'claimed', published: two })
    expect(await later.store.readManifest(two)).toMatchObject({ epoch: 2, parentDigest: one.digest })
    await terms.close()
  })

  test('the digest is verified, a missing manifest is named', async () => {
    const terms = await make()
    const name = job()
    const { store, generation: gen } = await terms.next(name)
    await store.claim()
    const one = await store.writeManifest(manifest(name, gen, 1, null))
    await expect(store.readManifest({ ...one, digest: 'ff' as typeof one.digest })).rejects.toMatchObject({
      code: 'MANIFEST_CORRUPT',
    })
    await expect(store.readManifest({ ...one, key: 'jobs/none/manifest.json' })).rejects.toMatchObject({
      code: 'MANIFEST_MISSING',
      kind: 'invalid',
    })
    await terms.close()
  })

  if (options.over !== null) {
    test('a leader of an earlier term can neither publish nor claim', async () => {
      const terms = await make()
      const name = job()
      const old = await terms.next(name)
      await old.store.claim()
      const fromOld = await old.store.writeManifest(manifest(name, old.generation, 1, null))
      const now = await terms.next(name)
      if (options.over === 'claim') await now.store.claim()
      // Between the election and the claim the leader key alone must stop it.
      expect(await old.store.publish(fromOld)).toMatchObject({ kind: 'superseded' })
      await now.store.claim()
      expect(await old.store.claim()).toMatchObject({ kind: 'superseded' })
      const fromNew = await now.store.writeManifest(manifest(name, now.generation, 1, null))
      expect(fromNew.key).not.toBe(fromOld.key)
      expect(await now.store.publish(fromNew)).toMatchObject({ kind: 'published' })
      await terms.close()
    })
  }
}
