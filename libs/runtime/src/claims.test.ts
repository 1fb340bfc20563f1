/**
 * Claims in whole fleets drawn by chance: attempts end anywhere, claims come late, twice and behind the end of their attempt, and
 * some of their records go to the dead letters. Every event has one effect.
 */
import type { GraphNode, IdempotentNode, JobDefinition } from '@weir/dataflow'
import { operatorUid as uid } from '@weir/model'
import { expect, test } from 'vitest'
import { chainOf, node } from './fixture.ts'
import { everySeed } from './seeds.fixture.ts'
import { ChanceStores, runAttempt } from './testing/chance-fleet.ts'
import { ChanceWorld } from './testing/chance.ts'
import type { MemoryRecord } from './testing/index.ts'

interface Event {
  readonly id: number
  /** Which of those with one id. */
  readonly copy: number
  readonly print: string
}

const FAR_MS = 1_000_000
const once: IdempotentNode = {
  ...{
    kind: 'idempotent',
    uid: uid('once'),
    claims: { store: 'memory' },
    windowMs: FAR_MS,
    ttlMs: FAR_MS,
    rewindMs: 0,
  },
  ...{ onConflict: 'sideOutput', onUnavailable: { policy: 'fail' }, sides: ['duplicates', 'conflicts'] },
  claimOf: (value) => {
    const { id, print } = value as Event
    return { key: { bizKey: String(id), eventType: '' }, fingerprint: print }
  },
}

/** Its first copy fails, the others do not. */
const isBad = ({ id, copy }: Event): boolean => id % 11 === 3 && copy === 0

function jobOf(parallelism: number, isBehindExchange: boolean): JobDefinition {
  const check: GraphNode = {
    ...{ kind: 'map', uid: uid('checked') },
    map: (value) => {
      if (isBad(value as Event)) throw new Error('bad')
      return value
    },
  }
  const nodes: GraphNode[] = [
    node.source(40),
    { kind: 'keyBy', uid: uid('by-copy'), key: (value) => (value as Event).copy },
    once,
    check,
    node.sink('out'),
    { kind: 'sideOutput', uid: uid('twice'), side: 'duplicates' },
    node.sink('twice-out'),
    { kind: 'sideOutput', uid: uid('different'), side: 'conflicts' },
    node.sink('different-out'),
  ]
  const behind = [[2, 3], [3, 4], [2, 5], [5, 6], [2, 7], [7, 8]] as const // prettier-ignore
  const all = isBehindExchange ? ([[0, 1], [1, 2], ...behind] as const) : ([[0, 2], ...behind] as const)
  const { settings, ...job } = chainOf(nodes, { parallelism, deadLetters: { connector: 'kafka', topic: 'dead' } })
  if (isBehindExchange) return { ...job, settings, graph: { nodes, edges: all } }
  const without = nodes.filter(({ kind }) => kind !== 'keyBy')
  const at = (i: number): number => (i > 1 ? i - 1 : i)
  return { ...job, settings, graph: { nodes: without, edges: all.map(([from, to]) => [at(from), at(to)] as const) } }
}

async function run(seed: number): Promise<number> {
  const world = new ChanceWorld(seed)
  const stores = new ChanceStores()
  const count = world.whole(1, 3)
  const events: Event[] = []
  for (let id = 0; id < 25; id++) {
    const copies = world.whole(1, 3)
    for (let copy = 0; copy < copies; copy++) events.push({ id, copy, print: world.is(0.1) ? 'other' : 'same' })
  }
  const splits: MemoryRecord[][] = Array.from({ length: count }, () => [])
  for (const event of events) {
    const split = splits[world.whole(0, count - 1)]!
    split.splice(world.whole(0, split.length), 0, { value: event, ts: 1_000 + world.whole(0, 500) })
  }
  const isBehindExchange = world.is(0.5)
  let attempts = 0
  for (; ; attempts++) {
    expect(attempts).toBeLessThan(60)
    const job = jobOf(world.whole(1, 3), isBehindExchange)
    const crashAfterMs = attempts < 6 ? world.whole(1, 500) : null
    const slowness = { batchMax: 8, linkMs: 20, sinkMs: 20, inFlightBytesMax: 1 << 20 }
    if (await runAttempt(world, stores, { job, splits, ...slowness, crashAfterMs })) break
  }
  const idsOf = (name: string, of: (value: unknown) => Event): Event[] =>
    stores.committed(name).map(({ value }) => of(value))
  const out = idsOf('out', (value) => value as Event)
  const aside = [
    ...idsOf('twice-out', (value) => value as Event),
    ...idsOf('different-out', (value) => (value as { value: Event }).value),
  ]
  const dead = [...stores.topics.values()].flatMap(({ committedAsides }) => committedAsides).length
  // Each event that can have an effect has one; one whose only copy is bad has none, and lies in the dead letters.
  expect(new Set(out.map(({ id }) => id)).size, 'no effect twice').toBe(out.length)
  const mustBe = new Set(events.filter((event) => !isBad(event)).map(({ id }) => id))
  const blocked = new Set(events.filter(isBad).map(({ id }) => id))
  for (const id of mustBe) {
    // A good copy may have come while the bad one still held the claim: then that one's retry has it.
    if (!blocked.has(id)) expect(out.map((event) => event.id)).toContain(id)
  }
  for (const { id } of out) expect(mustBe.has(id)).toBe(true)
  // What did not pass is told of, once each, or is in the dead letters.
  expect(out.length + aside.length + dead).toBe(events.length)
  return attempts
}

everySeed(
  'one effect per event, whatever ends the attempts',
  { seeds: 120, perTest: 20, met: 'attempts that ended', moreThan: 20 },
  run,
)

test('a claim that is held by a dead letter goes to the next copy, which has the effect', async () => {
  const world = new ChanceWorld(1)
  const stores = new ChanceStores()
  const first: Event = { id: 3, copy: 0, print: 'same' }
  const options = { batchMax: 8, linkMs: 5, sinkMs: 5, inFlightBytesMax: 1 << 20, crashAfterMs: null }
  const late = Array.from({ length: 400 }, (_, i): MemoryRecord => ({
    value: { id: 100 + i, copy: 1, print: 'p' },
    ts: i,
  }))
  const splits = [[{ value: first, ts: 0 }, ...late, { value: { ...first, copy: 1, print: 'mended' }, ts: 500 }]]
  expect(await runAttempt(world, stores, { job: jobOf(1, false), splits, ...options })).toBe(true)
  const ids = stores.committed('out').filter(({ value }) => (value as Event).id === 3)
  expect(ids.map(({ value }) => value)).toEqual([{ id: 3, copy: 1, print: 'mended' }])
  expect(stores.topic('out', 0).committedAsides).toHaveLength(1)
})
