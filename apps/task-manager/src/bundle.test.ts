import type { ObjectStore } from '@weir/checkpoint'
import { sha256 } from '@weir/metadata'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadPlan } from './bundle.ts'

test('a disk that does not take the bundle ends the attempt, not the job: it may be placed elsewhere, or there is room later', async () => {
  const bytes = Buffer.from('export default 7')
  const objects = { get: () => Promise.resolve({ bytes, etag: '' }) } as unknown as ObjectStore
  const dataDir = await mkdtemp(join(tmpdir(), 'weir-bundle-'))
  await writeFile(join(dataDir, 'bundles'), 'no folder')
  await expect(loadPlan(objects, dataDir, sha256(bytes), 'g', null)).rejects.toMatchObject({
    ...{ code: 'DATA_DIR_UNWRITABLE', kind: 'restart' },
    message: expect.stringContaining(`WEIR_DATA_DIR ${dataDir}`) as string,
  })
  await rm(join(dataDir, 'bundles'))
  await expect(loadPlan(objects, dataDir, sha256(bytes), 'g', null)).rejects.toMatchObject({ code: 'BUNDLE_NO_JOB' })
  await rm(dataDir, { recursive: true })
})
