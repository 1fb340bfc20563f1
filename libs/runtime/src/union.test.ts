/**
 * Unions of every kind against a dumb model: in one chain, of two sources in front of a keyBy, of two sources in front of
 * something else. Whatever is slow, given up, crashed or rescaled, every record has had its effect once and none was late.
 * A seed is one job from its beginning to its end; `WEIR_SEED=n` runs that one alone.
 */
import type { ExecuteContext, GraphNode, JobDefinition, ResumableOperator } from '@weir/dataflow'
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
  readonly bad: boolean
}
const WINDOW_MS = 100
/** Ids of a record's copies: which branch it came by. */
const [SECOND, AGAIN, B] = [1_000_000, 2_000_000, 10_000]
const uid = operatorUid

/** Has seen each id once: state of a stage that only a union feeds. */
class Unseen implements ResumableOperator<Row, number, number[]> {
  readonly #seen = new Set<number>()
  prepare(): void {}
  execute({ id, bad }: Row, out: ExecuteContext<number>): void {
    if (this.#seen.has(id)) throw new Error(`${id} came twice`)
    if (bad) throw new RangeError(`${id} is bad`)
    this.#seen.add(id)
    out.emit(id)
  }
  snapshotState(): number[][] {
    return [...this.#seen].map((id) => [id])
  }
  restoreState(states: readonly number[][]): void {
    for (const id of states.flat()) this.#seen.add(id)
  }
}

const lists = (of: string, idOf: (value: unknown) => number): GraphNode => ({
  ...{ kind: 'reduce', uid: uid(of), initial: [] },
  reduce: (list, value) => [...(list as number[]), idOf(value)],
})
const source = (of: string): GraphNode => ({ ...node.source(40), uid: uid(of) })
const union = (of: string): GraphNode => ({ kind: 'union', uid: uid(of) })
const twice = ({ id, user, bad }: Row): Row[] => [
  { id, user, bad },
  { id: id + SECOND, user, bad },
]

const GRAPH: readonly (readonly [GraphNode, ...string[]])[] = [
  [source('a')],
  [source('b')],
  [{ kind: 'flatMap', uid: uid('b-twice'), flatMap: (row) => twice(row as Row) }, 'b'],
  [
    { kind: 'map', uid: uid('a-again'), map: (row) => ({ ...(row as Row), id: (row as Row).id + AGAIN, bad: false }) },
    'a',
  ],
  [union('of-a'), 'a', 'a-again'],
  // In front of a keyBy: both stages compute the keys.
  [union('all'), 'of-a', 'b-twice'],
  [{ kind: 'map', uid: uid('copy'), map: (row) => ({ ...(row as Row) }) }, 'all'],
  [{ kind: 'keyBy', uid: uid('by-user'), key: (row) => (row as Row).user }, 'copy'],
  [lists('ids', (row) => (row as Row).id), 'by-user'],
  [node.sink('lists'), 'ids'],
  [node.count('per-window', WINDOW_MS), 'by-user'],
  [node.sink('counts'), 'per-window'],
  // In front of a custom operator: a stage of its own, fed by the same slice.
  [union('each'), 'a', 'b'],
  [{ kind: 'resumable', uid: uid('unseen'), create: () => new Unseen() as never }, 'each'],
  [node.sink('once'), 'unseen'],
  [{ kind: 'keyBy', uid: uid('by-digit'), key: (id) => (id as number) % 10 }, 'unseen'],
  [lists('again', (id) => id as number), 'by-digit'],
  [node.sink('digits'), 'again'],
]
const ONCE_FROM = GRAPH.findIndex(([{ uid: of }]) => of === 'each')

/** With `once`, a stage of its own; without it barriers may overtake. */
function jobOf(world: ChanceWorld, parallelism: number, once: boolean): JobDefinition {
  const graph = once ? GRAPH : GRAPH.slice(0, ONCE_FROM)
  const nodes = graph.map(([of]) => of)
  const indexOf = (name: string): number => nodes.findIndex((of) => of.uid === name)
  const edges = graph.flatMap(([, ...from], to) => from.map((name) => [indexOf(name), to] as const))
  const { settings, ...job } = chainOf(nodes, { parallelism, deadLetters: { connector: 'kafka', topic: 'dead' } })
  const checkpoint = {
    ...settings.checkpoint,
    unaligned: !once && world.is(0.5),
    alignedTimeoutMs: !once && world.is(0.3) ? world.whole(0, 60) : null,
  }
  return { ...job, settings: { ...settings, checkpoint }, graph: { nodes, edges } }
}

function inputOf(world: ChanceWorld, from: number): readonly (readonly MemoryRecord[])[] {
  const splits = world.whole(1, 4)
  const perSplit = world.whole(5, 40)
  return Array.from({ length: splits }, (_, split) =>
    Array.from({ length: perSplit }, (_, i): MemoryRecord => {
      const value: Row = { id: from + i * splits + split, user: `u${world.whole(0, 6)}`, bad: world.is(0.05) }
      return { value, ts: 1_000 + i * 20 + world.whole(0, 30) }
    }),
  )
}

const sorted = (ids: readonly number[]): number[] => ids.toSorted((x, y) => x - y)

/** Each record on its own. */
function expected({ a, b }: Readonly<Record<'a' | 'b', readonly (readonly MemoryRecord[])[]>>) {
  const rowsOf = (of: readonly (readonly MemoryRecord[])[]): (Row & { ts: number })[] =>
    of.flat().map(({ value, ts }) => ({ ...(value as Row), ts }))
  const [rowsA, rowsB] = [rowsOf(a), rowsOf(b)]
  const windows: Record<string, number> = {}
  for (const { user, ts } of [...rowsA, ...rowsA, ...rowsB, ...rowsB]) {
    const window = `${user}@${Math.floor(ts / WINDOW_MS) * WINDOW_MS}`
    windows[window] = (windows[window] ?? 0) + 1
  }
  const each = [...rowsA, ...rowsB]
  return {
    windows,
    lists: sorted([...rowsA.flatMap(({ id }) => [id, id + AGAIN]), ...rowsB.flatMap(({ id }) => [id, id + SECOND])]),
    once: sorted(each.flatMap(({ id, bad }) => (bad ? [] : [id]))),
    dead: sorted(each.flatMap(({ id, bad }) => (bad ? [id] : []))),
  }
}

function found(stores: ChanceStores) {
  const windows: Record<string, number> = {}
  for (const { key, value } of stores.committed('counts')) {
    const { start, value: n } = value as { start: number; value: number }
    const window = `${String(key)}@${start}`
    windows[window] = window in windows ? Number.NaN : n
  }
  const asides = [...stores.topics.values()].flatMap(({ committedAsides }) => committedAsides)
  return {
    windows,
    lists: listed(stores, 'lists'),
    once: sorted(stores.committed('once').map(({ value }) => value as number)),
    dead: sorted(asides.map(({ value }) => (JSON.parse(Buffer.from(value!).toString()) as Row).id)),
  }
}

/** Ids of all keys; every list is the one before it and one more. */
function listed(stores: ChanceStores, sink: string): number[] {
  const longest = new Map<unknown, number[]>()
  const byLength = stores
    .committed(sink)
    .toSorted((x, y) => (x.value as number[]).length - (y.value as number[]).length)
  for (const { key, value } of byLength) {
    const list = value as number[]
    expect(list.slice(0, -1), `${sink}: ${String(key)}`).toEqual(longest.get(key) ?? [])
    longest.set(key, list)
  }
  return sorted([...longest.values()].flat())
}

async function run(seed: number): Promise<ChanceStores> {
  const world = new ChanceWorld(seed)
  const stores = new ChanceStores()
  const inputs = { a: inputOf(world, 0), b: inputOf(world, B) }
  const once = world.is(0.5)
  const crashes = world.whole(0, 4)
  const weather = {
    ...{ batchMax: world.whole(1, 12), linkMs: world.whole(0, 25), sinkMs: world.whole(0, 40) },
    inFlightBytesMax: world.is(0.2) ? world.whole(0, 3_000) : 1 << 20,
  }
  let parallelism = world.whole(1, 3)
  for (let n = 0; ; n++) {
    if (n > 0 && world.is(0.3)) parallelism = world.whole(1, 3)
    const crashAfterMs = n < crashes ? world.whole(1, 800) : null
    const job = jobOf(world, parallelism, once)
    if (await runAttempt(world, stores, { job, splits: [], inputs, crashAfterMs, ...weather })) break
  }
  const is = found(stores)
  const wanted = expected(inputs)
  expect(is).toEqual(once ? wanted : { ...wanted, once: [], dead: [] })
  expect(listed(stores, 'digits')).toEqual(is.once)
  return stores
}

everySeed(
  'every record of both sources has had its effect once, none was late',
  { seeds: 200, perTest: 50, met: 'restores that had records in flight', moreThan: 0 },
  async (seed) => (await run(seed)).restoredInFlight,
)
