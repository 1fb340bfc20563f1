/**
 * Joins and connected streams of two sources against loops over all pairs: whatever is slow, given up, overtaken, crashed or
 * rescaled, every pair comes out once. A seed is one job from its beginning to its end; `WEIR_SEED=n` runs that one alone.
 */
import {
  connectOf,
  intervalJoin,
  windowJoin,
  type GraphNode,
  type JobDefinition,
  type ListDescriptor,
  type Out,
  type WindowBounds,
} from '@weir/dataflow'
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
}
const [LOWER_MS, UPPER_MS] = [-30, 50]
const WINDOW = { sizeMs: 100, slideMs: 50 }
const uid = operatorUid
const source = (of: string): GraphNode => ({ ...node.source(40), uid: uid(of) })
const byUser = (of: string): GraphNode => ({ kind: 'keyBy', uid: uid(of), key: (row) => (row as Row).user })
const pair = (left: Row | undefined, right: Row | undefined): string => `${left?.id ?? '-'}+${right?.id ?? '-'}`

const inWindow = (left: Row | undefined, right: Row | undefined, { start }: WindowBounds): string =>
  `${pair(left, right)} in ${start}`

/** Every pair of a key, whatever their times: each side meets what the other has brought so far. */
const met = connectOf({
  state: {
    left: { kind: 'list', ttl: null } as ListDescriptor<Row>,
    right: { kind: 'list', ttl: null } as ListDescriptor<Row>,
  },
  onLeft({ state }, left: Row, out: Out<string>) {
    for (const right of state.right) out.emit(pair(left, right))
    state.left.add(left)
  },
  onRight({ state }, right: Row, out: Out<string>) {
    for (const left of state.left) out.emit(pair(left, right))
    state.right.add(right)
  },
})

const GRAPH: readonly (readonly [GraphNode, ...string[]])[] = [
  [source('a')],
  [source('b')],
  [byUser('a-by-user'), 'a'],
  [byUser('b-by-user'), 'b'],
  [{ uid: uid('near'), ...intervalJoin({ lowerMs: LOWER_MS, upperMs: UPPER_MS }, pair) }, 'a-by-user', 'b-by-user'],
  [node.sink('near-out'), 'near'],
  [{ uid: uid('in-window'), ...windowJoin({ window: WINDOW, keeps: 'full' }, inWindow) }, 'a-by-user', 'b-by-user'],
  [node.sink('in-window-out'), 'in-window'],
  [{ uid: uid('met'), ...met }, 'b-by-user', 'a-by-user'],
  [node.sink('met-out'), 'met'],
  // The same stream on both sides, and a keyBy that heads a stage of its own besides.
  [{ uid: uid('self'), ...intervalJoin({ lowerMs: 0, upperMs: 0 }, pair) }, 'a-by-user', 'a-by-user'],
  [node.sink('self-out'), 'self'],
  [node.count('per-window', 100), 'a-by-user'],
  [node.sink('counts'), 'per-window'],
]
const nodes = GRAPH.map(([of]) => of)
const indexOf = (name: string): number => nodes.findIndex((of) => of.uid === name)
const edges = GRAPH.flatMap(([, ...from], to) => from.map((name) => [indexOf(name), to] as const))

function jobOf(world: ChanceWorld, parallelism: number): JobDefinition {
  const { settings, ...job } = chainOf(nodes, { parallelism })
  const checkpoint = {
    ...settings.checkpoint,
    unaligned: world.is(0.7),
    alignedTimeoutMs: world.is(0.3) ? world.whole(0, 60) : null,
  }
  return { ...job, settings: { ...settings, checkpoint }, graph: { nodes, edges } }
}

const inputOf = (world: ChanceWorld, from: number): readonly (readonly MemoryRecord[])[] => {
  const splits = world.whole(1, 3)
  const perSplit = world.whole(10, 40)
  return Array.from({ length: splits }, (_, split) =>
    Array.from({ length: perSplit }, (_, i): MemoryRecord => {
      const value: Row = { id: from + i * splits + split, user: `u${world.whole(0, 4)}` }
      return { value, ts: 1_000 + i * 20 + world.whole(0, 30) }
    }),
  )
}

type Timed = Row & { readonly ts: number }
const rowsOf = (splits: readonly (readonly MemoryRecord[])[]): Timed[] =>
  splits.flat().map(({ value, ts }) => ({ ...(value as Row), ts }))

/** One word per output. */
const word = (key: unknown, of: unknown): string => `${String(key)} ${String(of)}`

function expected(a: readonly Timed[], b: readonly Timed[]): Record<string, string[]> {
  const pairs = (lefts: readonly Timed[], rights: readonly Timed[]): [Timed, Timed][] =>
    lefts.flatMap((left) =>
      rights.filter(({ user }) => user === left.user).map((right): [Timed, Timed] => [left, right]),
    )
  const words = (of: readonly [Timed, Timed][]): string[] =>
    of.map(([left, right]) => word(left.user, pair(left, right))).sort()
  const windows: string[] = []
  const last = Math.max(...[...a, ...b].map(({ ts }) => ts))
  for (let start = 900; start <= last; start += WINDOW.slideMs) {
    const bounds = { start, end: start + WINDOW.sizeMs }
    const there = (rows: readonly Timed[], user: string): Timed[] =>
      rows.filter((row) => row.user === user && start <= row.ts && row.ts < bounds.end)
    for (const user of new Set([...a, ...b].map((row) => row.user))) {
      const [lefts, rights] = [there(a, user), there(b, user)]
      const found = pairs(lefts, rights).map(([left, right]) => inWindow(left, right, bounds))
      if (rights.length === 0) found.push(...lefts.map((left) => inWindow(left, undefined, bounds)))
      if (lefts.length === 0) found.push(...rights.map((right) => inWindow(undefined, right, bounds)))
      windows.push(...found.map((of) => word(user, of)))
    }
  }
  const isNear = ([left, right]: [Timed, Timed]): boolean =>
    LOWER_MS <= right.ts - left.ts && right.ts - left.ts <= UPPER_MS
  return {
    near: words(pairs(a, b).filter(isNear)),
    self: words(pairs(a, a).filter(([left, right]) => left.ts === right.ts)),
    'in-window': windows.sort(),
    met: words(pairs(b, a)),
  }
}

const found = (stores: ChanceStores): Record<string, string[]> =>
  Object.fromEntries(
    ['near', 'self', 'in-window', 'met'].map((of) => [
      of,
      stores
        .committed(`${of}-out`)
        .map(({ key, value }) => word(key, value))
        .sort(),
    ]),
  )

async function run(seed: number): Promise<ChanceStores> {
  const world = new ChanceWorld(seed)
  const stores = new ChanceStores()
  const inputs = { a: inputOf(world, 0), b: inputOf(world, 10_000) }
  const crashes = world.whole(0, 4)
  const weather = {
    ...{ batchMax: world.whole(1, 4), linkMs: world.whole(0, 40), sinkMs: world.whole(10, 60) },
    inFlightBytesMax: world.is(0.2) ? world.whole(0, 3_000) : 1 << 20,
  }
  let parallelism = world.whole(1, 3)
  for (let n = 0; ; n++) {
    if (n > 0 && world.is(0.3)) parallelism = world.whole(1, 3)
    const crashAfterMs = n < crashes ? world.whole(1, 800) : null
    const job = jobOf(world, parallelism)
    if (await runAttempt(world, stores, { job, splits: [], inputs, crashAfterMs, ...weather })) break
  }
  const [a, b] = [rowsOf(inputs.a), rowsOf(inputs.b)]
  expect(found(stores)).toEqual(expected(a, b))
  const counted = stores.committed('counts').reduce((sum, { value }) => sum + (value as { value: number }).value, 0)
  expect(counted).toBe(a.length)
  return stores
}

everySeed(
  'every pair comes out once',
  { seeds: 100, perTest: 25, met: 'restores that had records in flight', moreThan: 0 },
  async (seed) => (await run(seed)).restoredInFlight,
)
