/**
 * Claims: the right to have an effect, once per business key and event type. Whoever comes first holds the key; what becomes of
 * the next one is decided here, wherever claims are kept (keyed state, Redis, tiers).
 *
 *     nothing there, or its time is over     first        passes and holds the key
 *     the same origin                        replay       passes: it is the holder, read again behind a restart
 *     holder went to the dead letters        handed-on    passes and holds the key: the holder had no effect
 *     the same fingerprint                   duplicate    does not pass
 *     another fingerprint                    conflict     two events say to be the same one and differ: somebody must look
 *
 * Why by origin: a claim stands before the effect is committed. Who skips on replay what is claimed loses every record that was
 * claimed and not committed when the process died. The holder is either committed or read again, so it may always pass again.
 *
 * Time is event time: after a rewind the records come again, their event times are what they were. How long a store physically
 * keeps a claim must cover the window and everything a restart may read again.
 */
import type { AttemptId, OperatorUid } from '@weir/model'

/** What a claim is about: no two keys share a claim. */
export interface ClaimKey {
  readonly bizKey: string
  readonly eventType: string
}

/**
 * One record that wants to pass. `origin` names where it was read, with everything that makes it one of several outputs, and the
 * operator that claims; the same whenever it is read again, and no other record's.
 */
export interface Claim {
  readonly key: ClaimKey
  readonly fingerprint: string
  readonly origin: string
  /** In which it is claimed: a dead letter of an older attempt hands nothing on. */
  readonly attempt: AttemptId
  /** ms since 1970. */
  readonly eventTime: number
}

/** `DEAD`: its record went to the dead letters in the attempt the claim is of. */
export type ClaimStatus = 'CLAIMED' | 'DEAD'

/** What is there for a key. */
export interface HeldClaim extends Omit<Claim, 'key'> {
  readonly status: ClaimStatus
}

export type ClaimOutcome = 'first' | 'replay' | 'duplicate' | 'conflict' | 'handed-on'

export interface ClaimDecision {
  readonly outcome: ClaimOutcome
  /** To be there afterwards; null: what is there stays. */
  readonly next: HeldClaim | null
}

/** `windowMs`: two events whose times are that far apart, or farther, are different events. */
export function decideClaim(existing: HeldClaim | null, claim: Claim, windowMs: number): ClaimDecision {
  if (existing === null) return { outcome: 'first', next: heldBy(claim) }
  if (existing.origin === claim.origin) return { outcome: 'replay', next: again(existing, claim) }
  if (Math.abs(existing.eventTime - claim.eventTime) >= windowMs) return { outcome: 'first', next: heldBy(claim) }
  if (existing.status === 'DEAD') return { outcome: 'handed-on', next: heldBy(claim) }
  return { outcome: existing.fingerprint === claim.fingerprint ? 'duplicate' : 'conflict', next: null }
}

export const claimPasses = (outcome: ClaimOutcome): boolean => outcome !== 'duplicate' && outcome !== 'conflict'

const heldBy = ({ fingerprint, origin, attempt, eventTime }: Claim): HeldClaim => ({
  ...{ fingerprint, origin, attempt, eventTime, status: 'CLAIMED' },
})

/**
 * A dead one lives in a newer attempt: this time its record may pass. A frozen process of an older attempt that wakes up changes
 * neither that nor which attempt's dead letters count.
 */
function again(existing: HeldClaim, claim: Claim): HeldClaim {
  if (isOlder(existing.attempt, claim.attempt)) return heldBy(claim)
  return { ...heldBy(claim), attempt: existing.attempt, status: existing.status }
}

const isOlder = (a: AttemptId, than: AttemptId): boolean =>
  a.generation < than.generation || (a.generation === than.generation && a.attempt < than.attempt)

export interface ClaimAnswer {
  readonly outcome: ClaimOutcome
  /** Who holds the key, for a duplicate and a conflict; null otherwise. */
  readonly held: HeldClaim | null
}

/**
 * Claims of one job, or of all that share a namespace, outside of the job's own state.
 *
 * The caller's duties:
 * - an origin is claimed by one subtask at a time; an attempt's claims end with it (`signal`)
 * - `dead` before the dead letter can be committed: a retry that finds it must find the claim handed on
 * - claims may be asked for again when an answer was lost: an origin that holds its key passes, with `first` or `replay`
 *
 * The store's duties:
 * - each claim is decided by `decideClaim` and written atomically, those of one batch in order
 * - a claim is kept for `ttlMs` from when it was written, not less
 * - errors are WeirErrors: `CLAIMS_UNAVAILABLE` (retry: whether they were written nobody knows), `CLAIMS_FOREIGN` (invalid: what
 *   is there was not written by this version), `CLAIMS_CLOSED` (restart)
 */
export interface ClaimStore {
  /** As many answers, in order. */
  claim(claims: readonly Claim[], signal: AbortSignal): Promise<readonly ClaimAnswer[]>
  /** The records of these origins went to the dead letters in this attempt. */
  dead(origins: readonly string[], attempt: AttemptId, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/**
 * Of a store, for people. `degraded`: claims are decided without it, as `local` has it; `restored`: no longer, and so many had been
 * somebody else's, so that both passed. `lost`: it had forgotten so many that it had acknowledged, and has them again.
 */
export interface ClaimsNews {
  readonly is: 'degraded' | 'restored' | 'lost'
  readonly why: string
  readonly claims: number
}

/** What an idempotent operator did not let through, or let through as a conflict, in its attempt. */
export interface ClaimCounts {
  readonly operator: OperatorUid
  readonly duplicates: number
  readonly conflicts: number
}

/** What is fixed for the life of a store. */
export interface ClaimStoreOptions {
  /** Claims of different namespaces do not meet. */
  readonly namespace: string
  readonly windowMs: number
  /** Window, and how far back a restart may read. */
  readonly ttlMs: number
}
