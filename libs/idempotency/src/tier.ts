/**
 * One place where claims can lie: memory, LevelDB, TiKV, Redis, PostgreSQL. A tier knows nothing of claims: it keeps texts under
 * keys, each for a time, and compares them when it is told to. What a claim is, and what becomes of the second one, is decided
 * above it (`tier-claims.ts`), so that every tier gives the same answers.
 *
 * A value names its owner: no two owners ever write the same text under a key. That is how a write whose answer was lost is told
 * from somebody else's: who finds its own text there has won.
 */

export interface TierEntry {
  /** At most `TIER_KEY_CHARS_MAX` characters, well-formed. */
  readonly key: string
  /** At most `TIER_VALUE_CHARS_MAX` characters, well-formed, with something of its owner alone in it. */
  readonly value: string
  /** Whole ms from 1. A tier that counts coarser keeps it longer, never shorter. */
  readonly ttlMs: number
}

/** `won`: the entry is there now. Otherwise the text of another, which stays. */
export type TierClaim = { readonly won: true } | { readonly won: false; readonly there: string }

/** `swapped`: the new text is there now. Otherwise what is there instead of the expected one; null: nothing. */
export type TierSwap = { readonly swapped: true } | { readonly swapped: false; readonly there: string | null }

export const TIER_KEY_CHARS_MAX = 1_024
export const TIER_VALUE_CHARS_MAX = 4_096
/** Entries of one call. */
export const TIER_BATCH_MAX = 10_000

/**
 * The tier's duties:
 * - each entry of a `claim`, and each `swap` and `release`, is atomic; the entries of one call are decided in order, so that a key
 *   that comes twice in it is won by the first
 * - what was acknowledged is found by every later call, until its time is over (where a tier can forget, its file says when)
 * - a write that finds its own text answers as if it had just been written; its time begins again
 * - one round trip per call, or a few in parallel where the keys lie in several places
 * - errors are WeirErrors: `CLAIM_TIER_UNAVAILABLE` (retry: whether it was written nobody knows; the same call may be made again),
 *   `CLAIM_TIER_CORRUPT` (invalid: what is there cannot be read), `CLAIM_TIER_CLOSED` (restart); an aborted `signal` rejects with
 *   its reason, and what was under way may still be written
 */
export interface ClaimTier {
  /** Puts each entry where nothing is. As many answers, in order. */
  claim(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly TierClaim[]>
  get(key: string, signal: AbortSignal): Promise<string | null>
  /** As many answers, in order. */
  getMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (string | null)[]>
  /** Puts the entry where `expected` is; null: where nothing is. */
  swap(entry: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierSwap>
  /** Takes the text away if it is there: nothing that somebody else has put there meanwhile. True: it is not there now, and no other. */
  release(key: string, value: string, signal: AbortSignal): Promise<boolean>
  close(): Promise<void>
}
