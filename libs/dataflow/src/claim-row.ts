/**
 * A claim in keyed state as one text, since there are millions: no object that a garbage collector has to follow, and little to store.
 *
 *     base64url of  6 bytes  when it was written, ms since 1970            so the first 8 characters are that (`written-time.ts`)
 *                   1 byte   form: bit 0, a SHA-256 follows; bit 1, an event time follows
 *                  32 bytes  the fingerprint                              without it: there is none (`NO_FINGERPRINT`)
 *                   6 bytes  event time of its record, ms since 1970      without it: when the claim was written
 *     "." and where its record was read; without it nobody knows
 *
 * What does not fit (another fingerprint, a time before 1970) is a list, as all were before.
 */
import { NO_FINGERPRINT } from './fingerprint.ts'

/** Fingerprint, event time, and where it was read: null where nobody knows. */
export type Kept = readonly [fingerprint: string, eventTime: number, origin: string | null]

/** Begins with the time at which it was written; null: a row beside it has that. Short: that time is its event time, and nobody knows more. */
export type ListedClaim =
  | readonly [written: number, fingerprint: string]
  | readonly [written: number | null, fingerprint: string, eventTime: number, origin: string | null]

export type TimedClaim = string | ListedClaim

const TIME_BYTES = 6
const TIME_END = 2 ** (8 * TIME_BYTES)
const SHA_BYTES = 32
const SHA_HEX = /^[0-9a-f]{64}$/
const HAS_SHA = 1
const HAS_EVENT_TIME = 2
const ORIGIN_MARK = '.'

const scratch = Buffer.alloc(2 * TIME_BYTES + 1 + SHA_BYTES)

export function timedClaim(written: number, [fingerprint, eventTime, origin]: Kept): TimedClaim {
  const isSha = SHA_HEX.test(fingerprint)
  if (!(isSha || fingerprint === NO_FINGERPRINT) || !fits(written) || !fits(eventTime))
    return [written, fingerprint, eventTime, origin]
  scratch.writeUIntBE(written, 0, TIME_BYTES)
  let at = TIME_BYTES + 1
  let form = 0
  if (isSha) {
    form |= HAS_SHA
    at += scratch.write(fingerprint, at, SHA_BYTES, 'hex')
  }
  if (eventTime !== written) {
    form |= HAS_EVENT_TIME
    at = scratch.writeUIntBE(eventTime, at, TIME_BYTES)
  }
  scratch[TIME_BYTES] = form
  const text = scratch.toString('base64url', 0, at)
  return origin === null ? text : text + ORIGIN_MARK + origin
}

export function keptIn(claim: TimedClaim): Kept {
  if (typeof claim !== 'string') {
    const [written, fingerprint, eventTime = written!, origin = null] = claim
    return [fingerprint, eventTime, origin]
  }
  const mark = claim.indexOf(ORIGIN_MARK)
  const bytes = Buffer.from(mark < 0 ? claim : claim.slice(0, mark), 'base64url')
  const form = bytes[TIME_BYTES]!
  const behind = TIME_BYTES + 1 + (form & HAS_SHA ? SHA_BYTES : 0)
  return [
    form & HAS_SHA ? bytes.toString('hex', TIME_BYTES + 1, behind) : NO_FINGERPRINT,
    bytes.readUIntBE(form & HAS_EVENT_TIME ? behind : 0, TIME_BYTES),
    mark < 0 ? null : claim.slice(mark + 1),
  ]
}

const fits = (time: number): boolean => Number.isInteger(time) && time >= 0 && time < TIME_END
