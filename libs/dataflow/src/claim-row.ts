/**
 * A claim in keyed state as bytes, since there are millions: rows of bytes lie beside the heap (`ValueDescriptor.packed`).
 *
 *      6 bytes  when it was written, ms since 1970, the highest first       so a row says its age itself (`written-time.ts`)
 *      1 byte   form: bit 0, a SHA-256 follows; bit 1, an event time follows; bit 2, an origin follows; bit 3, fields follow
 *     32 bytes  the fingerprint                                             without either: there is none (`NO_FINGERPRINT`)
 *      or       1 byte length, the fields it is made of, as canonical text
 *      6 bytes  event time of its record                                    without it: when the claim was written
 *     to the end: where its record was read, UTF-8                          without it: nobody knows
 *
 * Few fields stand for their fingerprint: hashing them would take a quarter of a claim's time, and a hash cannot be compressed. What does
 * not fit (another fingerprint, a time before 1970) is a list, as all were before. A claim has no status there: it and what its record did
 * are in one epoch, so who holds it has passed.
 */
import { NO_FINGERPRINT, textOfFields } from './fingerprint.ts'
import { timeInBytes } from './written-time.ts'

/** Fingerprint, event time, and where it was read: null where nobody knows. */
export type Kept = readonly [fingerprint: string, eventTime: number, origin: string | null]

/** Begins with the time at which it was written; null: a row beside it has that. Short: that time is its event time, and nobody knows more. */
export type ListedClaim =
  | readonly [written: number, fingerprint: string]
  | readonly [written: number | null, fingerprint: string, eventTime: number, origin: string | null]

export type TimedClaim = Uint8Array | ListedClaim

/** Name of the schema of claims in state. */
export const CLAIM_SCHEMA = 'weir.claim'

const TIME_BYTES = 6
const TIME_END = 2 ** (8 * TIME_BYTES)
const SHA_BYTES = 32
const SHA_HEX = /^[0-9a-f]{64}$/
const HAS_SHA = 1
const HAS_EVENT_TIME = 2
const HAS_ORIGIN = 4
const HAS_FIELDS = 8
/** Characters of fields that stand for their fingerprint, each of one byte. */
const FIELDS_MAX = 64
/** Without an origin. */
const BYTES_MAX = 2 * TIME_BYTES + 2 + FIELDS_MAX

/** SHA-256 of a text's UTF-8, hex. */
export type Sha256 = (text: string) => string

/** The claim that was written last, as bytes from 0 to `end`. One for all: who puts it somewhere copies it (`putBytes`). */
export class ClaimBytes {
  bytes = Buffer.alloc(2 * BYTES_MAX)
  end = 0

  /** False: it does not fit. @param fields canonical text (`fieldsText`); null: there is no fingerprint */
  writeFields(
    written: number,
    fields: string | null,
    eventTime: number,
    origin: string | null,
    sha256: Sha256,
  ): boolean {
    if (fields === null) return this.write(written, null, eventTime, origin)
    const at = this.#fields(fields)
    if (at < 0) return this.write(written, sha256(textOfFields(fields)), eventTime, origin)
    return this.#rest(written, HAS_FIELDS, at, eventTime, origin)
  }

  /** False: it does not fit. @param sha a SHA-256, hex; null: there is no fingerprint */
  write(written: number, sha: string | null, eventTime: number, origin: string | null): boolean {
    if (sha === null) return this.#rest(written, 0, TIME_BYTES + 1, eventTime, origin)
    const at = TIME_BYTES + 1 + this.bytes.write(sha, TIME_BYTES + 1, SHA_BYTES, 'hex')
    return this.#rest(written, HAS_SHA, at, eventTime, origin)
  }

  #rest(written: number, form: number, at: number, eventTime: number, origin: string | null): boolean {
    if (!fits(written) || !fits(eventTime)) return false
    const { bytes } = this
    putTime(written, bytes, 0)
    bytes[TIME_BYTES] = eventTime === written ? form : form | HAS_EVENT_TIME
    const behind = eventTime === written ? at : putTime(eventTime, bytes, at)
    this.end = origin === null ? behind : this.#origin(origin, behind)
    return true
  }

  /** @returns behind them; negative: they are too long, or not of one byte a character */
  #fields(fields: string): number {
    const { length } = fields
    if (length > FIELDS_MAX) return -1
    const { bytes } = this
    let at = TIME_BYTES + 1
    bytes[at++] = length
    let all = 0
    for (let i = 0; i < length; i++) {
      const code = fields.charCodeAt(i)
      all |= code
      bytes[at++] = code
    }
    return all > 0x7f ? -1 : at
  }

  #origin(origin: string, at: number): number {
    if (at + 3 * origin.length > this.bytes.length) {
      const grown = Buffer.alloc(2 * (at + 3 * origin.length))
      this.bytes.copy(grown, 0, 0, at)
      this.bytes = grown
    }
    this.bytes[TIME_BYTES]! |= HAS_ORIGIN
    return at + this.bytes.write(origin, at)
  }
}

const last = new ClaimBytes()

export function timedClaim(written: number, [fingerprint, eventTime, origin]: Kept): TimedClaim {
  const isSha = SHA_HEX.test(fingerprint)
  const isKnown = (isSha || fingerprint === NO_FINGERPRINT) && (origin?.isWellFormed() ?? true)
  if (!isKnown || !last.write(written, isSha ? fingerprint : null, eventTime, origin))
    return [written, fingerprint, eventTime, origin]
  return Buffer.from(last.bytes.subarray(0, last.end))
}

/** The fields of the claim, where they stand for its fingerprint; else null. */
export function fieldsIn(claim: TimedClaim): string | null {
  if (!(claim instanceof Uint8Array) || (claim[TIME_BYTES]! & HAS_FIELDS) === 0) return null
  return bufferOf(claim).toString('latin1', FIELDS_AT, FIELDS_AT + claim[FIELDS_AT - 1]!)
}
const FIELDS_AT = TIME_BYTES + 2

export function keptIn(claim: TimedClaim, sha256: Sha256): Kept {
  if (!(claim instanceof Uint8Array)) {
    const [written, fingerprint, eventTime = written!, origin = null] = claim
    return [fingerprint, eventTime, origin]
  }
  const bytes = bufferOf(claim)
  const form = bytes[TIME_BYTES]!
  const fields = fieldsIn(claim)
  const behindPrint = fields === null ? TIME_BYTES + 1 + (form & HAS_SHA ? SHA_BYTES : 0) : FIELDS_AT + fields.length
  const behind = behindPrint + (form & HAS_EVENT_TIME ? TIME_BYTES : 0)
  const hashed = form & HAS_SHA ? bytes.toString('hex', TIME_BYTES + 1, behindPrint) : NO_FINGERPRINT
  return [
    fields === null ? hashed : sha256(textOfFields(fields)),
    timeInBytes(bytes, form & HAS_EVENT_TIME ? behindPrint : 0, bytes.length),
    form & HAS_ORIGIN ? bytes.toString('utf8', behind) : null,
  ]
}

const bufferOf = (claim: Uint8Array): Buffer => Buffer.from(claim.buffer, claim.byteOffset, claim.length)

// ---- version 3 -------------------------------------------------------------------------------------------------------

/** Base64url of the same bytes, without bits 2 and 3; then "." and the origin, if there is one. */
export type TextClaim = string | ListedClaim

export function claimOfText(claim: TextClaim): TimedClaim {
  if (typeof claim !== 'string') return claim
  const mark = claim.indexOf('.')
  const bytes = Buffer.from(mark < 0 ? claim : claim.slice(0, mark), 'base64url')
  const [fingerprint, eventTime] = keptIn(bytes, notHashed)
  return timedClaim(timeInBytes(bytes, 0, bytes.length), [
    fingerprint,
    eventTime,
    mark < 0 ? null : claim.slice(mark + 1),
  ])
}

/** Earlier builds wrote no fields. */
export const notHashed: Sha256 = () => {
  throw new Error('a claim of an earlier build has no fields')
}

/** @returns behind it */
function putTime(time: number, bytes: Uint8Array, at: number): number {
  const high = Math.floor(time / 2 ** 24)
  const low = time - high * 2 ** 24
  bytes[at] = high >> 16
  bytes[at + 1] = high >> 8
  bytes[at + 2] = high
  bytes[at + 3] = low >> 16
  bytes[at + 4] = low >> 8
  bytes[at + 5] = low
  return at + TIME_BYTES
}

const fits = (time: number): boolean => Number.isInteger(time) && time >= 0 && time < TIME_END
