/** Stores of one parallelism restored at another, with what the job-manager makes of the manifest in between. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { redistribute, type Manifest } from '@weir/checkpoint'
import { BroadcastStates, operatorGroups, type SegmentRef } from '@weir/dataflow'
import { attempt, epoch, generation, keyGroupOf, keyGroupRange, operatorUid, ownerOf, subtask } from '@weir/model'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { CountingObjects } from './counting-objects.fixture.ts'
import { openStateStore, type LevelStateStore } from './index.ts'

const MAX = 128
const root = await mkdtemp(join(tmpdir(), 'weir-rescale-'))
afterAll(() => rm(root, { recursive: true, force: true }))

let opened = 0
/** Some in memory alone, some over their bound now and then, some from the beginning. */
const BOUNDS = [4, 100, 0]
const PACKED_FROM = [0, null, 3, null]
const open = (objects: CountingObjects, i: number, of: number, pendingEntriesMin: number): Promise<LevelStateStore> => {
  const name = ++opened
  return openStateStore(
    {
      ...{ dir: join(root, `s${name}`), keyGroups: keyGroupRange(i, of, MAX), maxParallelism: MAX },
      ...{
        writer: `${i}/${of}`,
        hotEntriesMax: BOUNDS[(opened + i) % BOUNDS.length]!,
        chainLengthMax: 5,
        chainRatioMax: 1_000,
        freeze: true,
        pendingEntriesMin,
        packed: () => PACKED_FROM[opened % PACKED_FROM.length]!,
      },
    },
    {
      objects,
      upload: objects.upload,
      segmentKey: (c, kind) => `seg-${name}-${c.epoch}-${kind}`,
    },
  )
}
const uid = operatorUid('sum')

/** All subtasks of a job, one after another at each parallelism. */
class Job {
  readonly objects = new CountingObjects()
  stores: LevelStateStore[] = []
  readonly #pendingEntriesMin: number
  #manifest: Manifest | null = null
  #epoch = 0

  constructor(pendingEntriesMin = 20_000) {
    this.#pendingEntriesMin = pendingEntriesMin
  }

  async rescale(parallelism: number): Promise<void> {
    await this.close()
    const sinks: string[] = []
    const target = { parallelism, highestParallelism: parallelism, maxParallelism: MAX, sinks, sourceStages: [0] }
    const restored = redistribute(this.#manifest, target)
    this.stores = await Promise.all(restored.map((_, i) => open(this.objects, i, parallelism, this.#pendingEntriesMin)))
    this.objects.bytesRead = 0
    for (const [i, store] of this.stores.entries()) {
      const [stage] = (restored[i]?.segments ?? []) as { chain: readonly SegmentRef[] }[]
      await store.restore(stage?.chain ?? [])
    }
  }

  of(key: string): LevelStateStore {
    return this.stores[ownerOf(keyGroupOf(key, MAX), this.stores.length, MAX)]!
  }

  get(key: string): number | undefined {
    return this.of(key).keyed<number>(uid, 'acc').get(key)
  }

  put(key: string, value: number): void {
    this.of(key).keyed<number>(uid, 'acc').put(key, value)
  }

  async snapshot(): Promise<void> {
    const checkpoint = { generation: generation(1), attempt: attempt(1), epoch: epoch(++this.#epoch) }
    const chains = await Promise.all(this.stores.map((store) => store.snapshot(checkpoint)))
    const subtasks = chains.map((chain, i) => ({
      ...{ subtask: subtask(i), sources: {}, sinks: {}, watermarks: {}, recordsIn: 0 },
      segments: [{ stage: 1, chain }],
    }))
    this.#manifest = { parallelism: this.stores.length, maxParallelism: MAX, subtasks } as unknown as Manifest
  }

  async close(): Promise<void> {
    for (const store of this.stores) await store.close()
  }
}

/** The delta of all key groups lies in a run whose base has none of them. */
const one = [[{ key: 'k0', by: 1 }]]
const WITHOUT_ITS_BASE = [
  { parallelism: 2, epochs: one },
  { parallelism: 1, epochs: one },
  { parallelism: 2, epochs: [[]] },
  { parallelism: 1, epochs: [] },
]

test('over any history of parallelisms and changes the stores together equal a plain map', async () => {
  const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
  const change = fc.record({ key: fc.constantFrom(...keys), by: fc.integer({ min: 1, max: 9 }) })
  const round = fc.record({
    parallelism: fc.integer({ min: 1, max: 5 }),
    epochs: fc.array(fc.array(change), { maxLength: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 4 }), fc.boolean(), async (rounds, pending) => {
      const job = new Job(pending ? 0 : 20_000)
      const expected = new Map<string, number>()
      for (const { parallelism, epochs } of rounds) {
        await job.rescale(parallelism)
        expect(keys.map((k) => job.get(k))).toEqual(keys.map((k) => expected.get(k)))
        for (const changes of epochs) {
          for (const { key, by } of changes) {
            const next = (expected.get(key) ?? 0) + by
            expected.set(key, next)
            job.put(key, (job.get(key) ?? 0) + by)
          }
          await job.snapshot()
        }
      }
      await job.close()
    }),
    { numRuns: 60, examples: [[WITHOUT_ITS_BASE, false]] },
  )
}, 30_000)

test('broadcast maps are whole in every store, over any history of parallelisms and changes', async () => {
  const change = fc.record({ key: fc.constantFrom('a', 'b', 7, 8), value: fc.option(fc.nat(9)) })
  const round = fc.record({
    parallelism: fc.integer({ min: 1, max: 5 }),
    epochs: fc.array(fc.array(change), { maxLength: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(round, { minLength: 2, maxLength: 4 }), fc.boolean(), async (rounds, pending) => {
      const job = new Job(pending ? 0 : 20_000)
      const expected = new Map<string | number, number>()
      for (const { parallelism, epochs } of rounds) {
        await job.rescale(parallelism)
        const all = job.stores.map((state, i) => {
          const groups = operatorGroups('keyed', { subtask: i, parallelism, maxParallelism: MAX })
          return new BroadcastStates(['rates'], { uid, state, groups, freeze: true })
        })
        const asExpected = [...expected].sort()
        for (const { maps } of all) expect([...maps['rates']!].sort()).toEqual(asExpected)
        for (const changes of epochs) {
          for (const { key, value } of changes) {
            if (value === null) expected.delete(key)
            else expected.set(key, value)
            for (const states of all)
              states.update(
                () => void (value === null ? states.maps['rates']!.delete(key) : states.maps['rates']!.set(key, value)),
              )
          }
          await job.snapshot()
        }
      }
      await job.close()
    }),
    { numRuns: 30 },
  )
}, 30_000)

test('2 → 4 reads each stored byte about once over all subtasks, not twice', async () => {
  const job = new Job()
  await job.rescale(2)
  const keys = Array.from({ length: 60_000 }, (_, i) => `order-${i}`)
  for (const [i, key] of keys.entries()) job.put(key, (Math.imul(i + 1, 0x9e3779b1) >>> 0) + 0.5)
  await job.snapshot()
  await job.rescale(4)
  // Indices, and the chunk in which two ranges meet, are read twice.
  expect(job.objects.bytesRead / job.objects.storedBytes).toBeGreaterThan(0.95)
  expect(job.objects.bytesRead / job.objects.storedBytes).toBeLessThan(1.5)
  expect(job.get('order-59999')).toBe((Math.imul(60_000, 0x9e3779b1) >>> 0) + 0.5)
  await job.close()
})
