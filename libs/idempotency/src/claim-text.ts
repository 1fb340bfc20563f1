/**
 * How a claim lies in a store: a key and a text, the same in all of them.
 *
 *     key   <length of the event type>:<event type>:<business key>
 *     text  1 <fingerprint> <event time> <generation> <attempt> <origin>        1: of this form; the origin may hold spaces
 *     dead  <generation> <attempt>                                              under `dead:<origin>`, and counts for that attempt only
 *
 * A text names its owner (origin and attempt), so no two owners write the same one (`tier.ts`).
 */
import type { Claim, HeldClaim, ClaimKey } from '@weir/dataflow'
import { WeirError, attempt, generation, type AttemptId } from '@weir/model'
import { TIER_KEY_CHARS_MAX, TIER_VALUE_CHARS_MAX } from './tier.ts'

/** What a tier or a store puts before a key. */
const PREFIX_CHARS_MAX = 128
export const CLAIM_KEY_CHARS_MAX = TIER_KEY_CHARS_MAX - PREFIX_CHARS_MAX
const TEXT = /^1 (\S+) (-?\d+) (\d+) (\d+) (.*)$/s

/** Throws WeirError `CLAIM_KEY_INVALID` (invalid). */
export function claimKeyText({ bizKey, eventType }: ClaimKey): string {
  const text = `${eventType.length}:${eventType}:${bizKey}`
  if (text.length > CLAIM_KEY_CHARS_MAX || !text.isWellFormed()) throw keyInvalid(text)
  return text
}

export const deadKeyText = (origin: string): string => `dead:${origin}`

export function claimText({ fingerprint, eventTime, attempt: of, origin }: Claim | HeldClaim): string {
  const text = `1 ${fingerprint} ${eventTime} ${attemptText(of)} ${origin}`
  if (text.length > TIER_VALUE_CHARS_MAX || !text.isWellFormed()) throw keyInvalid(text)
  return text
}

export const attemptText = (of: AttemptId): string => `${of.generation} ${of.attempt}`

/** Throws WeirError `CLAIMS_FOREIGN` (invalid). @param dead what is under its origin's `dead`, where that is known */
export function heldClaim(key: string, text: string, dead: string | null = null): HeldClaim {
  const [, fingerprint, time, g, a, origin] = TEXT.exec(text) ?? []
  if (fingerprint === undefined) throw foreign(key)
  const of = { generation: generation(Number(g)), attempt: attempt(Number(a)) }
  const status = dead === attemptText(of) ? 'DEAD' : 'CLAIMED'
  return { fingerprint, eventTime: Number(time), attempt: of, origin: origin!, status }
}

export const foreign = (key: string): WeirError =>
  new WeirError(
    { code: 'CLAIMS_FOREIGN', kind: 'invalid', keyLength: key.length },
    'under the key of a claim lies something that is none, or one of a newer version. Give the claims a namespace of their own.',
  )

const keyInvalid = (text: string): WeirError =>
  new WeirError(
    { code: 'CLAIM_KEY_INVALID', kind: 'invalid', length: text.length, bound: CLAIM_KEY_CHARS_MAX },
    `a claim of ${text.length} characters, or with half a surrogate pair: business key and event type together have at most ${CLAIM_KEY_CHARS_MAX}. ` +
      'Hash longer keys.',
  )
