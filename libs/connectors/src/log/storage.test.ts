import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { FileStorage } from '../index.ts'

test('with the file of a log its folder is durable in the one above it', async () => {
  const data = await mkdtemp(join(tmpdir(), 'weir-log-'))
  const synced: string[] = []
  const sync = (folder: string): Promise<void> => Promise.resolve(void synced.push(relative(data, folder)))
  try {
    const storage = await FileStorage.open(join(data, 'log'), sync)
    await storage.close()
    expect(synced.toSorted()).toEqual(['', 'log'])
  } finally {
    await rm(data, { recursive: true, force: true })
  }
})
