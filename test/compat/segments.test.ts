import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SegmentRef } from '@weir/dataflow'
import { FolderObjectStore } from '@weir/metadata'
import { operatorUid } from '@weir/model'
import { openStateStore } from '@weir/state'
import { expect, test } from 'vitest'

const here = import.meta.dirname
const folders = (await readdir(here)).filter((name) => name.startsWith('segment-'))
const uid = operatorUid('sum')

test('there is a chain of every format', () => {
  expect(folders).toEqual(['segment-1', 'segment-2'])
})

test.each(folders)('%s is restored', async (folder) => {
  const dir = await mkdtemp(join(tmpdir(), 'weir-compat-'))
  const objects = new FolderObjectStore(join(here, folder))
  const chain = JSON.parse(await readFile(join(here, folder, 'chain.json'), 'utf8')) as SegmentRef[]
  const store = await openStateStore(
    {
      dir,
      keyGroups: { from: 0, to: 2 ** 31 },
      maxParallelism: 128,
      writer: '0/1',
      hotEntriesMax: 10,
      chainLengthMax: 8,
      chainRatioMax: 1,
      freeze: true,
    },
    { objects, upload: () => expect.unreachable(), segmentKey: () => expect.unreachable() },
  )
  try {
    await store.restore(chain)
    const state = store.keyed<unknown>(uid, 'acc')
    for (let i = 0; i < 300; i++) {
      const written = { total: i * 1000, orders: [i], at: new Date(i) }
      expect(state.get(`user-${i}`)).toEqual(i === 3 ? { total: 7 } : written)
    }
    expect([1, '1', 'map', 'big', 'gone', 'null'].map((key) => state.get(key))).toEqual([
      'number',
      'text',
      new Map([['a', 1]]),
      2n ** 60n,
      undefined,
      null,
    ])
    expect(state.namespaces()).toEqual([120_000])
    expect(state.get('w', 120_000)).toBe(6)
    expect(store.keyed(uid, 'by-split', 7).get('k')).toBe(4)
  } finally {
    await store.close()
    await rm(dir, { recursive: true, force: true })
  }
})
