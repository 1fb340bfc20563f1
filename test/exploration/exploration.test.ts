/** The real machines within the bounds that a test run can afford; `npm run sim -- --explore` goes further. */
import { expect, test } from 'vitest'
import { STATES_MAX, explore, type ExploreOptions } from './search.ts'
import { bite, teeth } from './teeth.ts'

const all = { statesMax: STATES_MAX, safetyOnly: false }
const one: ExploreOptions = { ...all, sinks: 1, chunks: 1, faults: 1, arbiter: 'etcd', failover: 'full' }

// The least number of states tells that the search went where it should: an action that can no longer happen shows here.
test.each([
  { ...one, faults: 0, statesAtLeast: 25 },
  { ...one, statesAtLeast: 7_000 },
  { ...one, chunks: 2, statesAtLeast: 20_000 },
  { ...one, arbiter: 's3' as const, statesAtLeast: 4_500 },
  { ...one, arbiter: 'etcd-alone' as const, statesAtLeast: 3_000 },
  { ...one, sinks: 2, chunks: 2, failover: 'region' as const, faultsLike: /for lost/, statesAtLeast: 12_000 },
])(
  '$sinks sink(s), $chunks chunk(s), ≤ $faults fault(s), arbiter $arbiter, failover $failover: no counterexample',
  (bounds) => {
    const { counterexample, complete, states } = explore(bounds)
    expect(counterexample).toBeNull()
    expect(complete).toBe(true)
    expect(states).toBeGreaterThan(bounds.statesAtLeast)
  },
)

test('the same search twice sees the same states in the same order', () => {
  expect(explore({ ...one, statesMax: 2_000 })).toEqual(explore({ ...one, statesMax: 2_000 }))
})

test.each(teeth)('$hole: $rule', async (tooth) => {
  const { counterexample } = await bite(tooth)
  expect(counterexample?.broken).toEqual(expect.any(String))
})
