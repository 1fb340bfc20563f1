import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stateSchema, type SegmentRef, type StateSchema } from '@weir/dataflow'
import { FolderObjectStore } from '@weir/metadata'
import { operatorUid } from '@weir/model'
import { openStateStore, type LevelStateStore } from '@weir/state'
import { expect, test } from 'vitest'

const here = import.meta.dirname
const folders = (await readdir(here)).filter((name) => name.startsWith('segment-'))
const uid = operatorUid('sum')

test('there is a chain of every format', () => {
  expect(folders).toEqual(['segment-1', 'segment-2', 'segment-2-schema'])
})

/** Restores the chain of a folder as a build with the schema for `acc` does. */
async function restored(
  folder: string,
  schema: StateSchema<unknown> | null,
  look: (store: LevelStateStore) => void,
): Promise<void> {
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
      schemas: (_, state) => (state === 'acc' ? schema : null),
    },
    { objects, upload: () => expect.unreachable(), segmentKey: () => expect.unreachable() },
  )
  try {
    await store.restore(chain)
    look(store)
  } finally {
    await store.close()
    await rm(dir, { recursive: true, force: true })
  }
}

test.each(folders)('%s is restored', (folder) =>
  restored(folder, null, (store) => {
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
  }),
)

test.each(folders)('%s is migrated by a build that has a step from version 1', (folder) => {
  const schema = stateSchema('totals').next((old) => ({ old })) as StateSchema<unknown>
  return restored(folder, schema, (store) => {
    const state = store.keyed<unknown>(uid, 'acc')
    expect(state.get('user-3')).toEqual({ old: { total: 7 } })
    expect(state.get('user-7')).toEqual({ old: { total: 7_000, orders: [7], at: new Date(7) } })
    expect([1, '1', 'gone', 'null'].map((key) => state.get(key))).toEqual([
      { old: 'number' },
      { old: 'text' },
      undefined,
      { old: null },
    ])
    expect(state.get('w', 120_000)).toEqual({ old: 6 })
    expect(store.keyed(uid, 'by-split', 7).get('k')).toBe(4)
  })
})

test('segment-2-schema is refused by builds that do not know its values', async () => {
  const look = (): void => expect.unreachable()
  const refused = (schema: unknown) => restored('segment-2-schema', schema as StateSchema<unknown>, look)
  await expect(refused(stateSchema('totals', 2))).rejects.toMatchObject({ code: 'STATE_MIGRATION_MISSING' })
  await expect(refused(stateSchema('sums'))).rejects.toMatchObject({ code: 'STATE_SCHEMA_OTHER' })
})
