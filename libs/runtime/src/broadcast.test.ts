/**
 * Broadcasts against what there is: whatever is slow, given up, crashed or rescaled, every subtask has heard every rule once, and
 * every record has come out once. A seed is one job from its beginning to its end; `WEIR_SEED=n` runs that one alone.
 */
import { withBroadcastOf, type BroadcastDescriptor, type GraphNode, type JobDefinition, type Out } from '@weir/dataflow'
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
const uid = operatorUid
const source = (of: string): GraphNode => ({ ...node.source(40), uid: uid(of) })
const told: BroadcastDescriptor<number, { readonly times: number }> = { kind: 'broadcast' }
/** Behind every record of either stream. */
const LAST_MS = 1_000_000

/** Says at the end, for each key, which rules its subtask has heard, and how often. */
const keyed = withBroadcastOf({
  broadcast: { told },
  timers: { last: 'event' as const },
  onBroadcast({ broadcast }, { id }: Row) {
    if (id % 7 === 3) {
      broadcast.told.set(-id, { times: 1 })
      throw new RangeError(`rule ${id} is bad`)
    }
    broadcast.told.set(id, { times: (broadcast.told.get(id)?.times ?? 0) + 1 })
  },
  onRecord({ timers }, { id }: Row, out: Out<unknown>) {
    timers.last.set(LAST_MS)
    out.emit(id)
  },
  onTimer: ({ broadcast, key }, _timer, out: Out<unknown>) =>
    out.emit({ key, rules: [...broadcast.told].map(([id, { times }]) => `${id}×${times}`) }),
})
/** A stream without a key: rules that are taken back are gone. */
const plain = withBroadcastOf({
  broadcast: { told },
  onBroadcast({ broadcast }, { id }: Row) {
    broadcast.told.set(id, { times: 1 })
    broadcast.told.delete(id - 10)
  },
  onRecord({ broadcast }, { id }: Row, out: Out<unknown>) {
    if (broadcast.told.size > 10) throw new Error('a rule was not taken back')
    out.emit(id)
  },
})

const GRAPH: readonly (readonly [GraphNode, ...string[]])[] = [
  [source('records')],
  [source('rules')],
  [{ kind: 'broadcast', uid: uid('to-all') }, 'rules'],
  [{ kind: 'keyBy', uid: uid('by-user'), key: (row) => (row as Row).user }, 'records'],
  [{ uid: uid('keyed'), ...keyed }, 'by-user', 'to-all'],
  [node.sink('keyed-out'), 'keyed'],
  [{ uid: uid('plain'), ...plain }, 'records', 'to-all'],
  [node.sink('plain-out'), 'plain'],
]
const nodes = GRAPH.map(([of]) => of)
const indexOf = (name: string): number => nodes.findIndex((of) => of.uid === name)
const edges = GRAPH.flatMap(([, ...from], to) => from.map((name) => [indexOf(name), to] as const))

function jobOf(parallelism: number): JobDefinition {
  const job = chainOf(nodes, { parallelism, maxParallelism: 8, deadLetters: { connector: 'kafka', topic: 'dead' } })
  return { ...job, graph: { nodes, edges } }
}

const inputOf = (world: ChanceWorld, splits: number): readonly (readonly MemoryRecord[])[] => {
  const perSplit = world.whole(5, 30)
  return Array.from({ length: splits }, (_, split) =>
    Array.from({ length: perSplit }, (_, i): MemoryRecord => {
      const value: Row = { id: i * splits + split, user: `u${world.whole(0, 5)}` }
      return { value, ts: 1_000 + i * 20 + world.whole(0, 30) }
    }),
  )
}

const idsOf = (splits: readonly (readonly MemoryRecord[])[]): number[] =>
  splits.flat().map(({ value }) => (value as Row).id)
const sorted = (ids: readonly number[]): number[] => ids.toSorted((a, b) => a - b)

async function run(seed: number): Promise<number> {
  const world = new ChanceWorld(seed)
  const stores = new ChanceStores()
  // Rules of one split come in its order.
  const inputs = { records: inputOf(world, world.whole(1, 4)), rules: inputOf(world, 1) }
  const crashes = world.whole(1, 5)
  const weather = {
    ...{ batchMax: world.whole(1, 8), linkMs: world.whole(0, 25), sinkMs: world.whole(0, 40) },
    inFlightBytesMax: 1 << 20,
  }
  let parallelism = world.whole(1, 3)
  let rescales = 0
  for (let n = 0; ; n++) {
    const before = parallelism
    if (n > 0 && world.is(0.7)) parallelism = world.whole(1, 3)
    if (parallelism !== before) rescales++
    const crashAfterMs = n < crashes ? world.whole(100, 600) : null
    if (await runAttempt(world, stores, { job: jobOf(parallelism), splits: [], inputs, crashAfterMs, ...weather }))
      break
  }
  const records = sorted(idsOf(inputs.records))
  const out = stores.committed('keyed-out').map(({ value }) => value)
  expect(sorted(out.filter((value) => typeof value === 'number'))).toEqual(records)
  expect(sorted(stores.committed('plain-out').map(({ key, value }) => (key === null ? Number(value) : NaN)))).toEqual(
    records,
  )
  const rules = idsOf(inputs.rules)
  const heard = out.filter((value) => typeof value !== 'number') as { key: string; rules: string[] }[]
  const users = new Set(inputs.records.flat().map(({ value }) => (value as Row).user))
  expect(heard.map(({ key }) => key).sort()).toEqual([...users].sort())
  const good = rules.filter((id) => id % 7 !== 3).map((id) => `${id}×1`)
  for (const { key, rules: is } of heard) expect(is.toSorted(), key).toEqual(good.toSorted())
  const asides = [...stores.topics.values()].flatMap(({ committedAsides }) => committedAsides)
  const bad = asides.map(({ value }) => (JSON.parse(Buffer.from(value!).toString()) as Row).id)
  expect(sorted(bad)).toEqual(rules.filter((id) => id % 7 === 3))
  return rescales
}

everySeed('every subtask has heard every rule once', { seeds: 100, perTest: 25, met: 'rescales', moreThan: 5 }, run)
