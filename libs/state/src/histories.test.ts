/** Stores beside plain maps, with everything that may come between. */
import type { SegmentRef } from '@weir/dataflow'
import { WeirError, operatorUid, type Key } from '@weir/model'
import { ClassicLevel } from 'classic-level'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { MemoryObjects, cp, openStore } from './fixture.ts'
import type { LevelStateStore } from './index.ts'

// With a handful of rows no slice of time would end: here one does behind every row, so that changes fall between any two. What nobody
// waits for rests longer, so that a spill overtakes a folding.
vi.mock('./pace.ts', () => {
  class EveryRow {
    readonly #turns: number
    constructor(turns = 1) {
      this.#turns = turns
    }
    due = (): boolean => true
    rest = async (): Promise<void> => {
      for (let i = 0; i < this.#turns; i++) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return { Pace: EveryRow, backgroundPace: () => new EveryRow(30) }
})
// Nor would a block: here it is one behind a row or two, so that blocks are freed, and leave memory.
vi.mock('./packed/block.ts', async (actual) => ({
  ...(await actual<typeof import('./packed/block.ts')>()),
  ...{ BLOCK_BYTES_MIN: 64, BLOCK_BYTES_MAX: 64 },
}))

/** `down` makes every put fail as an unreachable store does. */
class Objects extends MemoryObjects {
  down = false
  override async put(key: string, bytes: Uint8Array) {
    if (this.down) throw new WeirError({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' }, 'down')
    return super.put(key, bytes)
  }
}
const uid = operatorUid('sum')
const batchOf = ClassicLevel.prototype.batch as (this: ClassicLevel<string, Uint8Array>) => unknown

/** Over the bound from the beginning, now and then, never: LevelDB, both, memory alone. */
const bound = fc.constantFrom(0, 4, 4, 7, 100)

/** From the beginning, while the stage goes on, never. */
const packedFrom = fc.constantFrom<number | null>(0, 2, 5, null)

const KEYS: readonly Key[] = ['a', 'b', 'c', 'd', 'e', 'f', 1, '1']
const key = fc.constantFrom(...KEYS)
const namespace = fc.constantFrom(0, 0, 10, 20)
const value = fc.oneof(
  fc.integer({ min: -99, max: 99 }),
  fc.constantFrom<number | bigint>(1.5, 2 ** 53 - 1, -(2 ** 53), 7n, -(2n ** 62n)),
)
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('put' as const), key, namespace, value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), key, namespace }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const), namespace: fc.constantFrom(10, 20) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('snapshot' as const),
      lost: fc.constantFrom(false, false, false, true),
      wait: fc.boolean(),
    }),
  },
  // Some turns, in which a snapshot, a folding or a spill goes on.
  { weight: 1, arbitrary: fc.record({ do: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 20 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('restart' as const), crash: fc.boolean(), bound, packedFrom }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('disk refuses' as const), after: fc.integer({ min: 0, max: 3 }) }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

interface Surroundings {
  /** What is restored is left for behind what comes next, else there before the store answers. */
  behind: boolean
  /** Bound of the first store. */
  first: number
  mostRowsMin: number
  /** As many key groups: most keys have one of their own, or they share them. */
  maxParallelism: number
  /** Entries from which on a state is packed; null: never. */
  packedFrom: number | null
  /** All keys are asked for behind every step; else nobody asks for any, and what a restore has left stays where it is. */
  reads: boolean
}

/** Writes until the disk refuses. */
let writesLeft = Infinity
beforeEach(() => {
  writesLeft = Infinity
  vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (this: ClassicLevel<string, Uint8Array>) {
    const batch = batchOf.call(this) as ReturnType<ClassicLevel<string, Uint8Array>['batch']>
    const write = batch.write.bind(batch)
    // It takes some turns: what is changed meanwhile is not what is written.
    batch.write = async () => {
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
      if (writesLeft-- <= 0) throw new Error('the disk is full')
      await write()
    }
    return batch as never
  })
})
afterEach(() => void vi.restoreAllMocks())

type Model = Map<string, number | bigint>
interface Stored {
  chain: readonly SegmentRef[]
  model: Model
}
const id = (k: Key, ns: number): string => JSON.stringify([ns, k])

function expectSame(store: LevelStateStore, model: Model): void {
  const now = store.keyed<number | bigint>(uid, 'acc')
  for (const ns of [0, 10, 20]) for (const k of KEYS) expect(now.get(k, ns)).toBe(model.get(id(k, ns)))
  const spaces = [...new Set([...model.keys()].map((k) => (JSON.parse(k) as [number])[0]))]
    .filter((ns) => ns !== 0)
    .sort((a, b) => a - b)
  expect(now.namespaces()).toEqual(spaces)
}

async function follow(
  steps: readonly Step[],
  { behind, first, mostRowsMin, maxParallelism, packedFrom, reads }: Surroundings,
): Promise<void> {
  const objects = new Objects()
  // Either way: restored before the store answers, or behind what comes next.
  const bounds = {
    chainLengthMax: 2,
    chainRatioMax: 1_000,
    pendingEntriesMin: behind ? 0 : 20_000,
    ...{ mostRowsMin, maxParallelism },
  }
  let store = await openStore(objects, { ...bounds, hotEntriesMax: first, packed: () => packedFrom })
  const left: LevelStateStore[] = []
  let model: Model = new Map()
  let durable: Stored = { chain: [], model: new Map() }
  const all: Stored[] = []
  let pending: Promise<unknown> = Promise.resolve()
  let n = 0
  for (const s of steps) {
    const state = store.keyed<number | bigint>(uid, 'acc')
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
      const of = store
      pending = store.snapshot(cp(++n)).then(
        (chain) => {
          all.push({ chain, model: moment })
          if (of === store) durable = all.at(-1)!
        },
        () => {},
      )
      if (s.wait) await pending
    } else if (s.do === 'turns') {
      for (let i = 0; i < s.count; i++) await new Promise((resolve) => setImmediate(resolve))
    } else if (s.do === 'disk refuses') writesLeft = s.after
    else {
      left.push(store)
      if (!s.crash) {
        await pending
        await store.folded()
        await left.pop()!.close()
      }
      objects.down = false
      writesLeft = Infinity
      store = await openStore(objects, { ...bounds, hotEntriesMax: s.bound, packed: () => s.packedFrom })
      await store.restore(durable.chain)
      model = new Map(durable.model)
    }
    if (reads) expectSame(store, model)
  }
  expectSame(store, model)
  await pending
  await Promise.all([store, ...left].map((s) => s.close()))
  // Whatever has become of a store: each of its epochs is what there was at the barrier.
  for (const { chain, model: moment } of all) {
    const restored = await openStore(objects, { hotEntriesMax: 100, maxParallelism })
    await restored.restore(chain)
    expectSame(restored, moment)
    await restored.close()
  }
}

test('over any history of changes, snapshots, lost uploads, refused disks, crashes and restarts the store equals plain maps, in memory, packed and spilled', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 80, size: 'max' }),
      fc.record({
        behind: fc.boolean(),
        first: bound,
        mostRowsMin: fc.constantFrom(0, 5, 1_000),
        maxParallelism: fc.constantFrom(2, 128),
        packedFrom,
        reads: fc.boolean(),
      }),
      follow,
    ),
    { numRuns: Number(process.env['WEIR_RUNS'] ?? 100) },
  )
}, 120_000)

// By name: what the property has found.
test('a restored row that is changed behind a barrier is in the base of that barrier, which follows a lost upload', () =>
  follow(
    [
      { do: 'put', key: '1', namespace: 0, value: 0 },
      { do: 'snapshot', lost: false, wait: false },
      { do: 'restart', crash: false, bound: 4, packedFrom: 0 },
      { do: 'delete', key: 'a', namespace: 0 },
      { do: 'snapshot', lost: true, wait: false },
      { do: 'snapshot', lost: false, wait: false },
      { do: 'put', key: '1', namespace: 0, value: 1.5 },
      { do: 'restart', crash: false, bound: 0, packedFrom: null },
    ],
    { behind: true, first: 0, mostRowsMin: 0, maxParallelism: 128, packedFrom: null, reads: true },
  ))

test.each([0, 1, null])('so is one of a key that nobody has asked for, packed from %s rows on', (packedFrom) =>
  follow(
    [
      { do: 'put', key: '1', namespace: 0, value: 0 },
      { do: 'snapshot', lost: false, wait: false },
      { do: 'restart', crash: false, bound: 4, packedFrom },
      { do: 'delete', key: 'a', namespace: 0 },
      { do: 'snapshot', lost: true, wait: false },
      { do: 'snapshot', lost: false, wait: false },
      { do: 'put', key: '1', namespace: 0, value: 1.5 },
    ],
    { behind: true, first: 0, mostRowsMin: 0, maxParallelism: 128, packedFrom: null, reads: false },
  ),
)

test.each([0, 1, null])(
  'and one of a key group that nothing was known of at the barrier, packed from %s rows on',
  (packedFrom) =>
    follow(
      [
        { do: 'put', key: '1', namespace: 0, value: 0 },
        { do: 'snapshot', lost: false, wait: false },
        { do: 'restart', crash: false, bound: 4, packedFrom },
        { do: 'snapshot', lost: true, wait: true },
        { do: 'put', key: 'a', namespace: 0, value: 1 },
        { do: 'snapshot', lost: true, wait: true },
        { do: 'snapshot', lost: false, wait: true },
      ],
      { behind: true, first: 0, mostRowsMin: 0, maxParallelism: 128, packedFrom: null, reads: false },
    ),
)

test('a folding that is overtaken by a spill has the rows that leave memory meanwhile', () =>
  follow(
    [
      // Of one key group: a block of it is full. It is written behind those of the other.
      { do: 'put', key: 'c', namespace: 0, value: 1 },
      { do: 'put', key: 'd', namespace: 0, value: 2 },
      { do: 'snapshot', lost: false, wait: true },
      { do: 'put', key: 'b', namespace: 0, value: 3 },
      { do: 'put', key: 'e', namespace: 0, value: 4 },
      { do: 'snapshot', lost: false, wait: true },
      { do: 'put', key: 'f', namespace: 0, value: 5 },
      { do: 'snapshot', lost: false, wait: true },
      { do: 'turns', count: 5 },
      { do: 'put', key: 1, namespace: 0, value: 6 },
      { do: 'snapshot', lost: false, wait: true },
      { do: 'turns', count: 500 },
      { do: 'put', key: '1', namespace: 0, value: 7 },
      { do: 'snapshot', lost: false, wait: true },
    ],
    { behind: false, first: 5, mostRowsMin: 1_000, maxParallelism: 2, packedFrom: 0, reads: false },
  ))

test('a number behind a barrier that nobody asks about stays in memory until LevelDB has it', () =>
  follow(
    [
      // Of one key group, and over the bound from the beginning: what is settled leaves memory at every change.
      { do: 'put', key: '1', namespace: 0, value: 0 },
      { do: 'put', key: 'a', namespace: 0, value: 1.5 },
      { do: 'delete', key: 'a', namespace: 0 },
      { do: 'snapshot', lost: false, wait: true },
      { do: 'put', key: '1', namespace: 0, value: 1 },
      { do: 'put', key: 'a', namespace: 0, value: 0 },
    ],
    { behind: false, first: 0, mostRowsMin: 0, maxParallelism: 2, packedFrom: 0, reads: false },
  ))
