/**
 * Several clients claim the same keys at once, while answers are lost, stores hang and die, regions are split, merged and led from
 * elsewhere, and windows end. Whatever each client was told is compared with what the stores have applied, in order.
 */
import { systemClock, systemRandom } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TikvCluster } from '../../../../test/tikv/cluster.ts'
import { randomFaults } from '../../../../test/tikv/faults.ts'
import type { StoreServer } from '../../../../test/tikv/store-server.ts'
import { TikvTier } from './tikv-tier.ts'

const CLIENTS = 4
const KEYS = 12
const ROUNDS = 4
const TTL_MS = 60_000
const SEEDS = Number(process.env['TIKV_SEEDS'] ?? 6)
const FROM = Number(process.env['TIKV_FROM'] ?? 1)
const { signal } = new AbortController()

/** mulberry32 */
function drawing(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

let cluster: TikvCluster
let tiers: TikvTier[]
beforeAll(async () => {
  cluster = await TikvCluster.start({ pdMembers: 3 })
  const options = { pd: cluster.pd, namespace: 'n', deadlineMs: 400 }
  const deps = { clock: systemClock, random: systemRandom }
  tiers = await Promise.all(Array.from({ length: CLIENTS }, () => TikvTier.open(options, deps, signal)))
})
afterAll(async () => {
  cluster.faults = () => null
  for (const tier of tiers) await tier.close()
  cluster.stop()
})

const DOWN_MS = 60
const down = new Map<StoreServer, Promise<void>>()

/** Connections break, new ones are refused; what it led is led by another one, of which PD knows at once. */
function kill(store: StoreServer): void {
  if (down.size > 0) return
  store.stop()
  for (const { start, leader, peers } of cluster.topology.regions)
    if (leader === store.id)
      cluster.topology.transfer(start, peers.find(({ storeId }) => storeId !== store.id)!.storeId)
  const up = new Promise((resolve) => setTimeout(resolve, DOWN_MS)).then(() => store.start())
  down.set(
    store,
    up.then(() => void down.delete(store)),
  )
}

function disturb(next: () => number, key: (i: number) => string): void {
  const at = `n\0${key(Math.floor(next() * KEYS))}`
  const store = cluster.stores[Math.floor(next() * cluster.stores.length)]!
  const draw = next()
  if (draw < 0.3) cluster.split(at)
  else if (draw < 0.5) cluster.merge(at)
  else if (draw < 0.75 && !down.has(store)) cluster.transfer(at, store.id)
  else if (draw < 0.8) kill(store)
  else if (draw < 0.9) cluster.pdLeader = cluster.members[Math.floor(next() * cluster.members.length)]!
  else cluster.topology.move(cluster.boundaryAt(at), store.id, cluster.stores[0]!.id)
}

test.each(Array.from({ length: SEEDS }, (_, i) => FROM + i))(
  'of each key and window exactly one client has won (seed %i)',
  async (seed) => {
    const next = drawing(seed)
    const key = (i: number): string => `s${seed}-${String(i).padStart(2, '0')}`
    for (let round = 0; round < ROUNDS; round++) {
      const faults = randomFaults(next, 0.25)
      cluster.faults = (asked) => {
        if (next() < 0.05) disturb(next, key)
        return faults(asked)
      }
      const from = cluster.data.applied.length
      const outcomes = await Promise.all(
        tiers.map(async (tier, client) => {
          const entries = Array.from({ length: KEYS }, (_, i) => ({
            key: key(i),
            value: `c${client} r${round} ${key(i)}`,
            ttlMs: TTL_MS,
          }))
          entries.sort(() => next() - 0.5)
          return Promise.all(
            entries.map(async (entry) => {
              // Whoever was not told asks again with the same value, as a restarted task does.
              for (let i = 0; i < 200; i++) {
                const answer = await tier.claim([entry], signal).catch(() => null)
                if (answer !== null) return { entry, answer: answer[0]! }
                await new Promise((resolve) => setTimeout(resolve, 20))
              }
              throw new Error(`${entry.key} was never decided`)
            }),
          )
        }),
      )
      cluster.faults = () => null
      await Promise.all(down.values())
      const applied = cluster.data.applied.slice(from)
      for (let i = 0; i < KEYS; i++) {
        const written = applied.filter((write) => write.key === cluster.wireKey(`n\0${key(i)}`).toString('latin1'))
        // The same value again is the same claim again; any other one would be a second winner.
        const values = new Set(written.map(({ value }) => value!.toString('utf8', 1)))
        expect(values.size, `writers of ${key(i)}`).toBe(1)
        const [winner] = values
        const answers = outcomes.flat().filter(({ entry }) => entry.key === key(i))
        expect(answers).toHaveLength(CLIENTS)
        for (const { entry, answer } of answers)
          expect(answer).toEqual(entry.value === winner ? { won: true } : { won: false, there: winner })
      }
      // The window is over: everything is free again.
      cluster.aheadSeconds += TTL_MS / 1_000 + 2
    }
  },
  60_000,
)
