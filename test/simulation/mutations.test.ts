/**
 * Each rule removed in turn: the whole fleet under faults must show the hole. The seed beside a rule is the first that did
 * when it was last measured (`npm run sim -- --mutations`) and is tried first; when the code has moved on and it finds
 * nothing any more, seeds 1 to 1,000 are.
 */
import { expect, test } from 'vitest'
import { hunt } from './hunt.ts'
import { allRules, type AnyRule } from './mutants.ts'
import { simulate } from './simulate.ts'

const SEEDS_MAX = 1_000

const foundBy: Partial<Record<AnyRule, number>> = {
  handlesTravelOn: 2,
  epochsNeverReused: 3,
  storeIsTheTruth: 1_076,
  modRevision: 643,
  leaderKey: 60,
  ifMatch: 3,
  commitInOrder: 2,
  refusalStopsTheRest: 11,
  refusedIsNotCommitted: 11,
  fencedPool: 18,
  stagedBeforeAck: 12,
  healOnlyOnce: 25,
  markerInTransaction: 80,
  orderOfTransactions: 7,
  aligned: 18,
  preparedOrOver: 10,
  maxByEpoch: 80,
  sameManifest: 546,
  currentAttempt: 784,
  claimFirst: 220,
  ownEtag: 173,
  answeredInTheEnd: 161,
  toleratedAborts: 3,
  restartAbortsNothing: 43,
  permit: 1,
  unknownIsUnknown: 388,
  everyCommit: 11,
  allRecovered: 332,
  endInOrder: 311,
  stopAtRefusal: 354,
  fenceAlways: 1,
  markerProves: 32,
  markerFromTheBeginning: 26,
}

const cases = Object.entries(foundBy).map(([name, seed]) => ({ name, seed, ...allRules[name as AnyRule][0]! }))

test.each(cases)(
  '$hole $name: $rule',
  async ({ name, seed }) => {
    const caught = await hunt(allRules[name as AnyRule], SEEDS_MAX, seed)
    expect(caught.seed, `not found within ${SEEDS_MAX} seeds`).not.toBeNull()
    // It is the rule that was missing: with all of them nothing is wrong with this seed.
    expect((await simulate(caught.seed!)).violations).toEqual([])
  },
  300_000,
)
