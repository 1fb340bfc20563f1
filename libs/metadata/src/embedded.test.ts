import { systemRandom } from '@weir/runtime/system'
import { mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { mkdtempSync } from 'node:fs'
import { FolderObjectStore, openEmbeddedMetadata } from './index.ts'
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
