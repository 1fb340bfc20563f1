import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ObjectStore, StoredObject } from '@weir/checkpoint'
import type { SegmentRef } from '@weir/dataflow'
import {
  WeirError,
  attempt,
  epoch,
  generation,
  keyGroupOf,
  operatorUid,
  type CheckpointId,
  type Key,
} from '@weir/model'
import { ClassicLevel } from 'classic-level'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { openStateStore, type LevelStateStore, type StateStoreOptions } from './index.ts'
import { unpack } from './pack.ts'
import { openSegment } from './segment-reader.ts'
import { DELETE, MINUS, PLUS, VALUE, type Op } from './segment.ts'

const root = await mkdtemp(join(tmpdir(), 'weir-state-'))
afterAll(() => rm(root, { recursive: true, force: true }))

/** Objects in a Map; `down` makes every put fail as an unreachable store does, `held` makes puts of such keys wait. */
class Objects implements ObjectStore {
  readonly stored = new Map<string, StoredObject>()
  readonly read: string[] = []
  down = false
  held: { readonly keys: RegExp; readonly until: Promise<void> } | null = null
  async put(key: string, bytes: Uint8Array) {
    if (this.held?.keys.test(key)) await this.held.until
    if (this.down) throw new WeirError({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' }, 'down')
    this.stored.set(key, { bytes: Uint8Array.from(bytes), etag: '1' })
    return { kind: 'stored' as const, etag: '1' }
  }
  async get(key: string) {
    return this.stored.get(key) ?? null
  }
  async readRange(key: string, from: number, to: number) {
    this.read.push(`${key} ${from}`)
    return this.stored.get(key)?.bytes.subarray(from, to) ?? null
  }
  async list() {
    return [...this.stored.keys()]
  }
  async delete(key: string) {
    this.stored.delete(key)
  }
  async close() {}
}
const cp = (n: number): CheckpointId => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
let opened = 0
const open = (
  objects: Objects,
  keyGroups = { from: 0, to: 128 },
  hotEntriesMax = 4,
  bounds: Pick<StateStoreOptions, 'chainLengthMax' | 'chainRatioMax' | 'pendingEntriesMin'> = {
    ...{ chainLengthMax: 3, chainRatioMax: 1_000 },
  },
): Promise<LevelStateStore> => {
  const dir = join(root, `s${++opened}`)
  const options = { dir, keyGroups, maxParallelism: 128, writer: '0/1', hotEntriesMax, ...bounds, freeze: true }
  const name = opened
  return openStateStore(options, {
    objects,
    upload: (key) => {
      const parts: Uint8Array[] = []
      return {
        write: async (bytes) => void parts.push(bytes),
        finish: async () => void (await objects.put(key, Buffer.concat(parts))),
        abort: async () => {},
      }
    },
    segmentKey: (c, kind) => `seg-${name}-${c.epoch}-${kind}`,
  })
}
const kinds = (chain: readonly SegmentRef[]): string[] => chain.map(({ key, kind }) => `${kind} ${key.slice(-9)}`)
const uid = operatorUid('sum')

test('what was snapshotted is restored; what came after the barrier is not', async () => {
  const objects = new Objects()
  const a = await open(objects)
  const s = a.keyed<unknown>(uid, 'acc')
  s.put('ada', { sum: 2 ** 40 })
  s.put(1, 'number')
  s.put('1', 'text')
  const snapshot = a.snapshot(cp(1))
  s.put('ada', { sum: 0 })
  s.delete(1)
  const chain = await snapshot
  expect(s.get('ada')).toEqual({ sum: 0 })
  const b = await open(objects)
  await b.restore(chain)
  expect(['ada', 1, '1', 'nobody'].map((k) => b.keyed(uid, 'acc').get(k))).toEqual([
    { sum: 2 ** 40 },
    'number',
    'text',
    undefined,
  ])
  await Promise.all([a.close(), b.close()])
})

test('nothing changed: the same chain and no upload', async () => {
  const objects = new Objects()
  const a = await open(objects)
  a.keyed(uid, 'acc').put('k', 1)
  const first = await a.snapshot(cp(1))
  expect(await a.snapshot(cp(2))).toBe(first)
  expect(objects.stored.size).toBe(1)
  await a.close()
})

test('a failed upload loses nothing: the next snapshot holds its changes', async () => {
  const objects = new Objects()
  const a = await open(objects)
  const s = a.keyed(uid, 'acc')
  s.put('a', 1)
  await a.snapshot(cp(1))
  s.put('b', 2)
  objects.down = true
  await expect(a.snapshot(cp(2))).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE' })
  objects.down = false
  const b = await open(objects)
  await b.restore(await a.snapshot(cp(3)))
  expect(['a', 'b'].map((k) => b.keyed(uid, 'acc').get(k))).toEqual([1, 2])
  await Promise.all([a.close(), b.close()])
})

test('an epoch does not wait for the disk; where that fails, the epoch stands and the next one is refused', async () => {
  const objects = new Objects()
  const a = await open(objects, undefined, 0)
  const s = a.keyed(uid, 'acc')
  s.put('a', 1)
  await a.snapshot(cp(1))
  s.put('b', 2)
  const full = { length: 0, put: () => {}, write: () => Promise.reject(new Error('the disk is full')) }
  const batch = vi.spyOn(ClassicLevel.prototype, 'batch').mockReturnValueOnce(full as never)
  const chain = await a.snapshot(cp(2))
  await expect(a.snapshot(cp(3))).rejects.toMatchObject({ code: 'STATE_UNWRITABLE', kind: 'restart' }) // nothing has changed
  s.put('c', 3)
  await expect(a.snapshot(cp(3))).rejects.toMatchObject({ code: 'STATE_UNWRITABLE', kind: 'restart' })
  await expect(a.snapshot(cp(4))).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' })
  batch.mockRestore()
  expect(['a', 'b', 'c'].map((k) => s.get(k))).toEqual([1, 2, 3])
  const b = await open(objects)
  await b.restore(chain)
  expect(['a', 'b', 'c'].map((k) => b.keyed(uid, 'acc').get(k))).toEqual([1, 2, undefined])
  await Promise.all([a.close(), b.close()])
})

test('while all values fit in memory LevelDB has none of them, and a key that is not there is not looked for', async () => {
  const look = vi.spyOn(ClassicLevel.prototype, 'getSync')
  const batch = vi.spyOn(ClassicLevel.prototype, 'batch')
  const objects = new Objects()
  const a = await open(objects, undefined, 100)
  const s = a.keyed<unknown>(uid, 'acc')
  for (let i = 0; i < 40; i++) s.put(i, i)
  await a.snapshot(cp(1))
  for (let i = 0; i < 40; i += 2) s.put(i, i + 1_000)
  const chain = await a.snapshot(cp(2))
  await a.folded()
  expect([s.get(1), s.get(40)]).toEqual([1, undefined])
  const b = await open(objects, undefined, 100)
  await b.restore(chain)
  await b.settled()
  expect([1, 2, 40].map((k) => b.keyed(uid, 'acc').get(k))).toEqual([1, 1_002, undefined])
  expect([look.mock.calls, batch.mock.calls]).toEqual([[], []])
  // From the first barrier at which they do not fit, the other way round.
  for (let i = 100; i < 300; i++) s.put(i, i)
  await a.snapshot(cp(3))
  await a.folded()
  expect(batch).toHaveBeenCalled()
  const keys = Array.from({ length: 310 }, (_, i) => i)
  const values = keys.map((i) => (i < 40 ? (i % 2 === 0 ? i + 1_000 : i) : i < 100 || i >= 300 ? undefined : i))
  expect(keys.map((i) => s.get(i))).toEqual(values)
  expect(look).toHaveBeenCalled()
  for (const mock of [look, batch]) mock.mockRestore()
  await Promise.all([a.close(), b.close()])
})

/** Restored behind what comes next: nothing has been taken yet. */
const behind = { chainLengthMax: 100, chainRatioMax: 1_000, pendingEntriesMin: 0 }

test('what is deleted while a restore goes on behind the running job does not come back', async () => {
  const objects = new Objects()
  const a = await open(objects, undefined, 1_000)
  const keys = Array.from({ length: 400 }, (_, i) => `k${i}`)
  for (const k of keys) a.keyed(uid, 'acc').put(k, 1)
  const chain = await a.snapshot(cp(1))
  for (const bound of [0, 1_000]) {
    const b = await open(objects, undefined, bound, behind)
    await b.restore(chain)
    const s = b.keyed(uid, 'acc')
    for (const k of keys) s.delete(k)
    await b.snapshot(cp(2))
    await b.folded()
    await b.settled()
    expect(keys.map((k) => s.get(k)).filter((v) => v !== undefined)).toEqual([])
    await b.close()
  }
  await a.close()
})

test('a restore that turns out too large for memory, and goes on meanwhile, spills what is newest', async () => {
  const objects = new Objects()
  const a = await open(objects, undefined, 1_000)
  const s = a.keyed(uid, 'acc')
  for (let i = 0; i < 10; i++) s.put(i, 'base')
  await a.snapshot(cp(1))
  for (let i = 0; i < 400; i++) s.put(i, 'delta')
  const chain = await a.snapshot(cp(2))
  const b = await open(objects, undefined, 100, behind)
  await b.restore(chain)
  const t = b.keyed(uid, 'acc')
  for (let i = 0; i < 400; i += 2) t.put(i, 'new')
  await b.snapshot(cp(3))
  await b.folded()
  await b.settled()
  const all = Array.from({ length: 400 }, (_, i) => i)
  expect(all.map((i) => t.get(i))).toEqual(all.map((i) => (i % 2 === 0 ? 'new' : 'delta')))
  await Promise.all([a.close(), b.close()])
})

test('only the key groups of the slice are restored', async () => {
  const objects = new Objects()
  const a = await open(objects)
  const keys = Array.from({ length: 200 }, (_, i) => `k${i}`)
  for (const k of keys) a.keyed(uid, 'acc').put(k, k)
  const chain = await a.snapshot(cp(1))
  const halves = await Promise.all([open(objects, { from: 0, to: 64 }), open(objects, { from: 64, to: 128 })])
  for (const half of halves) await half.restore(chain)
  for (const k of keys) expect(halves.filter((h) => h.keyed(uid, 'acc').get(k) === k)).toHaveLength(1)
  await Promise.all([a, ...halves].map((s) => s.close()))
})

test('any flipped byte and a missing object are noticed and named', async () => {
  const objects = new Objects()
  const a = await open(objects)
  a.keyed(uid, 'acc').put('k', 'value')
  const [ref] = (await a.snapshot(cp(1))) as [SegmentRef]
  const { bytes } = objects.stored.get(ref.key)!
  const b = await open(objects)
  for (let i = 0; i < bytes.length; i++) {
    bytes[i]! ^= 1
    await expect(b.restore([ref])).rejects.toMatchObject({ code: 'SEGMENT_CORRUPT', facts: { objectKey: ref.key } })
    bytes[i]! ^= 1
  }
  await expect(b.restore([{ ...ref, key: 'gone' }])).rejects.toMatchObject({ code: 'SEGMENT_MISSING' })
  await Promise.all([a.close(), b.close()])
})

const MANY = Array.from({ length: 60_000 }, (_, i) => `key-${i}`)
/** Some MB that do not compress. */
async function large(objects: Objects): Promise<{ store: LevelStateStore; chain: readonly SegmentRef[] }> {
  const store = await open(objects)
  for (const k of MANY) store.keyed(uid, 'acc').put(k, createHash('sha512').update(k).digest('base64'))
  return { store, chain: await store.snapshot(cp(1)) }
}

test('of a large segment only the chunks of the key groups asked for are read; a damaged chunk or index is noticed', async () => {
  const objects = new Objects()
  const { store, chain } = await large(objects)
  const [ref] = chain as [SegmentRef]
  expect(ref.bytes).toBeGreaterThan(4 * 1024 * 1024)
  const half = await open(objects, { from: 32, to: 33 })
  await half.restore(chain)
  // The index, and one run of chunks.
  expect(objects.read).toHaveLength(2)
  const mine = MANY.filter((k) => keyGroupOf(k, 128) === 32)
  const differ = (other: LevelStateStore, keys: readonly string[]): string[] =>
    keys.filter((k) => other.keyed(uid, 'acc').get(k) !== store.keyed(uid, 'acc').get(k))
  expect(differ(half, mine)).toEqual([])
  const all = await open(objects)
  await all.restore(chain)
  expect(differ(all, MANY)).toEqual([])

  const { bytes } = objects.stored.get(ref.key)!
  for (const at of [5, Math.floor(ref.index!.at / 2), ref.index!.at - 1, ref.index!.at, ref.bytes - 1]) {
    const damaged = await open(objects)
    bytes[at]! ^= 1
    await expect(damaged.restore(chain)).rejects.toMatchObject({ code: 'SEGMENT_CORRUPT', kind: 'invalid' })
    bytes[at]! ^= 1
    await damaged.close()
  }
  objects.stored.set(ref.key, { bytes: bytes.subarray(0, ref.bytes - 1), etag: '' })
  await expect(all.restore(chain)).rejects.toMatchObject({ code: 'SEGMENT_CORRUPT' })
  objects.stored.delete(ref.key)
  await expect(all.restore(chain)).rejects.toMatchObject({ code: 'SEGMENT_MISSING' })
  await Promise.all([store, half, all].map((s) => s.close()))
})

test('a long chain is folded behind the next snapshots, which are not held up and go on from it', async () => {
  const objects = new Objects()
  const a = await open(objects)
  const s = a.keyed<number>(uid, 'acc')
  let release!: () => void
  objects.held = { keys: /folded/, until: new Promise((resolve) => (release = resolve)) }
  const snapshot = (n: number): Promise<readonly SegmentRef[]> => {
    for (let i = 0; i < 20; i++) s.put(`k${i}`, (s.get(`k${i}`) ?? 0) + n)
    return a.snapshot(cp(n))
  }
  for (let n = 1; n <= 6; n++) await snapshot(n)
  expect(kinds(await snapshot(7))).toEqual(['base 1-written', ...[2, 3, 4, 5, 6, 7].map((n) => `delta ${n}-written`)])
  release()
  await a.folded()
  const chain = await snapshot(8)
  // Of 4, or once more of 7, where the first folding was done in time.
  const [, folded] = /^base -([47])-folded$/.exec(kinds(chain)[0]!)!
  const behind = [5, 6, 7, 8].filter((n) => n > Number(folded))
  expect(kinds(chain).slice(1)).toEqual(behind.map((n) => `delta ${n}-written`))
  const b = await open(objects)
  await b.restore(chain)
  expect(b.keyed(uid, 'acc').get('k3')).toBe(36)
  await Promise.all([a.close(), b.close()])
})

test('an epoch that changes most of a state in memory is a base: nothing has to be folded', async () => {
  const objects = new Objects()
  const a = await open(objects, undefined, 10_000)
  const state = a.keyed<number>(uid, 'acc')
  for (let i = 0; i < 2_000; i++) state.put(i, i)
  await a.snapshot(cp(1))
  for (let i = 0; i < 900; i++) state.put(i, i + 1)
  expect(kinds(await a.snapshot(cp(2)))).toEqual(['base 1-written', 'delta 2-written'])
  for (let i = 0; i < 1_600; i++) state.put(i, i + 2)
  state.delete(0)
  const chain = await a.snapshot(cp(3))
  expect(kinds(chain)).toEqual(['base 3-written'])
  const b = await open(objects, undefined, 10_000)
  await b.restore(chain)
  expect([0, 1, 1_999].map((i) => b.keyed(uid, 'acc').get(i))).toEqual([undefined, 3, 1_999])
  await Promise.all([a.close(), b.close()])
})

test('a chain heavier than its base is folded, however short', async () => {
  const objects = new Objects()
  const a = await open(objects, undefined, 4, { chainLengthMax: 100, chainRatioMax: 0.5 })
  const state = a.keyed<string>(uid, 'acc')
  state.put('a', 'x')
  await a.snapshot(cp(1))
  state.put('b', createHash('sha512').update('b').digest('base64'))
  await a.snapshot(cp(2))
  await a.folded()
  state.put('c', 'x')
  expect(kinds(await a.snapshot(cp(3)))).toEqual(['base -2-folded', 'delta 3-written'])
  await a.close()
})

test('a fold lets its epoch be published first, and what it has stored is what was at its barrier; the next epoch does not wait for it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }) // by itself the time is never over
  onTestFinished(() => void vi.useRealTimers())
  const objects = new Objects()
  const a = await open(objects)
  const state = a.keyed<number>(uid, 'acc')
  const snapshot = (n: number): Promise<readonly SegmentRef[]> => {
    for (let i = 0; i < 20; i++) state.put(`k${i}`, n)
    return a.snapshot(cp(n))
  }
  for (let n = 1; n <= 4; n++) await snapshot(n)
  await new Promise((resolve) => setImmediate(resolve))
  const folds = (): string[] => [...objects.stored.keys()].filter((key) => key.endsWith('folded'))
  expect(folds()).toEqual([])
  await snapshot(5)
  await a.folded()
  expect(folds()).toHaveLength(1)
  const chain = await snapshot(6)
  expect(kinds(chain)).toEqual(['base -4-folded', 'delta 5-written', 'delta 6-written'])
  const b = await open(objects)
  await b.restore(chain.slice(0, 1))
  expect(b.keyed(uid, 'acc').get('k3')).toBe(4)
  await Promise.all([a.close(), b.close()])
})

test('a chain that cannot be folded declines epochs at four times its bound, and loses nothing', async () => {
  const objects = new Objects()
  const a = await open(objects)
  const put = objects.put.bind(objects)
  objects.put = (key, bytes) =>
    key.endsWith('folded')
      ? Promise.reject(new WeirError({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' }, 'down'))
      : put(key, bytes)
  const snapshot = async (n: number): Promise<readonly SegmentRef[]> => {
    a.keyed(uid, 'acc').put('k', `v${n}`)
    const stored = await a.snapshot(cp(n))
    await a.folded()
    return stored
  }
  for (let n = 1; n <= 12; n++) expect(await snapshot(n)).toHaveLength(n)
  await expect(snapshot(13)).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE' })
  const b = await open(objects)
  await b.restore(await snapshot(14))
  expect(b.keyed(uid, 'acc').get('k')).toBe('v14')
  await Promise.all([a.close(), b.close()])
})

test('a delta is added only to the version it continues: a chain that misses or repeats one is refused', async () => {
  const objects = new Objects()
  const a = await open(objects)
  const chains: (readonly SegmentRef[])[] = []
  for (let n = 1; n <= 3; n++) {
    a.keyed(uid, 'acc').put('sum', n * 1_000)
    chains.push(await a.snapshot(cp(n)))
  }
  const [base, two, three] = chains[2] as [SegmentRef, SegmentRef, SegmentRef]
  for (const broken of [
    [base, three],
    [base, two, two, three],
    [base, two, base, three],
    [two, three],
  ]) {
    const b = await open(objects)
    await expect(b.restore(broken)).rejects.toMatchObject({ code: 'SEGMENT_CHAIN_BROKEN', kind: 'invalid' })
    await b.close()
  }
  await a.close()
})

test('a whole number is stored as its difference', async () => {
  const objects = new Objects()
  const a = await open(objects, { from: 0, to: 128 }, 100)
  const state = a.keyed<number | bigint>(uid, 'acc')
  const ops = async (n: number): Promise<[Key, Op, unknown][]> => {
    const ref = (await a.snapshot(cp(n))).at(-1)!
    const opened = await openSegment({ ...ref, index: ref.index! }, objects, { from: 0, to: 128 })
    const rows: [Key, Op, unknown][] = []
    for await (const chunk of opened.chunks()) {
      for (const { key, op, value } of chunk) rows.push([key, op, op === DELETE ? null : unpack(value)])
    }
    return rows.sort(([x], [y]) => (x < y ? -1 : 1))
  }
  const sums = { cents: 10n ** 15n, count: 5, rate: 1.5 }
  for (const [key, value] of Object.entries(sums)) state.put(key, value)
  state.put('same', 3)
  expect((await ops(1)).map(([, op]) => op)).toEqual([VALUE, VALUE, VALUE, VALUE])
  state.put('cents', 10n ** 15n - 1n)
  state.put('count', 9)
  state.put('count', 12)
  state.put('rate', 2.5)
  state.put('same', 3)
  expect(await ops(2)).toEqual([
    ['cents', MINUS, 1n],
    ['count', PLUS, 7],
    ['rate', VALUE, 2.5],
  ])
  state.delete('count')
  state.put('count', 1)
  expect(await ops(3)).toEqual([['count', MINUS, 11]])
  await a.close()
})

test('rows that a segment is restored without count for nothing, now and later, also when their operator comes back', async () => {
  const objects = new Objects()
  const a = await open(objects)
  const other = operatorUid('other')
  for (const n of [1, 2]) {
    a.keyed(uid, 'acc').put('k', n)
    a.keyed(uid, 'seen').put('k', n)
    a.keyed(other, 'acc').put('k', n)
    a.keyed(other, 'acc').put('window', n, 60_000)
    await a.snapshot(cp(n))
  }
  const chain = (await a.snapshot(cp(3))).map((ref) => ({ ...ref, without: ['other', 'sum/seen'] }))
  const seen = (store: LevelStateStore): unknown[] => [
    store.keyed(uid, 'acc').get('k'),
    store.keyed(uid, 'seen').get('k'),
    store.keyed(other, 'acc').get('k'),
    store.keyed(other, 'acc').namespaces().length,
  ]
  const b = await open(objects)
  await b.restore(chain)
  expect(seen(b)).toEqual([2, undefined, undefined, 0])
  b.keyed(uid, 'acc').put('k', 3)
  b.keyed(other, 'acc').put('new', 1)
  const later = await b.snapshot(cp(4))
  expect(later.map(({ without }) => without?.length)).toEqual([2, 2, undefined])
  const c = await open(objects)
  await c.restore(later)
  expect(seen(c)).toEqual([3, undefined, undefined, 0])
  expect(c.keyed(other, 'acc').get('new')).toBe(1)
  await Promise.all([a, b, c].map((store) => store.close()))
})

test('undefined and functions are no state', async () => {
  const a = await open(new Objects())
  const s = a.keyed<unknown>(uid, 'acc')
  expect(() => s.put('k', undefined)).toThrow(expect.objectContaining({ code: 'STATE_VALUE_UNDEFINED' }) as Error)
  expect(() => s.put('k', () => 1)).toThrow(expect.objectContaining({ code: 'STATE_VALUE_UNSERIALISABLE' }) as Error)
  await a.close()
})

test('a state per split: the split is the key group, equal keys of two splits are two keys', async () => {
  const objects = new Objects()
  const every = { from: 0, to: 2 ** 31 }
  const a = await open(objects, every)
  a.keyed(uid, 'acc', 3).put('k', 'three')
  a.keyed(uid, 'acc', 700).put('k', 'seven hundred')
  a.keyed(uid, 'acc').put('k', 'by key')
  const chain = await a.snapshot(cp(1))
  const b = await open(objects, every)
  await b.restore(chain)
  expect([b.keyed(uid, 'acc', 3), b.keyed(uid, 'acc', 700), b.keyed(uid, 'acc')].map((s) => s.get('k'))).toEqual([
    'three',
    'seven hundred',
    'by key',
  ])
  const only = await open(objects, { from: 700, to: 701 })
  await only.restore(chain)
  expect([3, 700].map((split) => only.keyed(uid, 'acc', split).get('k'))).toEqual([undefined, 'seven hundred'])
})
