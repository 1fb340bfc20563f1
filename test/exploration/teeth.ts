/**
 * Every rule, removed, must have a counterexample: within which bounds, and with which faults, it is found soon.
 *
 * The sink, etcd and Kafka are modelled here; their rules are removed from the model, which shows no more than that the
 * properties notice.
 */
import { load, type Mutant } from '../mutation/bundle.ts'
import { regionRules, rules, type RuleName } from '../mutation/rules.ts'
import { type Exploration, type ExploreOptions } from './search.ts'

type Bounds = Pick<ExploreOptions, 'sinks' | 'chunks' | 'faults' | 'faultsLike' | 'failover'>
const within = (sinks: number, chunks: number, faults: number, faultsLike?: RegExp): Bounds => ({
  sinks,
  chunks,
  faults,
  faultsLike,
})

const found: Readonly<Record<RuleName, Bounds>> = {
  maxByEpoch: within(1, 1, 1),
  sameManifest: within(1, 1, 1),
  settleFirst: within(1, 2, 2, /times out|for lost|cancels|crashes/),
  answeredInTheEnd: within(1, 1, 1),
  currentAttempt: within(1, 1, 1),
  claimFirst: within(1, 1, 1),
  ownEtag: within(1, 1, 1),
  firstClaimNeedsBoth: within(1, 1, 2, /unreachable|crash/),
  verifyClaim: within(1, 1, 2, /unreachable|for lost/),
  restartAbortsNothing: within(1, 1, 1),
  permit: within(1, 1, 0),
  unknownIsUnknown: within(1, 1, 2, /swap-register|swap-mirror|unreachable/),
  everyCommit: within(2, 1, 0),
  toleratedAborts: within(1, 3, 2, /times out/),
  allRecovered: within(2, 1, 0),
  endWhenSettled: within(1, 1, 2, /expires|cancels/),
  endInOrder: within(1, 2, 2, /times out|expires/),
  stopAtRefusal: within(1, 2, 2, /times out|expires/),
  fenceThenRead: within(1, 1, 2, /expires|for lost/),
  fenceAlways: within(1, 1, 1),
  markerProves: within(1, 1, 2, /expires|healing/),
  markerFromTheBeginning: within(1, 1, 1),
  healInOrder: within(1, 2, 2, /times out|expires|crashes/),
  goneIsNotLost: within(1, 2, 2, /retention|for lost/),
}

const regions = (chunks: number, faults: number, faultsLike?: RegExp): Bounds => ({
  ...within(2, chunks, faults, faultsLike),
  failover: 'region',
})
const foundInRegions: Readonly<Record<keyof typeof regionRules, Bounds>> = {
  regionSettlesFirst: regions(2, 2, /for lost|swap-mirror.*late|swap-register.*late/),
  droppedWithThem: regions(1, 1, /for lost/),
  provenTogether: regions(2, 1, /for lost/),
  othersCommit: regions(2, 1, /for lost/),
  regionRecovered: regions(1, 1, /for lost/),
  othersInFlight: regions(2, 1, /for lost/),
  inputOfAll: regions(2, 1, /for lost/),
  currentSlice: regions(1, 1, /for lost/),
}

const modelled: readonly (Mutant & Bounds)[] = [
  {
    hole: 'A2',
    rule: 'an epoch that is given up keeps its prepared transactions',
    file: 'test/exploration/task.ts',
    find: 'prepared: [...task.prepared, handle],',
    replace: 'prepared: givenUp ? task.prepared : [...task.prepared, handle],',
    ...within(1, 2, 1, /times out/),
  },
  {
    hole: 'A5',
    rule: 'the register compares the revision it replaces',
    file: 'test/exploration/job-manager.ts',
    find: 'const won = world.leader === generation && String(world.register.revision) === expected',
    replace: 'const won = world.leader === generation && expected.length > 0',
    ...within(1, 2, 1, /late/),
  },
  {
    hole: 'A15',
    rule: 'a refused commit restarts the attempt',
    file: 'test/exploration/task.ts',
    find: "if (after === 'refused') return failed(world, subtask, next, 'COMMIT_REFUSED', 'restart', 'EndTxn')",
    replace:
      "if (after === 'refused') return (put(world, subtask, { ...next, commit: null }), report(world, next, { type: 'committed', slice: sliceOf(subtask, task), epoch }))",
    ...within(1, 1, 1, /expires/),
  },
  {
    hole: 'A16',
    rule: 'staged output is durable before the ack',
    file: 'test/exploration/task.ts',
    find: 'world.staged[subtask] = new Map(world.staged[subtask]).set(key, [chunk])',
    replace: 'void chunk',
    ...within(1, 1, 1, /expires/),
  },
  {
    hole: 'A16',
    rule: 'staged output goes when its epoch is final',
    file: 'test/exploration/task.ts',
    find: 'for (const key of task.ended) staged.delete(key)',
    replace: 'staged.clear()',
    ...within(1, 1, 1, /expires/),
  },
]

export interface Tooth {
  readonly hole: string
  readonly rule: string
  /** In the production sources, or in the model around them. */
  readonly real: boolean
  readonly bounds: Bounds
  readonly mutants: readonly Mutant[]
}

export const teeth: readonly Tooth[] = [
  ...(Object.keys(found) as RuleName[]).map((name) => {
    const [{ hole, rule }] = rules[name] as readonly [Mutant]
    return { hole, rule, real: true, bounds: found[name], mutants: rules[name] }
  }),
  ...(Object.keys(foundInRegions) as (keyof typeof regionRules)[]).map((name) => {
    const [{ hole, rule }] = regionRules[name] as readonly [Mutant]
    return { hole, rule, real: true, bounds: foundInRegions[name], mutants: regionRules[name] }
  }),
  ...modelled.map((mutant) => ({ ...mutant, real: false, bounds: mutant, mutants: [mutant] })),
]

/** Beyond it a mutant counts as not found. */
const STATES_MAX = 200_000

export async function bite({ bounds, mutants }: Tooth): Promise<Exploration> {
  const { explore } = await load<typeof import('./search.ts')>('test/exploration/search.ts', ...mutants)
  const { sinks, chunks, faults, faultsLike, failover = 'full' } = bounds
  const of = { sinks, chunks, faults, faultsLike, failover }
  return explore({ ...of, arbiter: 'etcd', statesMax: STATES_MAX, safetyOnly: false })
}
