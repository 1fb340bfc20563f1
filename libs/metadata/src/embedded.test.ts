import { systemRandom } from '@weir/runtime/system'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { mkdtempSync } from 'node:fs'
import { FolderObjectStore, openEmbeddedMetadata, type EmbeddedMetadata } from './index.ts'
import { checkpointStoreContract, objectStoreContract } from './testing/contracts.ts'

const self = { grpcAddress: 'a:1', restAddress: 'a:2' }
const folder = (): Promise<string> => mkdtemp(join(tmpdir(), 'weir-meta-'))

describe('objects in a folder', () => {
  objectStoreContract(() => new FolderObjectStore(mkdtempSync(join(tmpdir(), 'weir-obj-'))))

  test('a key cannot leave the folder', async () => {
    const store = new FolderObjectStore(await folder())
    await expect(store.get('../x')).rejects.toMatchObject({ code: 'OBJECT_KEY' })
  })

  test('no half-written file is left behind or listed', async () => {
    const root = await folder()
    const store = new FolderObjectStore(root)
    await Promise.all(Array.from({ length: 10 }, (_, i) => store.put('k', Buffer.from(`${i}`))))
    expect(await readdir(root)).toEqual(['k'])
  })

  test('with an object the folders above it are durable: each is synced into the one above it once', async () => {
    const root = await folder()
    let synced: string[] = []
    const store = new FolderObjectStore(root, (path) => Promise.resolve(void synced.push(relative(root, path))))
    const syncedBy = async (key: string): Promise<string[]> => {
      synced = []
      await store.put(key, Buffer.from('x'))
      return synced.toSorted()
    }
    const above = ['', 'jobs', 'jobs/j', 'jobs/j/epochs']
    expect(await syncedBy('jobs/j/epochs/1/a')).toEqual([...above, 'jobs/j/epochs/1'])
    expect(await syncedBy('jobs/j/epochs/1/b')).toEqual(['jobs/j/epochs/1'])
    expect(await syncedBy('jobs/j/epochs/2/a')).toEqual(['jobs/j/epochs', 'jobs/j/epochs/2'])
    // Another process has not made it, and does not know that it is durable.
    const other = new FolderObjectStore(root, (path) => Promise.resolve(void synced.push(relative(root, path))))
    synced = []
    await other.put('jobs/j/epochs/2/b', Buffer.from('x'))
    expect(synced.toSorted()).toEqual([...above, 'jobs/j/epochs/2'])
  })

  test('with the first object the root is durable, and what is made above it, even where the first try could not sync it', async () => {
    const there = await folder()
    let synced: string[] = []
    let isBroken = true
    const store = new FolderObjectStore(join(there, 'out', 'sink'), (path) => {
      synced.push(relative(there, path))
      return isBroken ? Promise.reject(new Error('EIO')) : Promise.resolve()
    })
    const syncedBy = async (key: string): Promise<string[]> => {
      synced = []
      await store.put(key, Buffer.from('x'))
      return synced.toSorted()
    }
    await expect(syncedBy('a')).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE' })
    isBroken = false
    expect(await syncedBy('a')).toEqual(['', 'out', 'out/sink'])
    expect(await syncedBy('b')).toEqual(['out/sink'])
  })

  test('an object waits for its folder, whichever put has made it; what could not be synced is tried again', async () => {
    const root = await folder()
    const ends: { resolve(): void; reject(error: Error): void }[] = []
    const store = new FolderObjectStore(root, (path) => {
      if (path !== root) return Promise.resolve()
      return new Promise((resolve, reject) => void ends.push({ resolve, reject }))
    })
    const outcomes: string[] = []
    const put = (key: string): Promise<unknown> =>
      store.put(key, Buffer.from('x')).then(
        ({ kind }) => outcomes.push(kind),
        ({ code }: { code: string }) => outcomes.push(code),
      )
    const first = [put('epoch/a'), put('epoch/b')]
    await vi.waitFor(async () => expect(await store.list('')).toEqual(['epoch/a', 'epoch/b']))
    expect([outcomes, ends.length]).toEqual([[], 1])
    ends[0]!.reject(new Error('EIO'))
    await Promise.all(first)
    expect(outcomes).toEqual(['OBJECT_STORE_UNAVAILABLE', 'OBJECT_STORE_UNAVAILABLE'])
    const again = put('epoch/b')
    ends[1]!.resolve()
    await again
    expect(outcomes.at(-1)).toBe('stored')
  })
})

describe('embedded metadata', () => {
  checkpointStoreContract(
    async () => {
      const metadata = await openEmbeddedMetadata(await folder(), systemRandom)
      return {
        next: async (job) => {
          const leadership = await metadata.election.campaign(self, new AbortController().signal)
          return {
            store: metadata.stores(leadership).checkpoints(job as never, 'etcd'),
            generation: leadership.generation,
          }
        },
        close: () => metadata.close(),
      }
    },
    { over: null },
  )

  test('its folder is durable, and what is made above it, with the register and the objects in it', async () => {
    const there = await folder()
    const synced: string[] = []
    const open = (): Promise<EmbeddedMetadata> =>
      openEmbeddedMetadata(join(there, 'weir', 'data'), systemRandom, (path) => {
        return Promise.resolve(void synced.push(relative(there, path)))
      })
    const first = await open()
    expect(synced.toSorted()).toEqual(['', 'weir', 'weir/data'])
    await first.close()
    await (await open()).close()
    expect(synced.slice(3)).toEqual(['weir/data'])
  })

  test('where a folder in it cannot be made nothing is held: with that mended it opens', async () => {
    const data = await folder()
    await writeFile(join(data, 'objects'), 'no folder')
    await expect(openEmbeddedMetadata(data, systemRandom)).rejects.toMatchObject({ code: 'EEXIST' })
    await rm(join(data, 'objects'))
    await (await openEmbeddedMetadata(data, systemRandom)).close()
  })

  test('A7: no two bodies of head.json are equal, so no ETag comes again', async () => {
    const metadata = await openEmbeddedMetadata(await folder(), systemRandom)
    const leadership = await metadata.election.campaign(self, new AbortController().signal)
    const store = metadata.stores(leadership).checkpoints('j' as never, 'etcd')
    const tags = new Set<string>()
    for (let i = 0; i < 5; i++) {
      await store.claim()
      tags.add((await metadata.objects.get('jobs/j/head.json'))!.etag)
    }
    expect(tags.size).toBe(5)
    await metadata.close()
  })

  test('a second process is kept out, and told so; generations grow over restarts', async () => {
    const root = await folder()
    const first = await openEmbeddedMetadata(root, systemRandom)
    await expect(openEmbeddedMetadata(root, systemRandom)).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' })
    const { signal } = new AbortController()
    const one = await first.election.campaign(self, signal)
    await first.close()
    const again = await openEmbeddedMetadata(root, systemRandom)
    const two = await again.election.campaign(self, signal)
    expect(two.generation).toBeGreaterThan(one.generation)
    await again.close()
  })

  test('jobs survive a restart', async () => {
    const root = await folder()
    const record = {
      jobId: 'pay' as never,
      name: 'pay',
      bundleDigest: 'd' as never,
      graphHash: 'g',
      plan: {},
      submittedAt: 1,
      desired: 'running' as const,
      ended: null,
    }
    const first = await openEmbeddedMetadata(root, systemRandom)
    const leadership = await first.election.campaign(self, new AbortController().signal)
    const { jobs } = first.stores(leadership)
    expect(await jobs.create(record)).toBe(true)
    expect(await jobs.create(record)).toBe(false)
    await first.close()
    const again = await openEmbeddedMetadata(root, systemRandom)
    const { jobs: later } = again.stores(leadership)
    await later.update(record.jobId, (r) => ({ ...r, desired: 'cancelled' }))
    expect(await later.list()).toEqual([{ ...record, desired: 'cancelled' }])
    await expect(later.update('none' as never, (r) => r)).rejects.toMatchObject({ code: 'JOB_UNKNOWN' })
    await again.close()
  })
})
