import { entryKey, entryPrefix, stateSchema, type SegmentRef, type StateSchema } from '@weir/dataflow'
import { keyGroupOf, keyGroupRange, operatorUid, splitRange, subtask, type Key } from '@weir/model'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryObjects, cp, openStore } from '../fixture.ts'
import { StateReader, diffStates, type StatePosition, type StoredEntry } from './index.ts'

const uid = operatorUid('sum')
const of = { operatorUid: 'sum', name: 'acc' }
const readerOf = (objects: MemoryObjects, ...chains: (readonly SegmentRef[])[]): StateReader =>
  new StateReader(
    {
      ...{ parallelism: chains.length, maxParallelism: 128 },
      subtasks: chains.map((chain, i) => ({ subtask: subtask(i), segments: [{ stage: 1, chain }] })),
    },
    objects,
  )

async function pages(reader: StateReader, limit: number): Promise<StoredEntry[]> {
  const entries: StoredEntry[] = []
  let next: StatePosition | null = null
  do {
    const page = await reader.page(of, next, limit)
    expect(page.entries.length).toBeLessThanOrEqual(limit)
    entries.push(...page.entries)
    next = page.next
  } while (next !== null)
  return entries
}

type Row = readonly [key: Key, namespace: number, value: number | null]
const key = fc.oneof(fc.nat(12), fc.constantFrom('a', 'b', '1', '7'))
const row: fc.Arbitrary<Row> = fc.tuple(key, fc.constantFrom(0, 0, 0, 60_000), fc.option(fc.nat(50), { nil: null }))
const history = fc.array(fc.array(row, { maxLength: 12 }), { minLength: 1, maxLength: 5 })

test('over any history: pages, keys one by one, counts and differences are those of plain maps', async () => {
  await fc.assert(
    fc.asyncProperty(history, fc.integer({ min: 1, max: 5 }), async (snapshots, limit) => {
      const objects = new MemoryObjects()
      // Two subtasks, as a job of two has them.
      const stores = await Promise.all(
        [0, 1].map((i) => openStore(objects, { keyGroups: keyGroupRange(i, 2, 128), writer: `${i}/2` })),
      )
      const model = new Map<string, Row>()
      const epochs: { readonly chains: (readonly SegmentRef[])[]; readonly model: ReadonlyMap<string, Row> }[] = []
      for (const [n, rows] of snapshots.entries()) {
        for (const [k, namespace, value] of rows) {
          const state = stores[keyGroupOf(k, 128) < 64 ? 0 : 1]!.keyed<number>(uid, 'acc')
          if (value === null) state.delete(k, namespace)
          else state.put(k, (state.get(k, namespace) ?? 0) + value, namespace)
          const id = `${namespace}/${typeof k}${k}`
          if (value === null) model.delete(id)
          else model.set(id, [k, namespace, (model.get(id)?.[2] ?? 0) + value])
        }
        const chains = await Promise.all(stores.map((store) => store.snapshot(cp(n + 1))))
        epochs.push({ chains, model: new Map(model) })
      }
      const reader = readerOf(objects, ...epochs.at(-1)!.chains)
      const paged = await pages(reader, limit)
      const asRow = ({ key: k, namespace, value }: StoredEntry): Row => [k, namespace, value as number]
      const id = ([k, namespace]: Row): string => `${namespace}/${typeof k}${k}`
      expect(new Map(paged.map((entry) => [id(asRow(entry)), asRow(entry)]))).toEqual(model)
      expect(paged).toHaveLength(model.size)
      const [state] = await reader.counted()
      expect(state?.keys ?? 0).toBe(model.size)
      for (const [k] of model.values()) {
        const found = await reader.get(of, String(k), null)
        const meant = [...model.values()].filter(([other]) => String(other) === String(k))
        expect(found.map((entry) => id(asRow(entry))).sort()).toEqual(meant.map(id).sort())
      }
      const [first, last] = [epochs[0]!, epochs.at(-1)!]
      const [diff] = await diffStates(readerOf(objects, ...first.chains), reader, 3)
      const added = [...last.model.keys()].filter((k) => !first.model.has(k)).length
      const removed = [...first.model.keys()].filter((k) => !last.model.has(k)).length
      const changed = [...last.model].filter(([k, [, , v]]) => (first.model.get(k) ?? [0, 0, v])[2] !== v).length
      const { added: a, removed: r, changed: c } = diff ?? { added: 0, removed: 0, changed: 0 }
      expect({ a, r, c }).toEqual({ a: added, r: removed, c: changed })
      expect(diff?.changes.length ?? 0).toBe(Math.min(3, added + removed + changed))
      await Promise.all(stores.map((store) => store.close()))
    }),
    { numRuns: 25 },
  )
})

test('states are listed with their schema without reading a segment; those of older builds by their index', async () => {
  const objects = new MemoryObjects()
  const schema = stateSchema('balance', 3) as StateSchema<unknown>
  const store = await openStore(objects, { schemas: (_, name) => (name === 'acc' ? schema : null) })
  store.keyed<number>(uid, 'acc').put('ada', 1)
  store.keyed<number>(operatorUid('per-10s'), 'window').put('ada', 1, 10_000)
  const chain = await store.snapshot(cp(1))
  await store.close()
  const expected = [
    { operatorUid: 'per-10s', name: 'window', stage: 1, schema: null, bySplit: false, keys: null },
    { operatorUid: 'sum', name: 'acc', stage: 1, schema: { name: 'balance', version: 3 }, bySplit: false, keys: null },
  ]
  expect(await readerOf(new MemoryObjects(), chain).states()).toEqual(expected)
  const { states: _, ...silent } = chain[0]!
  expect(await readerOf(objects, [silent]).states()).toEqual(expected)
  expect(readerOf(objects, chain).chains()).toEqual([{ subtask: 0, stage: 1, segments: 1, bytes: chain[0]!.bytes }])
})

test('state that was given up at a start is not shown', async () => {
  const objects = new MemoryObjects()
  const store = await openStore(objects)
  store.keyed<number>(uid, 'acc').put('ada', 1)
  store.keyed<number>(uid, 'other').put('ada', 2)
  const chain = (await store.snapshot(cp(1))).map((ref) => ({ ...ref, without: ['sum/acc'] }))
  await store.close()
  for (const refs of [chain, chain.map(({ states: _, ...silent }) => silent)]) {
    const reader = readerOf(objects, refs)
    expect((await reader.counted()).map(({ name, keys }) => [name, keys])).toEqual([['other', 1]])
    expect(await reader.get(of, 'ada', null)).toEqual([])
    expect((await diffStates(reader, readerOf(objects, []), 9)).map(({ name }) => name)).toEqual(['other'])
  }
})

test('rows of a map: by the key they belong to, each with its own', async () => {
  const objects = new MemoryObjects()
  const store = await openStore(objects)
  const map = store.keyed<number>(uid, 'cards[]')
  const [ada, seven] = [entryPrefix('ada'), entryPrefix(7)]
  map.put(entryKey(ada, 'visa'), 1)
  map.put(entryKey(ada, 2), 2)
  map.put(entryKey(seven, 'visa'), 3)
  const first = await store.snapshot(cp(1))
  map.put(entryKey(ada, 'visa'), 5)
  const chain = await store.snapshot(cp(2))
  await store.close()
  const cards = { operatorUid: 'sum', name: 'cards[]' }
  const reader = readerOf(objects, chain)
  const shown = (entries: readonly StoredEntry[]) => entries.map(({ key, entry, value }) => [key, entry, value])
  expect(shown(await reader.get(cards, 'ada', null)).sort()).toEqual(
    [
      ['ada', 'visa', 5],
      ['ada', 2, 2],
    ].sort(),
  )
  expect(shown(await reader.get(cards, '7', null))).toEqual([[7, 'visa', 3]])
  expect(shown((await reader.page(cards, null, 10)).entries)).toHaveLength(3)
  const [diff] = await diffStates(readerOf(objects, first), reader, 10)
  expect(diff!.changes).toMatchObject([{ change: 'changed', key: 'ada', entry: 'visa', before: 1, after: 5 }])
})

test('a page of large values ends early, and the next goes on behind it', async () => {
  const objects = new MemoryObjects()
  const store = await openStore(objects)
  for (let i = 0; i < 5; i++) store.keyed(uid, 'acc').put(`user-${i}`, String(i).repeat(600_000))
  const chain = await store.snapshot(cp(1))
  await store.close()
  const reader = readerOf(objects, chain)
  expect((await reader.page(of, null, 10)).entries).toHaveLength(1)
  expect((await pages(reader, 10)).map(({ key }) => key).sort()).toEqual([
    'user-0',
    'user-1',
    'user-2',
    'user-3',
    'user-4',
  ])
})

test('state that is kept by split: a key in every split, or in the one that is asked for', async () => {
  const objects = new MemoryObjects()
  const every = { keyGroups: { from: 0, to: 2 ** 31 } }
  const [a, b] = await Promise.all([openStore(objects, every), openStore(objects, { ...every, writer: '1/2' })])
  a.keyed(uid, 'acc', 0).put('ada', 'in 0')
  b.keyed(uid, 'acc', 1).put('ada', 'in 1')
  a.keyed(uid, 'acc', 2).put('ada', 'in 2')
  const reader = readerOf(objects, await a.snapshot(cp(1)), await b.snapshot(cp(1)))
  expect((await reader.get(of, 'ada', null)).map(({ split, value }) => [split, value])).toEqual([
    [0, 'in 0'],
    [1, 'in 1'],
    [2, 'in 2'],
  ])
  expect((await reader.get(of, 'ada', 1)).map(({ value }) => value)).toEqual(['in 1'])
  expect((await pages(reader, 1)).map(({ value }) => value)).toEqual(['in 0', 'in 1', 'in 2'])
  expect((await reader.counted())[0]!.keys).toBe(3)
  await Promise.all([a.close(), b.close()])
})

test('behind a rescale: of a segment that two subtasks go on from, each shows its own part', async () => {
  const objects = new MemoryObjects()
  const one = await openStore(objects, { keyGroups: splitRange(0, 1), writer: '0/1' })
  for (const split of [0, 1]) one.keyed<string>(uid, 'acc', split).put('ada', `old ${split}`)
  const old = await one.snapshot(cp(1))
  await one.close()
  const chains = await Promise.all(
    [0, 1].map(async (i) => {
      const store = await openStore(objects, { keyGroups: splitRange(i, 2), writer: `${i}/2` })
      await store.restore(old.map((ref) => ({ ...ref, only: splitRange(i, 2) })))
      store.keyed<string>(uid, 'acc', i).put('ada', `new ${i}`)
      const chain = await store.snapshot(cp(2))
      await store.close()
      return chain
    }),
  )
  const reader = readerOf(objects, ...chains)
  expect((await pages(reader, 1)).map(({ split, value }) => [split, value])).toEqual([
    [0, 'new 0'],
    [1, 'new 1'],
  ])
})

describe('a large state', async () => {
  const objects = new MemoryObjects()
  const store = await openStore(objects, { hotEntriesMax: 1 })
  const acc = store.keyed(uid, 'acc')
  const noise = (i: number): string => Array.from({ length: 12 }, (_, j) => Math.imul(i + 7, j + 12345) >>> 0).join(':')
  for (let i = 0; i < 40_000; i++) acc.put(`user-${i}`, noise(i))
  const chain = await store.snapshot(cp(1))
  await store.close()
  const { bytes } = chain[0]!

  test('one key, and one page, cost the ranges they lie in', async () => {
    objects.read.length = 0
    const [found] = await readerOf(objects, chain).get(of, 'user-777', null)
    expect(found).toMatchObject({ key: 'user-777', value: noise(777), keyGroup: keyGroupOf('user-777', 128) })
    const readBytes = (): number =>
      objects.read.reduce((sum, line) => sum + Number(line.split(' ')[2]) - Number(line.split(' ')[1]), 0)
    expect(bytes).toBeGreaterThan(1_000_000)
    expect(readBytes()).toBeLessThan(bytes / 8)
    objects.read.length = 0
    expect((await readerOf(objects, chain).page(of, null, 10)).entries).toHaveLength(10)
    expect(readBytes()).toBeLessThan(bytes / 2)
  })

  test.each<[string, (stored: Map<string, { bytes: Uint8Array; etag: string }>, key: string) => void, string]>([
    ['a flipped bit', (s, k) => void (s.get(k)!.bytes[Math.floor(bytes / 2)]! ^= 4), 'SEGMENT_CORRUPT'],
    ['a flipped bit in the index', (s, k) => void (s.get(k)!.bytes[bytes - 20]! ^= 4), 'SEGMENT_CORRUPT'],
    [
      'cut off',
      (s, k) => void s.set(k, { bytes: s.get(k)!.bytes.slice(0, bytes - 999), etag: '1' }),
      'SEGMENT_CORRUPT',
    ],
    ['missing', (s, k) => void s.delete(k), 'SEGMENT_MISSING'],
  ])('%s: named by whatever reads it', async (_, damage, code) => {
    const damaged = new MemoryObjects()
    const ref = chain[0]!
    damaged.stored.set(ref.key, { bytes: Uint8Array.from(objects.stored.get(ref.key)!.bytes), etag: '1' })
    damage(damaged.stored as never, ref.key)
    const named = { code, kind: 'invalid', facts: { objectKey: ref.key } }
    await expect(readerOf(damaged, chain).counted()).rejects.toMatchObject(named)
    await expect(pages(readerOf(damaged, chain), 1_000)).rejects.toMatchObject(named)
    await expect(diffStates(readerOf(objects, chain), readerOf(damaged, chain), 1)).rejects.toMatchObject(named)
  })
})

test('a chain that misses a segment is noticed by a reader too', async () => {
  const objects = new MemoryObjects()
  const store = await openStore(objects)
  const chain: SegmentRef[] = []
  for (let n = 1; n <= 3; n++) {
    store.keyed<number>(uid, 'acc').put('ada', n)
    chain.splice(0, 3, ...(await store.snapshot(cp(n))))
  }
  await store.close()
  const broken = readerOf(objects, [chain[0]!, chain[2]!])
  await expect(broken.get(of, 'ada', null)).rejects.toMatchObject({ code: 'SEGMENT_CHAIN_BROKEN' })
})
