/**
 * The fingerprint of an event: two with one business key and one fingerprint are the same event, with two they contradict each
 * other. SHA-256, as hex, of the UTF-8 bytes of one canonical text, so that any system can make it, in any language:
 *
 *     ["weir.fingerprint.1",<event type>,<fields>]               fields
 *     ["weir.fingerprint.1",<event type>,<fields>,<second>]      fields and second: whole seconds since 1970, rounded down
 *
 * The text is RFC 8785 (JSON Canonicalization Scheme): no white space, the members of an object sorted by the UTF-16 code units
 * of their names, strings and numbers written as ECMAScript's JSON.stringify writes them (−0 is 0, 1e21 is 1e+21). Besides:
 *
 * - a bigint is written with all its digits; one that a number holds exactly is written as that number is. A number beyond
 *   2^53 − 1 was rounded before it came here: amounts that may be so large are to be bigints or strings
 * - a Date is the string of its `toISOString()`; a member that is undefined is not there
 * - strings are taken as they are: "é" in one code point and in two are two strings. Who wants them equal normalises them before
 * - refused with `FINGERPRINT_INVALID`: NaN and infinities, half surrogate pairs, undefined outside of an object, functions,
 *   symbols, byte arrays, maps, sets and other instances of classes, more than 64 levels
 */
import { WeirError } from '@weir/model'

const FINGERPRINT_VERSION = 'weir.fingerprint.1'
/** Nested deeper, it is a cycle. */
const DEPTH_MAX = 64

/**
 * What tells two events with one business key apart; the seed's table of strategies.
 *
 * - `biz-key`: nothing does. Finds what is sent again as it was; events that contradict each other are taken for one.
 * - `fields`: event type and fields. Finds contradictions, too (`conflict`).
 * - `fields-and-second`: and the whole second of event time, as part of the *key*: two events a second apart are two, and nothing
 *   can ever be a conflict. Two retries across the turn of a second are not seen as one: for senders that repeat the time with
 *   the event.
 */
export type FingerprintStrategy = 'biz-key' | 'fields' | 'fields-and-second'

/** Of strategy `biz-key`: all are alike. */
export const NO_FINGERPRINT = '-'

/** What is hashed. Throws WeirError `FINGERPRINT_INVALID` (invalid) with `path`. @param timestamp event time, ms */
export function fingerprintText(eventType: string, fields: unknown, timestamp: number | null): string {
  const simple = timestamp === null && PLAIN.test(eventType) ? flat(fields) : null
  if (simple !== null) return `["${FINGERPRINT_VERSION}","${eventType}",${simple}]`
  const parts = [FINGERPRINT_VERSION, eventType, fields]
  if (timestamp !== null) parts.push(Math.floor(timestamp / 1_000))
  return canonical(parts, '', 0)
}

/** The fields alone: the canonical text of a fingerprint without event type and second. Throws as `fingerprintText`. */
export const fieldsText = (fields: unknown): string => flat(fields) ?? canonical(fields, '[2]', 1)

/** `fingerprintText` of them, of no event type. */
export const textOfFields = (fields: string): string => `["${FINGERPRINT_VERSION}","",${fields}]`

/** What JSON writes as it is. */
const PLAIN = /^[A-Za-z0-9 _.:/+-]{0,256}$/

/** `canonical` of what most are: few fields in their order, whole numbers and plain texts. Null: it is something else. */
function flat(fields: unknown): string | null {
  if (typeof fields !== 'object' || fields === null || Object.getPrototypeOf(fields) !== Object.prototype) return null
  let text = ''
  let before = ''
  for (const name of Object.keys(fields)) {
    const value = (fields as Readonly<Record<string, unknown>>)[name]
    if (name < before || !PLAIN.test(name)) return null
    before = name
    text += text === '' ? `{"${name}":` : `,"${name}":`
    if (typeof value === 'number' && Number.isSafeInteger(value)) text += value
    else if (typeof value === 'string' && PLAIN.test(value)) text += `"${value}"`
    else return null
  }
  return text === '' ? null : `${text}}`
}

function canonical(value: unknown, path: string, depth: number): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return text(value, path)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw refused(path, String(value))
    return JSON.stringify(value)
  }
  if (typeof value === 'bigint') return integer(value)
  if (typeof value !== 'object') throw refused(path, value === undefined ? 'undefined' : `a ${typeof value}`)
  if (depth > DEPTH_MAX) throw refused(path, `nested deeper than ${DEPTH_MAX} levels`)
  if (Array.isArray(value)) {
    // Not `map`: it would leave out holes.
    return `[${Array.from(value as readonly unknown[], (item, i) => canonical(item, `${path}[${i}]`, depth + 1)).join(',')}]`
  }
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw refused(path, 'an invalid date')
    return JSON.stringify(value.toISOString())
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) throw refused(path, 'an instance of a class')
  const members: string[] = []
  for (const name of Object.keys(value).sort()) {
    const member = (value as Readonly<Record<string, unknown>>)[name]
    if (member === undefined) continue
    members.push(`${text(name, path)}:${canonical(member, `${path}.${name}`, depth + 1)}`)
  }
  return `{${members.join(',')}}`
}

function text(value: string, path: string): string {
  if (!value.isWellFormed()) throw refused(path, 'a string with half a surrogate pair')
  return JSON.stringify(value)
}

/** 5n and 5 are the same amount, whichever the codec makes of it. */
function integer(value: bigint): string {
  const asNumber = Number(value)
  return Number.isSafeInteger(asNumber) ? String(asNumber) : String(value)
}

/** The value itself is not shown: it may be money or a person. The path begins at the fields. */
const refused = (path: string, got: string): WeirError =>
  new WeirError(
    { code: 'FINGERPRINT_INVALID', kind: 'invalid', path: shown(path), got },
    `the fingerprint cannot hold ${got} at ${shown(path)}: fields are plain JSON values, bigints and dates. Turn anything else into a string first.`,
  )

const shown = (path: string): string => path.replace(/^\[\d+\]/, 'fields')
