/** Tiers of claims: the memory tier's look-ups, its hits beside a cache by recency, and a claim in LevelDB beside a plain put. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { systemClock } from '@weir/runtime/system'
import { HotTier } from '../../libs/idempotency/src/tiers/hot-tier.ts'
import { LevelTier } from '../../libs/idempotency/src/tiers/level-tier.ts'
import { atLeast, atMost, figure, median, say, type Figure } from './lib/figures.ts'

const CAPACITY = 10_000
const KEYS = 1_000_000
const SKEW = 0.9
const READS = 2_000_000
/** Of each hundred thousand reads the last are of keys that come once. */
const SCAN = { every: 100_000, keys: 20_000 }
const LOOK_UPS = 4_000_000
const ROUNDS = 5
const CLAIMS_PER_ROUND = 300
const FOREVER = Number.MAX_SAFE_INTEGER

export async function tierFigures(): Promise<readonly Figure[]> {
  return [...hits(), lookUps(), ...(await claims())]
}

// ---- memory ---------------------------------------------------------------------------------------------------------

/** mulberry32: the same trace in each run. */
let state = 1
function next(): number {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

function zipf(keys: number, skew: number): () => number {
  const sums = new Float64Array(keys)
  let sum = 0
  for (let i = 0; i < keys; i++) sums[i] = sum += 1 / (i + 1) ** skew
  return () => {
    const at = next() * sum
    let low = 0
    let high = keys - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle]! < at) low = middle + 1
      else high = middle
    }
    return low
  }
}

function trace(draw: () => number): string[] {
  let scanned = 0
  return Array.from({ length: READS }, (_, i) =>
    i % SCAN.every >= SCAN.every - SCAN.keys ? `scanned-${scanned++}` : `order-${draw()}`,
  )
}

interface Cache {
  look(key: string): unknown
  keep(key: string): void
}

/** A Map remembers the order in which its keys came. */
class Lru implements Cache {
  readonly #entries = new Map<string, string>()

  look(key: string): string | null {
    const text = this.#entries.get(key)
    if (text === undefined) return null
    this.#entries.delete(key)
    this.#entries.set(key, text)
    return text
  }

  keep(key: string): void {
    if (this.#entries.size >= CAPACITY) this.#entries.delete(this.#entries.keys().next().value!)
    this.#entries.set(key, 'text')
  }
}

function hot(): Cache & { clear(): void } {
  const tier = new HotTier({ entriesMax: CAPACITY }, { clock: systemClock })
  const kept = { text: 'text', until: FOREVER }
  return { look: (key) => tier.look(key), keep: (key) => tier.keep(key, kept), clear: () => tier.clear() }
}

function hitRatio(cache: Cache, reads: readonly string[]): number {
  let found = 0
  for (const key of reads)
    if (cache.look(key) !== null) found++
    else cache.keep(key)
  return found / reads.length
}

function hits(): Figure[] {
  const reads = trace(zipf(KEYS, SKEW))
  const tier = hot()
  const [tinyLfu, lru] = [hitRatio(tier, reads), hitRatio(new Lru(), reads)]
  tier.clear()
  say(`hit ratio: W-TinyLFU ${tinyLfu.toFixed(4)}, LRU ${lru.toFixed(4)}`)
  return [
    figure('hit ratio of the memory tier, Zipf(0.9) with scans', tinyLfu),
    figure('hit ratio of LRU on the same reads', lru),
    atLeast('hit ratio of the memory tier / LRU', tinyLfu / lru, 1.2),
  ]
}

function lookUps(): Figure {
  const tier = hot()
  const draw = zipf(CAPACITY, SKEW)
  const keys = Array.from({ length: CAPACITY }, (_, i) => `order-${i}`)
  for (const key of keys) tier.keep(key)
  const asked = Array.from({ length: 500_000 }, () => keys[draw()]!)
  const rates: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    let found = 0
    const before = process.cpuUsage()
    for (let i = 0; i < LOOK_UPS / asked.length; i++) for (const key of asked) if (tier.look(key) !== null) found++
    const { user, system } = process.cpuUsage(before)
    if (found < 0.9 * LOOK_UPS) throw new Error(`only ${found} of ${LOOK_UPS} were found`)
    rates.push(LOOK_UPS / ((user + system) / 1e6))
    say(`memory tier: ${Math.round(rates.at(-1)!)} look-ups per CPU-second`)
  }
  tier.clear()
  return atLeast('look-ups of the memory tier per CPU-second', median(rates), 2_000_000)
}

// ---- LevelDB --------------------------------------------------------------------------------------------------------

/** In turns, so that what else the disk does meets both. */
async function claims(): Promise<Figure[]> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-bench-'))
  const { signal } = new AbortController()
  const raw = new ClassicLevel(join(dir, 'raw'))
  await raw.open()
  const tier = await LevelTier.open({ folder: join(dir, 'tier'), onDamage: 'fail' }, { clock: systemClock })
  const value = 'x'.repeat(200)
  const [puts, claimed]: number[][] = [[], []]
  const timed = async (into: number[], call: () => Promise<unknown>): Promise<void> => {
    const before = performance.now()
    await call()
    into.push(performance.now() - before)
  }
  for (let i = 0; i < ROUNDS * CLAIMS_PER_ROUND; i++) {
    const key = `order-${i}`
    await timed(puts!, () => raw.put(key, value, { sync: true }))
    await timed(claimed!, () => tier.claim([{ key, value, ttlMs: 3_600_000 }], signal))
  }
  await raw.close()
  await tier.close()
  await rm(dir, { recursive: true, force: true })
  const [put, claim] = [median(puts!), median(claimed!)]
  say(`LevelDB: claim p50 ${(claim * 1_000).toFixed(0)} µs, plain put ${(put * 1_000).toFixed(0)} µs`)
  return [
    figure('LevelDB claim, p50 ms', claim),
    figure('LevelDB plain sync put, p50 ms', put),
    atMost('LevelDB claim / plain sync put, p50', claim / put, 1.2),
  ]
}
