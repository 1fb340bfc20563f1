/**
 * Calls in whole fleets drawn by chance: they come back in any order, fail, hang and are cut off by crashes at any moment.
 * Every record has its effect once, none becomes late by its own call, and where order is asked for it is kept.
 */
import type { AsyncMapNode, CallContext, GraphNode, JobDefinition } from '@weir/dataflow'
import { operatorUid as uid } from '@weir/model'
import { expect, test } from 'vitest'
import { chainOf, node } from './fixture.ts'
import { ChanceStores, runAttempt } from './testing/chance-fleet.ts'
import { ChanceWorld } from './testing/chance.ts'
import type { MemoryRecord } from './testing/index.ts'

const WINDOW_MS = 100
const idOf = (value: unknown): number => Number(value)
/** Fails for ever. */
const isBad = (id: number): boolean => id % 17 === 3

function slowly(world: ChanceWorld, seen: Map<number, Set<string>>): AsyncMapNode['call'] {
  return (value, { signal, origin }: CallContext) =>
    new Promise((resolve, reject) => {
      const id = idOf(value)
      const keys = seen.get(id) ?? new Set()
      seen.set(id, keys.add(origin!.id))
      if (world.is(0.05)) return // never comes back
      const cancel = world.after(world.whole(0, 60), () => {
        if (isBad(id) || world.is(0.1)) reject(new Error('away'))
        else resolve(value)
      })
      signal.addEventListener('abort', cancel)
    })
}

function jobOf(world: ChanceWorld, calls: AsyncMapNode[], parallelism: number): JobDefinition {
  const [first, second] = calls as [AsyncMapNode, AsyncMapNode]
  const nodes: GraphNode[] = [
    node.source(40),
    first,
    node.sink('direct'),
    { kind: 'keyBy', uid: uid('by-digit'), key: (id) => idOf(id) % 5 },
    second,
    { kind: 'reduce', uid: uid('ids'), initial: [], reduce: (list, id) => [...(list as number[]), idOf(id)] },
    node.sink('lists'),
    node.count('per-window', WINDOW_MS),
    node.sink('counts'),
  ]
  // prettier-ignore
  const edges = [[0, 1], [1, 2], [1, 3], [3, 4], [4, 5], [5, 6], [4, 7], [7, 8]] as const
  const { settings, ...job } = chainOf(nodes, { parallelism, deadLetters: { connector: 'kafka', topic: 'dead' } })
  return { ...job, settings, graph: { nodes, edges } }
}

async function run(seed: number): Promise<void> {
  const world = new ChanceWorld(seed)
  const stores = new ChanceStores()
  const count = world.whole(1, 4)
  const splits = Array.from({ length: count }, (_, split) =>
    Array.from({ length: world.whole(0, 30) }, (_, i): MemoryRecord => {
      return { value: i * count + split, ts: 1_000 + i * 20 + world.whole(0, 30) }
    }),
  )
  const seen = new Map<number, Set<string>>()
  const call = slowly(world, seen)
  const modes = [0, 1].map(() => (world.is(0.5) ? ('ordered' as const) : ('unordered' as const)))
  const calls = modes.map((mode, i): AsyncMapNode => ({
    ...{ kind: 'asyncMap', uid: uid(`calls-${i}`), mode, capacity: world.whole(1, 20) },
    // The second one hangs and fails by chance only, and has tries enough.
    call: i === 0 ? call : (v, of) => (isBad(idOf(v)) ? v : call(v, of)),
    ...{ timeoutMs: 200, retries: i === 0 ? 8 : 12, backoffMs: 5, backoffMsMax: 40, retryIf: null },
    onFailure: 'dead-letter',
  }))
  for (let n = 0; ; n++) {
    expect(n).toBeLessThan(60)
    const parallelism = world.whole(1, 3)
    const finished = await runAttempt(world, stores, {
      ...{
        job: jobOf(world, calls, parallelism),
        splits,
        batchMax: 8,
        linkMs: 20,
        sinkMs: 20,
        inFlightBytesMax: 1 << 20,
      },
      crashAfterMs: n < 4 ? world.whole(1, 1_500) : null,
    })
    if (finished) break
  }
  const rows = splits.flat().map(({ value, ts }) => ({ id: idOf(value), ts }))
  const dead = [...stores.topics.values()].flatMap(({ committedAsides }) =>
    committedAsides.map(({ value }) => Number(Buffer.from(value!).toString())),
  )
  const sorted = (ids: readonly number[]): number[] => ids.toSorted((a, b) => a - b)
  const good = rows.filter(({ id }) => !isBad(id))
  const direct = stores.committed('direct').map(({ value }) => idOf(value))
  // By chance alone a call may fail to the end: it is aside then, and nowhere else.
  expect(sorted([...direct, ...dead.filter((id) => !direct.includes(id))])).toEqual(sorted(rows.map(({ id }) => id)))
  expect(new Set(direct).size).toBe(direct.length)
  for (const { id } of rows.filter(({ id }) => isBad(id))) expect(dead.filter((of) => of === id)).toEqual([id])
  const lists = stores.committed('lists').map(({ value }) => value as number[])
  const behind = lists.map((list) => list.at(-1)!)
  expect(new Set(behind).size).toBe(behind.length)
  expect(sorted([...behind, ...dead.filter((id) => !behind.includes(id))])).toEqual(sorted(rows.map(({ id }) => id)))
  const counted = stores.committed('counts').reduce((n, { value }) => n + (value as { value: number }).value, 0)
  expect(counted, 'none is late').toBe(behind.length)
  expect(good.length).toBeGreaterThanOrEqual(direct.length)
  for (const [id, origins] of seen) expect([...origins], `origins of ${id}`).toHaveLength(1)
}

const only = process.env['WEIR_SEED']
const SEEDS = only === undefined ? Array.from({ length: 60 }, (_, seed) => seed) : [Number(only)]
test.each(SEEDS)('seed %i: calls in any order, over attempts that end anywhere, have their effect once', run, 60_000)

test('in one slice order is that of the input', async () => {
  const world = new ChanceWorld(7)
  const stores = new ChanceStores()
  const splits = [Array.from({ length: 200 }, (_, i): MemoryRecord => ({ value: i * 17, ts: i }))]
  const nodes: GraphNode[] = [
    node.source(0),
    {
      ...{ kind: 'asyncMap', uid: uid('calls'), mode: 'ordered', capacity: 7, timeoutMs: 500, retries: 20 },
      ...{ backoffMs: 1, backoffMsMax: 10, retryIf: null, onFailure: 'restart', call: slowly(world, new Map()) },
    },
    node.sink('out'),
  ]
  const options = { splits, batchMax: 20, linkMs: 5, sinkMs: 5, inFlightBytesMax: 1 << 20, crashAfterMs: null }
  expect(await runAttempt(world, stores, { job: chainOf(nodes), ...options })).toBe(true)
  expect(stores.committed('out').map(({ value }) => value)).toEqual(splits[0]!.map(({ value }) => value))
})
