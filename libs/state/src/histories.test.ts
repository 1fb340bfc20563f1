/** Stores beside plain maps, with everything that may come between. */
import type { SegmentRef } from '@weir/dataflow'
import { WeirError, operatorUid, type Key } from '@weir/model'
import { ClassicLevel } from 'classic-level'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { MemoryObjects, cp, openStore } from './fixture.ts'
import type { LevelStateStore } from './index.ts'

// With a handful of rows no slice of time would end: here one does behind every row, so that changes fall between any two.
vi.mock('./pace.ts', () => {
  class EveryRow {
    due = (): boolean => true
    rest = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  }
  return { Pace: EveryRow, backgroundPace: () => new EveryRow() }
})

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

test('over any history of changes, snapshots, lost uploads, refused disks, crashes and restarts the store equals plain maps, in memory, packed and spilled', async () => {
  const key = fc.constantFrom<Key>('a', 'b', 'c', 'd', 'e', 'f', 1, '1')
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
      arbitrary: fc.record({ do: fc.constant('restart' as const), crash: fc.boolean(), bound, packed: fc.boolean() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('disk refuses' as const), after: fc.integer({ min: 0, max: 3 }) }),
    },
  )
  /** Writes until the disk refuses. */
  let writesLeft = Infinity
  const disk = vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (
    this: ClassicLevel<string, Uint8Array>,
  ) {
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
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 80, size: 'max' }),
      fc.boolean(),
      bound,
      fc.constantFrom(0, 5, 1_000),
      fc.boolean(),
      async (steps, behind, first, most, packedFirst) => {
        const objects = new Objects()
        // Either way: restored before the store answers, or behind what comes next.
        const bounds = {
          chainLengthMax: 2,
          chainRatioMax: 1_000,
          pendingEntriesMin: behind ? 0 : 20_000,
          mostRowsMin: most,
        }
        let store = await openStore(objects, { ...bounds, hotEntriesMax: first, packed: () => packedFirst })
        const left: LevelStateStore[] = []
        let model = new Map<string, number | bigint>()
        let durable: { chain: readonly SegmentRef[]; model: Map<string, number | bigint> } = {
          chain: [],
          model: new Map(),
        }
        let pending: Promise<unknown> = Promise.resolve()
        let n = 0
        const id = (k: Key, ns: number): string => JSON.stringify([ns, k])
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
              (chain) => void (of === store && (durable = { chain, model: moment })),
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
            store = await openStore(objects, { ...bounds, hotEntriesMax: s.bound, packed: () => s.packed })
            await store.restore(durable.chain)
            model = new Map(durable.model)
          }
          const now = store.keyed<number | bigint>(uid, 'acc')
          for (const ns of [0, 10, 20]) {
            for (const k of ['a', 'b', 'c', 'd', 'e', 'f', 1, '1']) expect(now.get(k, ns)).toBe(model.get(id(k, ns)))
          }
          const spaces = [...new Set([...model.keys()].map((k) => (JSON.parse(k) as [number])[0]))]
            .filter((ns) => ns !== 0)
            .sort((a, b) => a - b)
          expect(now.namespaces()).toEqual(spaces)
        }
        await pending
        await Promise.all([store, ...left].map((s) => s.close()))
      },
    ),
    { numRuns: Number(process.env['WEIR_RUNS'] ?? 100) },
  )
  disk.mockRestore()
}, 120_000)
