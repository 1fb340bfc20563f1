/** Properties of whole attempts, over seeds. */
import { expect, test } from 'vitest'

export interface Seeds {
  readonly seeds: number
  /** In one test; divides `seeds`. */
  readonly perTest: number
  /** What the seeds of a test must have met together, more often than this: else they prove nothing. */
  readonly met: string
  readonly moreThan: number
}

/** Tests in blocks, or with `WEIR_SEED=n` that seed alone. `run` answers how often it has met what must be met. */
export function everySeed(
  title: string,
  { seeds, perTest, met, moreThan }: Seeds,
  run: (seed: number) => Promise<number>,
): void {
  const only = process.env['WEIR_SEED']
  if (only !== undefined) return test(`seed ${only}`, async () => void (await run(Number(only))), 120_000)
  test.each(Array.from({ length: seeds / perTest }, (_, i) => i * perTest))(
    `seeds from %i: ${title}`,
    async (from) => {
      let often = 0
      for (let seed = from; seed < from + perTest; seed++) {
        often += await run(seed).catch((error: unknown) => {
          throw new Error(`seed ${seed} (WEIR_SEED=${seed} runs it alone)`, { cause: error })
        })
      }
      expect(often, met).toBeGreaterThan(moreThan)
    },
    120_000,
  )
}
