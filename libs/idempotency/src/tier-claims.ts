/**
 * Claims over any tier: what the Redis script does in one place, in two or three rounds of compare-and-swap.
 *
 *     claim all ──▶ won: first
 *        │ not won
 *        ▼
 *     dead marks of those who hold ──▶ decideClaim ──▶ duplicate, conflict: that is it
 *                                          │ replay, first behind its window, handed-on
 *                                          ▼
 *                                   swap what was seen ──▶ swapped: that is it
 *                                          │ somebody was faster: decide again by what is there now
 *                                          └─────────▲
 *
 * A dead mark counts for the attempt its claim is of, and a replay writes its own attempt into the claim: either the swap that
 * hands on is first, and the replay is told a duplicate, or the replay is, and the mark counts no longer.
 */
import {
  decideClaim,
  type Claim,
  type ClaimAnswer,
  type ClaimStore,
  type ClaimStoreOptions,
  type HeldClaim,
} from '@weir/dataflow'
import { WeirError, type AttemptId } from '@weir/model'
import { told } from './claim-errors.ts'
import { attemptText, claimKeyText, claimText, deadKeyText, heldClaim } from './claim-text.ts'
import type { ClaimTier, TierEntry, TierSwap } from './tier.ts'

/** Swaps of one claim that somebody else was faster with. */
const SWAPS_MAX = 16

export class TierClaims implements ClaimStore {
  readonly #options: ClaimStoreOptions
  readonly #tier: ClaimTier

  constructor(options: ClaimStoreOptions, tier: ClaimTier) {
    this.#options = options
    this.#tier = tier
  }

  async claim(claims: readonly Claim[], signal: AbortSignal): Promise<readonly ClaimAnswer[]> {
    const entries = claims.map((claim) => this.#entry(this.#named(claimKeyText(claim.key)), claimText(claim)))
    const answers = await told(this.#tier.claim(entries, signal))
    const held = answers.flatMap((answer, i) => (answer.won ? [] : [heldClaim(entries[i]!.key, answer.there)]))
    const marks = held.length > 0 ? await this.#marksOf(held, signal) : []
    const decided: ClaimAnswer[] = []
    let next = 0
    for (const [i, answer] of answers.entries()) {
      if (answer.won) {
        decided.push({ outcome: 'first', held: null })
        continue
      }
      const mark = marks[next++] ?? null
      decided.push(await this.#decide(claims[i]!, entries[i]!.key, { there: answer.there, mark }, signal))
    }
    return decided
  }

  async dead(origins: readonly string[], attempt: AttemptId, signal: AbortSignal): Promise<void> {
    for (const origin of origins) {
      const entry = this.#entry(this.#named(deadKeyText(origin)), attemptText(attempt))
      let expected: string | null = null
      for (let i = 0; i < SWAPS_MAX; i++) {
        const answer: TierSwap = await told(this.#tier.swap(entry, expected, signal))
        if (answer.swapped || isNewer(answer.there, attempt)) break
        expected = answer.there
      }
    }
  }

  close(): Promise<void> {
    return this.#tier.close()
  }

  /** One that is at it, in order with the others of its batch: a key may come twice in it. */
  async #decide(
    claim: Claim,
    key: string,
    seen: { readonly there: string; readonly mark: string | null },
    signal: AbortSignal,
  ): Promise<ClaimAnswer> {
    let there: string | null = seen.there
    let mark = seen.mark
    for (let i = 0; i < SWAPS_MAX; i++) {
      const held: HeldClaim | null = there === null ? null : heldClaim(key, there, mark)
      const { outcome, next } = decideClaim(held, claim, this.#options.windowMs)
      if (next === null) return { outcome, held }
      const answer: TierSwap = await told(this.#tier.swap(this.#entry(key, claimText(next)), there, signal))
      if (answer.swapped) return { outcome, held: null }
      there = answer.there
      mark = there === null ? null : (await this.#marksOf([heldClaim(key, there)], signal))[0]!
    }
    throw new WeirError(
      { code: 'CLAIMS_UNAVAILABLE', kind: 'retry', swaps: SWAPS_MAX },
      `a claim was changed by others ${SWAPS_MAX} times while it was decided`,
    )
  }

  #marksOf(held: readonly HeldClaim[], signal: AbortSignal): Promise<readonly (string | null)[]> {
    return told(
      this.#tier.getMany(
        held.map(({ origin }) => this.#named(deadKeyText(origin))),
        signal,
      ),
    )
  }

  #entry(key: string, value: string): TierEntry {
    return { key, value, ttlMs: this.#options.ttlMs }
  }

  #named(key: string): string {
    return `${this.#options.namespace}/${key}`
  }
}

function isNewer(there: string | null, of: AttemptId): boolean {
  const [g, a] = (there ?? '0 0').split(' ').map(Number)
  return g! > of.generation || (g === of.generation && a! > of.attempt)
}
