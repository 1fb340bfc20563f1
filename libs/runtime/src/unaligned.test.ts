/**
 * Barriers that overtake, against a dumb model: whatever is slow, given up, crashed or rescaled, every record has had its
 * effect once. A seed is one job from its beginning to its end; `WEIR_SEED=n` runs that one alone.
 */
import { type GraphNode, type JobDefinition } from '@weir/dataflow'
import { operatorUid } from '@weir/model'
import { expect } from 'vitest'
import { chainOf, node } from './fixture.ts'
import { everySeed } from './seeds.fixture.ts'
import { ChanceStores, runAttempt } from './testing/chance-fleet.ts'
import { ChanceWorld } from './testing/chance.ts'
import type { MemoryRecord } from './testing/index.ts'

interface Row {
  readonly id: number
  readonly user: string
  readonly bad?: 'map' | 'reduce'
}
const WINDOW_MS = 100
const fail = (place: Row['bad'], row: Row): Row => {
  if (row.bad === place) throw new RangeError(`bad at ${place}`)
  return row
}
const uid = operatorUid
const lists = (of: string, idOf: (value: unknown) => number): GraphNode => ({
  ...{ kind: 'reduce', uid: uid(of), initial: [] },
  reduce: (list, value) => [...(list as number[]), idOf(value)],
})
const nodes: GraphNode[] = [
  node.source(40),
  { kind: 'map', uid: uid('checked'), map: (row) => fail('map', row as Row) },
  { kind: 'keyBy', uid: uid('by-user'), key: (row) => (row as Row).user },
  lists('ids', (row) => fail('reduce', row as Row).id),
  node.sink('lists'),
  node.count('per-window', WINDOW_MS),
  node.sink('counts'),
  { kind: 'map', uid: uid('newest'), map: (list) => (list as number[]).at(-1)! },
  { kind: 'keyBy', uid: uid('by-digit'), key: (id) => (id as number) % 10 },
  lists('again', (id) => id as number),
  node.sink('digits'),
]
// prettier-ignore
const edges = [[0, 1], [1, 2], [2, 3], [3, 4], [2, 5], [5, 6], [3, 7], [7, 8], [8, 9], [9, 10]] as const

function jobOf(world: ChanceWorld, parallelism: number): JobDefinition {
  const { settings, ...job } = chainOf(nodes, { parallelism, deadLetters: { connector: 'kafka', topic: 'dead' } })
  const checkpoint = {
    ...settings.checkpoint,
    unaligned: world.is(0.5),
    alignedTimeoutMs: world.is(0.4) ? world.whole(0, 60) : null,
  }
  return { ...job, settings: { ...settings, checkpoint }, graph: { nodes, edges } }
}

const inputOf = (world: ChanceWorld): readonly (readonly MemoryRecord[])[] => {
  const splits = world.whole(1, 5)
  const perSplit = world.whole(10, 60)
  return Array.from({ length: splits }, (_, split) =>
    Array.from({ length: perSplit }, (_, i): MemoryRecord => {
      const id = i * splits + split
      const bad = world.is(0.05) ? (world.is(0.5) ? 'map' : 'reduce') : null
      const value: Row = { id, user: `u${world.whole(0, 6)}`, ...(bad && { bad }) }
      return { value, ts: 1_000 + i * 20 + world.whole(0, 30) }
    }),
  )
}

/** Each record on its own. */
function expected(splits: readonly (readonly MemoryRecord[])[]) {
  const rows = splits.flat().map(({ value, ts }) => ({ ...(value as Row), ts }))
  const windows: Record<string, number> = {}
  for (const { user, ts, bad } of rows) {
    if (bad === 'map') continue
    const window = `${user}@${Math.floor(ts / WINDOW_MS) * WINDOW_MS}`
    windows[window] = (windows[window] ?? 0) + 1
  }
  const ids = (is: (bad: Row['bad']) => boolean): number[] =>
    rows.flatMap(({ id, bad }) => (is(bad) ? [id] : [])).sort((a, b) => a - b)
  return { windows, good: ids((bad) => bad === undefined), bad: ids((bad) => bad !== undefined) }
}

function found(stores: ChanceStores) {
  const windows: Record<string, number> = {}
  for (const { key, value } of stores.committed('counts')) {
    const { start, value: n } = value as { start: number; value: number }
    const window = `${String(key)}@${start}`
    // Two results of one window are a wrong one, whatever they say.
    windows[window] = window in windows ? Number.NaN : n
  }
  const asides = [...stores.topics.values()].flatMap(({ committedAsides }) => committedAsides)
  const bad = asides.map(({ value }) => (JSON.parse(Buffer.from(value!).toString()) as Row).id)
  return { windows, good: listed(stores, 'lists'), bad: bad.sort((a, b) => a - b) }
}

/** Ids of all keys; every list is the one before it and one more: no state went back or ahead of what came out. */
function listed(stores: ChanceStores, sink: string): number[] {
  const longest = new Map<unknown, number[]>()
  const byLength = stores
    .committed(sink)
    .toSorted((a, b) => (a.value as number[]).length - (b.value as number[]).length)
  for (const { key, value } of byLength) {
    const list = value as number[]
    expect(list.slice(0, -1), `${sink}: ${String(key)}`).toEqual(longest.get(key) ?? [])
    longest.set(key, list)
  }
  return [...longest.values()].flat().sort((a, b) => a - b)
}

async function run(seed: number): Promise<ChanceStores> {
  const world = new ChanceWorld(seed)
  const stores = new ChanceStores()
  const splits = inputOf(world)
  const crashes = world.whole(0, 4)
  const weather = {
    ...{ batchMax: world.whole(1, 12), linkMs: world.whole(0, 25), sinkMs: world.whole(0, 40) },
    inFlightBytesMax: world.is(0.2) ? world.whole(0, 3_000) : 1 << 20,
  }
  let parallelism = world.whole(1, 3)
  for (let n = 0; ; n++) {
    if (n > 0 && world.is(0.3)) parallelism = world.whole(1, 3)
    const crashAfterMs = n < crashes ? world.whole(1, 800) : null
    if (await runAttempt(world, stores, { job: jobOf(world, parallelism), splits, crashAfterMs, ...weather })) break
  }
  const is = found(stores)
  expect(is).toEqual(expected(splits))
  expect(listed(stores, 'digits')).toEqual(is.good)
  return stores
}

everySeed(
  'every record has had its effect once',
  { seeds: 400, perTest: 100, met: 'restores that had records in flight', moreThan: 10 },
  async (seed) => (await run(seed)).restoredInFlight,
)
