/** Looks for the hole that a removed rule opens: seed after seed until one is violated. */
import { load, type Mutant } from '../mutation/bundle.ts'

export interface Catch {
  /** First seed with a violation; null: none within the bound. */
  readonly seed: number | null
  readonly violation: string | null
}

/** Seeds 1 to `seedsMax`, in order; `first`, a seed that is known to find it, before all others. */
export async function hunt(mutants: readonly Mutant[], seedsMax: number, first: number | null = null): Promise<Catch> {
  const { simulate } = await load<typeof import('./simulate.ts')>('test/simulation/simulate.ts', ...mutants)
  for (let n = first === null ? 1 : 0; n <= seedsMax; n++) {
    const seed = n === 0 ? first! : n
    const { violations } = await simulate(seed)
    if (violations.length > 0) return { seed, violation: violations[0]! }
  }
  return { seed: null, violation: null }
}
