import { expect, test } from 'vitest'
import { FAULTS, PHASES, planRounds } from './plan.ts'

test('one seed, one plan; another seed, another plan', () => {
  expect(planRounds(7, 20)).toEqual(planRounds(7, 20))
  expect(planRounds(7, 20)).not.toEqual(planRounds(8, 20))
})

test('more rounds only add to a plan: a failed round is found again in a shorter run', () => {
  expect(planRounds(7, 30).slice(0, 12)).toEqual(planRounds(7, 12))
})

test.each(Array.from({ length: 50 }, (_, seed) => seed))(
  'seed %i: every phase and every fault within 10 rounds',
  (seed) => {
    const rounds = planRounds(seed, 10)
    expect(new Set(rounds.map((r) => r.phase))).toEqual(new Set(PHASES))
    expect(new Set(rounds.map((r) => r.fault))).toEqual(new Set(FAULTS))
  },
)
