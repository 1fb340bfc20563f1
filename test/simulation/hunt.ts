/** Looks for the hole that a removed rule opens: seed after seed until one is violated. */
import { load, type Mutant } from '../mutation/bundle.ts'
import { REGIONS_FROM, RESCALE_FROM } from './climate.ts'
import { regionRules } from '../mutation/rules.ts'
import { allRules, rescaleRules, type AnyRule } from './mutants.ts'

export interface Catch {
  /** First seed with a violation; null: none within the bound. */
  readonly seed: number | null
  readonly violation: string | null
}

/** So many seeds, in order, of those that can show it; `first`, a seed that is known to find it, before all others. */
export async function hunt(name: AnyRule, seedsMax: number, first: number | null = null): Promise<Catch> {
  const mutants: readonly Mutant[] = allRules[name]
  const { simulate } = await load<typeof import('./simulate.ts')>('test/simulation/simulate.ts', ...mutants)
  const from = name in regionRules ? REGIONS_FROM : name in rescaleRules ? RESCALE_FROM : 0
  for (let n = first === null ? 1 : 0; n <= seedsMax; n++) {
    const seed = n === 0 ? first! : from + n
    const { violations } = await simulate(seed)
    if (violations.length > 0) return { seed, violation: violations[0]! }
  }
  return { seed: null, violation: null }
}
