/** Jobs that are cancelled or fail under faults: what they leave behind. Each rule that cleans up, removed, is missed. */
import { expect, test } from 'vitest'
import { load, type Mutant } from '../mutation/bundle.ts'
import { simulateEnding } from './ending.ts'

// A lost transaction is one seed in fifty.
const SEEDS = 200
const HUNT_SEEDS_MAX = 100

test(`${SEEDS} seeds: nothing stays open, what is published is committed or known to be lost`, async () => {
  const violations: string[] = []
  const seen = { reaped: 0, settled: 0, HEALED: 0, LOST: 0 }
  for (let seed = 1; seed <= SEEDS; seed++) {
    const ending = await simulateEnding(seed, { trace: true })
    violations.push(...ending.violations.map((text) => `seed ${seed}: ${text}`))
    seen.reaped += ending.reaped
    seen.settled += ending.settled
    for (const outcome of ending.outcomes) if (outcome === 'HEALED' || outcome === 'LOST') seen[outcome]++
  }
  expect(violations).toEqual([])
  // A simulation in which nothing happens finds nothing.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0)
}, 60_000)

const mutants: readonly (Mutant & { readonly found: RegExp })[] = [
  {
    hole: 'ledger',
    rule: 'a job that ends before its published epoch is final is settled after the end',
    file: 'libs/job/src/moves.ts',
    find: 'const settled = sinks.length === 0 || (known && epoch <= state.coordinator.final)',
    replace: 'const settled = true',
    found: /Published|Open/,
  },
  {
    hole: 'ledger',
    rule: 'a verdict about an epoch before is none',
    file: 'libs/job/src/ledger.ts',
    find: 'o.sink === sink && o.subtask === subtask && o.epoch === epoch)\n      return verdict',
    replace: 'o.sink === sink && o.subtask === subtask)\n      return verdict',
    found: /Published/,
  },
  {
    hole: 'A12',
    rule: 'one look behind a job that has ended is not enough: a late recovery opens a transaction',
    file: 'libs/job/src/reaper.ts',
    find: 'if (event.now < state.closeAtMs) return rest(state, event.now)',
    replace: '',
    found: /Open/,
  },
]

test.each(mutants)(
  '$hole: $rule',
  async (mutant) => {
    const mutated = await load<typeof import('./ending.ts')>('test/simulation/ending.ts', mutant)
    for (let seed = 1; seed <= HUNT_SEEDS_MAX; seed++) {
      const { violations } = await mutated.simulateEnding(seed)
      if (violations.some((text) => mutant.found.test(text))) return
    }
    expect.fail(`not found within ${HUNT_SEEDS_MAX} seeds`)
  },
  120_000,
)
