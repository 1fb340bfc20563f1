/** The whole fleet under faults, seed by seed; `npm run sim -- --seeds 2000` goes further. */
import { expect, test } from 'vitest'
import { replay, simulate } from './simulate.ts'

const SEEDS = 300
const AT_ONCE = 50

test.each(Array.from({ length: SEEDS / AT_ONCE }, (_, i) => 1 + i * AT_ONCE))(
  `seeds from %i, ${AT_ONCE} of them: nothing lost, doubled or swapped, nobody stuck, every job ends`,
  async (from) => {
    const seen = { epochs: 0, restarts: 0, faults: 0 }
    const violations: string[] = []
    for (let seed = from; seed < from + AT_ONCE; seed++) {
      const result = await simulate(seed)
      violations.push(...result.violations.map((text) => `${text} (${replay(seed)})`))
      seen.epochs += result.epochs
      seen.restarts += result.restarts
      seen.faults += Object.values(result.faults).reduce((sum, n) => sum + n, 0)
    }
    expect(violations).toEqual([])
    // A simulation in which nothing happens finds nothing.
    expect(seen.epochs).toBeGreaterThan(5 * AT_ONCE)
    expect(seen.restarts).toBeGreaterThan(AT_ONCE / 2)
    expect(seen.faults).toBeGreaterThan(5 * AT_ONCE)
  },
  60_000,
)

test('a seed tells the same story every time, and another seed another one', async () => {
  const [once, again, other] = [
    await simulate(7, { trace: true }),
    await simulate(7, { trace: true }),
    await simulate(8),
  ]
  expect(again.trace).toEqual(once.trace)
  expect(again.hash).toBe(once.hash)
  expect(other.hash).not.toBe(once.hash)
})
