/**
 * Transaction ids with each rule removed: their world (libs/idempotency/src/dtxid/testing/world.ts) must show the hole. The seed
 * beside a rule is the first that did when it was last measured and is tried first; then seeds 1 to SEEDS_MAX are.
 */
import { expect, test } from 'vitest'
import { load, type Mutant } from './bundle.ts'

const WORLD = 'libs/idempotency/src/dtxid/testing/world.ts'
const SEEDS_MAX = 300
const clock = 'libs/idempotency/src/dtxid/clock.ts'
const lease = 'libs/idempotency/src/dtxid/worker-lease.ts'

interface Case extends Mutant {
  readonly seed: number
  /** In the same file. */
  readonly and?: Pick<Mutant, 'find' | 'replace'>
}
const mutants: readonly Case[] = [
  {
    ...{ hole: 'C4', rule: 'nothing is given out behind the end of the lease by our clock', file: clock, seed: 38 },
    find: 'if (monotonic >= this.#leaseEnd) return',
    replace: 'if (this.#leaseEnd === -Infinity) return',
  },
  {
    ...{ hole: 'C4', rule: 'a margin is taken off the lease, since clocks run apart', file: lease, seed: 13 },
    find: 'askedAt + ttlMs - marginMs',
    replace: 'askedAt + ttlMs + 0 * marginMs',
  },
  {
    ...{ hole: 'C4', rule: 'the next holder begins above the mark', file: lease, seed: 2 },
    find: 'const from = mark.value + (mark.revision === null ? 0 : settings.ttlMs)',
    replace: 'const from = 0',
  },
  {
    ...{ hole: 'C4', rule: 'nothing is given out from the acknowledged mark on', file: clock, seed: 1 },
    find: 'if (time >= this.#mark) return',
    replace: 'if (time >= TIME_END) return',
  },
  {
    ...{ hole: 'C4', rule: 'a mark is changed only from the revision that is known', seed: 41 },
    ...{ file: 'libs/idempotency/src/dtxid/testing/etcd-model.ts', find: 'if (there.revision !== over)' },
    replace: 'if (over === "?")',
  },
  {
    ...{ hole: 'clock', rule: 'the logical clock never goes back', file: clock, seed: 1 },
    find: 'if (time <= this.time) {',
    replace: 'if (time === this.time) {',
  },
  {
    ...{
      hole: 'C4',
      rule: 'what a holder of before had asked ends no list and no claim that is under way',
      file: lease,
    },
    ...{ find: "event.type === 'unanswered' && event.what === 'claim'", replace: "event.type === 'unanswered'" },
    and: { find: "event.type === 'unanswered' && event.what === 'list'", replace: "event.type === 'unanswered'" },
    seed: 2_253,
  },
]

type World = typeof import('../../libs/idempotency/src/dtxid/testing/world.ts')
const violations = ({ simulateDtxIds }: World, seed: number): readonly string[] =>
  simulateDtxIds({ seed, processes: 3 + (seed % 3), faultsMs: 90_000, fleetJumps: seed % 2 === 0 }).violations

test.each(mutants)(
  '$hole: $rule',
  async (mutant) => {
    const world = await load<World>(WORLD, mutant, ...(mutant.and ? [{ ...mutant, ...mutant.and }] : []))
    let found = mutant.seed
    for (let seed = 0; violations(world, found).length === 0; found = ++seed) {
      expect(seed, `not found within ${SEEDS_MAX} seeds`).toBeLessThan(SEEDS_MAX)
    }
    if (process.env['DTXID_SHOW']) console.log(mutant.rule, found, violations(world, found)[0])
    // It is the rule that was missing: with all of them nothing is wrong with this seed.
    expect(violations(await load<World>(WORLD), found)).toEqual([])
  },
  120_000,
)
