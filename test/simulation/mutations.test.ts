/**
 * Each rule removed in turn: the whole fleet under faults must show the hole. The seed beside a rule is the first that did
 * when it was last measured (`npm run sim -- --mutations`) and is tried first; when the code has moved on and it finds
 * nothing any more, seeds 1 to 1,000 are. `awakeToFence` is shown by one seed in thousands: libs/connectors/src/log/log-sink.test.ts has it.
 */
import { expect, test } from 'vitest'
import { hunt } from './hunt.ts'
import { allRules, type AnyRule } from './mutants.ts'
import { simulate } from './simulate.ts'

const SEEDS_MAX = 1_000

const foundBy: Partial<Record<AnyRule, number>> = {
  handlesTravelOn: 7,
  epochsNeverReused: 3,
  modRevision: 401,
  leaderKey: 60,
  ifMatch: 61,
  commitInOrder: 7,
  refusalStopsTheRest: 48,
  refusedIsNotCommitted: 48,
  fencedPool: 4,
  stagedBeforeAck: 16,
  healOnlyOnce: 46,
  markerInTransaction: 80,
  orderOfTransactions: 2,
  aligned: 32,
  overtakenIsStored: 4,
  bothSidesOfTheCut: 207,
  capturedUntilTheBarrier: 71,
  preparedOrOver: 12,
  sameManifest: 546,
  claimFirst: 53,
  ownEtag: 61,
  answeredInTheEnd: 59,
  toleratedAborts: 51,
  restartAbortsNothing: 27,
  permit: 1,
  everyCommit: 19,
  stopAtRefusal: 898,
  fenceAlways: 1,
  markerProves: 122,
  markerFromTheBeginning: 46,
  regionSettlesFirst: 1_000_927,
  droppedWithThem: 1_000_029,
  provenTogether: 1_000_021,
  othersCommit: 1_000_201,
  narrowedToItsOwner: 6_000_012,
  retiredInCare: 6_000_012,
  highestEver: 6_000_012,
}

const cases = Object.entries(foundBy).map(([name, seed]) => ({ name, seed, ...allRules[name as AnyRule][0]! }))

test.each(cases)(
  '$hole $name: $rule',
  async ({ name, seed }) => {
    const caught = await hunt(name as AnyRule, SEEDS_MAX, seed)
    expect(caught.seed, `not found within ${SEEDS_MAX} seeds`).not.toBeNull()
    // It is the rule that was missing: with all of them nothing is wrong with this seed.
    expect((await simulate(caught.seed!)).violations).toEqual([])
  },
  300_000,
)
