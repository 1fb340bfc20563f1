/**
 * Nexmark's queries as jobs, against a recomputation that knows nothing of the engine: for random seeds, out of order and late, at
 * any parallelism, with restarts in the middle. Every result exactly as often as it should be.
 */
import { describe, expect, test } from 'vitest'
import { WINDOW_MS } from './model.ts'
import { run } from './run.ts'
import { queries, type QueryName } from './queries/index.ts'
import type { BidderCount } from './queries/q12.ts'

const FROM = Number(process.env['NEXMARK_FROM'] ?? 1)
const SEEDS = Array.from({ length: Number(process.env['NEXMARK_SEEDS'] ?? 3) }, (_, i) => FROM + i)
const names = Object.keys(queries) as QueryName[]
/** What is read again is counted at the clock of the second time: q12 has a test of its own. */
const ofEvents = names.filter((name) => name !== 'q12')

describe.each(names)('%s', (name) => {
  test.each(SEEDS)('seed %i', async (seed) => {
    const { rows, expected } = await run(name, seed, { withRestarts: false })
    expect(rows).toEqual(expected)
    expect(rows.length).toBeGreaterThan(0)
  })
})

describe.each(ofEvents)('%s, restarted', (name) => {
  test.each(SEEDS)('seed %i', async (seed) => {
    const { rows, expected, restarts } = await run(name, seed, { withRestarts: true })
    expect(rows).toEqual(expected)
    expect(restarts).toBeGreaterThan(0)
  })
})

test.each(SEEDS)(
  'q12, restarted, seed %i: every bid is counted once over all windows, no bidder is lost',
  async (seed) => {
    const { rows, arrivals, restarts } = await run('q12', seed, { withRestarts: true })
    expect(restarts).toBeGreaterThan(0)
    const counts = rows.map((row) => JSON.parse(row) as BidderCount)
    const windows = counts.map(({ bidder, start }) => `${bidder} ${start}`)
    expect(new Set(windows).size).toBe(windows.length)
    const [first, last] = [arrivals[0]!.clockMs, arrivals.at(-1)!.clockMs]
    const counted = new Map<number, number>()
    for (const { bidder, bids, start } of counts) {
      expect(start % WINDOW_MS).toBe(0)
      expect(start).toBeGreaterThan(first - WINDOW_MS)
      expect(start).toBeLessThanOrEqual(last)
      expect(bids).toBeGreaterThan(0)
      counted.set(bidder, (counted.get(bidder) ?? 0) + bids)
    }
    const made = new Map<number, number>()
    for (const { event } of arrivals)
      if (event.kind === 'bid') made.set(event.bidder, (made.get(event.bidder) ?? 0) + 1)
    expect([...counted].sort()).toEqual([...made].sort())
  },
)
