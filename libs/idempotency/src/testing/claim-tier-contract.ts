/** What every tier of claims must do (`tier.ts`): Redis, PostgreSQL, LevelDB, memory and TiKV run the same sentences. */
import { afterEach, describe, expect, test } from 'vitest'
import type { ClaimTier, TierClaim, TierEntry } from '../tier.ts'

export interface ClaimTierHarness {
  /** Opened on the same place each time: what one has written the other finds. Closed by the contract. */
  open(): Promise<ClaimTier>
  /** Lets so much time pass for the tier; a clock of its own may be set on. */
  pass(ms: number): Promise<void>
  /** The shortest time the tier can keep something, ms. */
  readonly ttlMsMin: number
  /** Two instances may be open at once; default true. */
  readonly shared?: boolean
}

const HOUR = 3_600_000
const WON: TierClaim = { won: true }
const lost = (there: string): TierClaim => ({ won: false, there })
let numbered = 0

export function claimTierContract(name: string, make: () => Promise<ClaimTierHarness>): void {
  describe(name, () => {
    const opened: ClaimTier[] = []
    const started = async (): Promise<{ tier: ClaimTier; harness: ClaimTierHarness; key: string }> => {
      const harness = await make()
      const tier = await harness.open()
      opened.push(tier)
      return { tier, harness, key: `k${process.pid}-${Date.now()}-${numbered++}` }
    }
    const { signal } = new AbortController()
    const entry = (key: string, value: string, ttlMs = HOUR): TierEntry => ({ key, value, ttlMs })
    afterEach(async () => {
      for (const tier of opened.splice(0)) await tier.close()
    })

    test('the first one wins, the others are told who has', async () => {
      const { tier, key } = await started()
      expect(await tier.get(key, signal)).toBeNull()
      expect(await tier.claim([entry(key, 'a')], signal)).toEqual([WON])
      expect(await tier.claim([entry(key, 'b'), entry(`${key}x`, 'b')], signal)).toEqual([lost('a'), WON])
      expect(await tier.get(key, signal)).toBe('a')
    })

    test('a key that comes twice in one batch is won by the first', async () => {
      const { tier, key } = await started()
      const answers = await tier.claim(
        [entry(key, 'a'), entry(`${key}y`, 'a'), entry(key, 'b'), entry(key, 'a')],
        signal,
      )
      expect(answers).toEqual([WON, WON, lost('a'), WON])
    })

    test('who finds its own text has won: the answer before was lost', async () => {
      const { tier, key } = await started()
      await tier.claim([entry(key, 'a')], signal)
      expect(await tier.claim([entry(key, 'a')], signal)).toEqual([WON])
    })

    test('many keys are read in the order asked, those that are not there as null', async () => {
      const { tier, key } = await started()
      const keys = Array.from({ length: 300 }, (_, i) => `${key}/${i}`)
      expect(await tier.getMany(keys, signal)).toEqual(keys.map(() => null))
      await tier.claim(
        keys.filter((_, i) => i % 3 > 0).map((k) => entry(k, `of ${k}`)),
        signal,
      )
      expect(await tier.getMany(keys, signal)).toEqual(keys.map((k, i) => (i % 3 > 0 ? `of ${k}` : null)))
      expect(await tier.getMany([], signal)).toEqual([])
      expect(await tier.claim([], signal)).toEqual([])
    })

    test('keys and values of any characters come back as they were', async () => {
      const { tier, key } = await started()
      const odd = [`${key}{a}:b/c`, `${key} \u0000\n"'`, `${key}é`, `${key}e\u0301`, `${key}😀`, `${key}%_*?[`]
      expect(
        await tier.claim(
          odd.map((k) => entry(k, k)),
          signal,
        ),
      ).toEqual(odd.map(() => WON))
      expect(await tier.getMany(odd, signal)).toEqual(odd)
    })

    test('a swap takes the place of what it expects, and of nothing else', async () => {
      const { tier, key } = await started()
      expect(await tier.swap(entry(key, 'b'), 'a', signal)).toEqual({ swapped: false, there: null })
      expect(await tier.swap(entry(key, 'a'), null, signal)).toEqual({ swapped: true })
      expect(await tier.swap(entry(key, 'b'), null, signal)).toEqual({ swapped: false, there: 'a' })
      expect(await tier.swap(entry(key, 'b'), 'a', signal)).toEqual({ swapped: true })
      expect(await tier.swap(entry(key, 'c'), 'a', signal)).toEqual({ swapped: false, there: 'b' })
      // Asked for again, since the answer was lost.
      expect(await tier.swap(entry(key, 'b'), 'a', signal)).toEqual({ swapped: true })
      expect(await tier.get(key, signal)).toBe('b')
    })

    test('only what is still there is released', async () => {
      const { tier, key } = await started()
      await tier.claim([entry(key, 'a')], signal)
      expect(await tier.release(key, 'b', signal)).toBe(false)
      expect(await tier.get(key, signal)).toBe('a')
      expect(await tier.release(key, 'a', signal)).toBe(true)
      expect(await tier.release(key, 'a', signal)).toBe(true)
      expect(await tier.claim([entry(key, 'b')], signal)).toEqual([WON])
    })

    test('of a hundred at once one wins, and all are told the same', async () => {
      const { tier, key } = await started()
      const answers = await Promise.all(
        Array.from({ length: 100 }, async (_, i) => (await tier.claim([entry(key, `by ${i}`)], signal))[0]!),
      )
      const there = (await tier.get(key, signal))!
      expect(answers.filter(({ won }) => won)).toHaveLength(1)
      expect(answers.map((answer) => (answer.won ? there : answer.there))).toEqual(answers.map(() => there))
    })

    test('of fifty swaps at once one takes its place', async () => {
      const { tier, key } = await started()
      await tier.claim([entry(key, 'a')], signal)
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, i) => tier.swap(entry(key, `by ${i}`), 'a', signal)),
      )
      expect(answers.filter(({ swapped }) => swapped)).toHaveLength(1)
    })

    test('what has had its time is gone, what has not is there', async () => {
      const { tier, harness, key } = await started()
      const ttlMs = harness.ttlMsMin
      await tier.claim([entry(key, 'short', ttlMs), entry(`${key}z`, 'long')], signal)
      await tier.swap(entry(`${key}s`, 'short', ttlMs), null, signal)
      await harness.pass(2 * ttlMs + 50)
      expect(await tier.getMany([key, `${key}s`, `${key}z`], signal)).toEqual([null, null, 'long'])
      expect(await tier.claim([entry(key, 'b')], signal)).toEqual([WON])
      expect(await tier.swap(entry(`${key}s`, 'b'), 'short', signal)).toEqual({ swapped: false, there: null })
    })

    test('another instance finds what was acknowledged', async () => {
      const { tier, harness, key } = await started()
      await tier.claim([entry(key, 'a')], signal)
      if (harness.shared === false) await opened.pop()!.close()
      const other = await harness.open()
      opened.push(other)
      expect(await other.claim([entry(key, 'b')], signal)).toEqual([lost('a')])
      expect(await other.get(key, signal)).toBe('a')
    })

    test('an aborted call rejects with its reason', async () => {
      const { tier, key } = await started()
      const reason = new Error('the attempt is over')
      const aborted = AbortSignal.abort(reason)
      await expect(tier.claim([entry(key, 'a')], aborted)).rejects.toBe(reason)
      await expect(tier.get(key, aborted)).rejects.toBe(reason)
      await expect(tier.getMany([key], aborted)).rejects.toBe(reason)
      await expect(tier.swap(entry(key, 'a'), null, aborted)).rejects.toBe(reason)
      await expect(tier.release(key, 'a', aborted)).rejects.toBe(reason)
    })

    test('a closed tier says so, and may be closed again', async () => {
      const { tier, key } = await started()
      await tier.close()
      await tier.close()
      await expect(tier.claim([entry(key, 'a')], signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_CLOSED' })
      await expect(tier.get(key, signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_CLOSED' })
    })
  })
}
