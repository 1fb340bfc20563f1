import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ObjectStore, StoredObject } from '@weir/checkpoint'
import type { SegmentRef } from '@weir/dataflow'
import { WeirError, attempt, epoch, generation, operatorUid, type CheckpointId, type Key } from '@weir/model'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { openStateStore, type LevelStateStore } from './index.ts'

const root = await mkdtemp(join(tmpdir(), 'weir-state-'))
afterAll(() => rm(root, { recursive: true, force: true }))

/** Objects in a Map; `down` makes every put fail as an unreachable store does. */
class Objects implements ObjectStore {
  readonly stored = new Map<string, StoredObject>()
  down = false
  async put(key: string, bytes: Uint8Array) {
    if (this.down) throw new WeirError({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' }, 'down')
    this.stored.set(key, { bytes: Uint8Array.from(bytes), etag: '1' })
    return { kind: 'stored' as const, etag: '1' }
  }
  async get(key: string) {
    return this.stored.get(key) ?? null
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
const open = (objects: Objects, keyGroups = { from: 0, to: 128 }, hotEntriesMax = 4): Promise<LevelStateStore> => {
  const dir = join(root, `s${++opened}`)
  const options = { dir, keyGroups, maxParallelism: 128, hotEntriesMax, chainLengthMax: 3, freeze: true }
  const name = opened
  return openStateStore(options, {
    objects,
    putSegment: async (key, bytes) => void (await objects.put(key, bytes)),
    segmentKey: (c) => `seg-${name}-${c.epoch}`,
  })
}
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

test('undefined and functions are no state', async () => {
  const a = await open(new Objects())
  const s = a.keyed<unknown>(uid, 'acc')
  expect(() => s.put('k', undefined)).toThrow(expect.objectContaining({ code: 'STATE_VALUE_UNDEFINED' }) as Error)
  expect(() => s.put('k', () => 1)).toThrow(expect.objectContaining({ code: 'STATE_VALUE_UNSERIALISABLE' }) as Error)
  await a.close()
})

test('over any history of changes, snapshots, lost uploads and restarts the store equals plain maps', async () => {
  const key = fc.constantFrom<Key>('a', 'b', 'c', 'd', 'e', 'f', 1, '1')
  const namespace = fc.constantFrom(0, 0, 10, 20)
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('put' as const), key, namespace, value: fc.nat(99) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), key, namespace }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const), namespace: fc.constantFrom(10, 20) }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant('snapshot' as const), lost: fc.boolean(), wait: fc.boolean() }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const objects = new Objects()
      let store = await open(objects)
      let model = new Map<string, number>()
      let durable: { chain: readonly SegmentRef[]; model: Map<string, number> } = { chain: [], model: new Map() }
      let pending: Promise<unknown> = Promise.resolve()
      let n = 0
      const id = (k: Key, ns: number): string => JSON.stringify([ns, k])
      for (const s of steps) {
        const state = store.keyed<number>(uid, 'acc')
        if (s.do === 'put') {
          state.put(s.key, s.value, s.namespace)
          model.set(id(s.key, s.namespace), s.value)
        } else if (s.do === 'delete') {
          state.delete(s.key, s.namespace)
          model.delete(id(s.key, s.namespace))
        } else if (s.do === 'clear') {
          state.clear(s.namespace)
          for (const k of model.keys()) if ((JSON.parse(k) as [number])[0] === s.namespace) model.delete(k)
        } else if (s.do === 'snapshot') {
          await pending
          objects.down = s.lost
          const moment = new Map(model)
          pending = store.snapshot(cp(++n)).then(
            (chain) => void (durable = { chain, model: moment }),
            () => {},
          )
          if (s.wait) await pending
        } else {
          await pending
          await store.close()
          objects.down = false
          store = await open(objects)
          await store.restore(durable.chain)
          model = new Map(durable.model)
        }
        const now = store.keyed<number>(uid, 'acc')
        for (const ns of [0, 10, 20]) {
          for (const k of ['a', 'b', 'c', 'd', 'e', 'f', 1, '1']) expect(now.get(k, ns)).toBe(model.get(id(k, ns)))
        }
        const spaces = [...new Set([...model.keys()].map((k) => (JSON.parse(k) as [number])[0]))]
          .filter((ns) => ns !== 0)
          .sort((a, b) => a - b)
        expect(now.namespaces()).toEqual(spaces)
      }
      await pending
      await store.close()
    }),
    { numRuns: 60 },
  )
}, 60_000)

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
