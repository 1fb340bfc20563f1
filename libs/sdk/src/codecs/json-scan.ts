/**
 * Some fields of a JSON object, read where they stand in the bytes; the rest is skipped, by JSON's grammar all the same. What is
 * unusual (text beyond ASCII, deep nesting, anything that is not JSON, a field of another type) is not decided here: `scan` answers
 * undefined, and `JSON.parse` says what it is.
 */

export type Primitive = 'string' | 'number' | 'boolean'

export interface ScannedField {
  readonly name: string
  readonly type: Primitive
  /** Absent or null: null. */
  readonly nullable: boolean
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const [COMMA, COLON, MINUS, PLUS, DOT, ZERO] = [0x2c, 0x3a, 0x2d, 0x2b, 0x2e, 0x30]
const [OPEN, CLOSE, OPEN_ARRAY, CLOSE_ARRAY] = [0x7b, 0x7d, 0x5b, 0x5d]
const [LOWER_E, UPPER_E, LOWER_U] = [0x65, 0x45, 0x75]
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NULL = Buffer.from('null')

/** Bytes that stand for themselves in a string. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, b) =>
  Number(b >= 0x20 && b < 0x80 && b !== QUOTE && b !== BACKSLASH),
)
/** Behind a backslash, but for `u`. */
const ESCAPED = Uint8Array.from({ length: 256 }, (_, b) => Number('"\\/bfnrt'.includes(String.fromCharCode(b))))
const HEX = Uint8Array.from({ length: 256 }, (_, b) => Number(/[\da-fA-F]/.test(String.fromCharCode(b))))

const DEPTH_MAX = 32
/** Whole numbers with more digits may be rounded: `Number` does it as `JSON.parse` does. */
const DIGITS_MAX = 15
/** Fields are found in a set of bits. */
export const SCANNED_FIELDS_MAX = 30
/** A string of few codes is made faster of them than by a call of the buffer. */
const SHORT_TEXT = 16
/** By how many there are. */
const CODES = Array.from({ length: SHORT_TEXT + 1 }, (_, count) => Array.from({ length: count }, () => 0))

const HEADS_MAX = 64
const HEAD_BYTES_MAX = 128

/** From behind the value before to the value: `, "name": `. */
interface Head {
  readonly bytes: Uint8Array
  readonly field: number
}

/** Of the number that was passed last. */
let numberRead = 0

export class FieldScanner {
  readonly #names: readonly string[]
  readonly #nameBytes: readonly Uint8Array[]
  readonly #types: readonly Primitive[]
  readonly #nullable: readonly boolean[]
  readonly #required: number
  /** An object with all fields: a copy of it has its shape. */
  readonly #template: Record<string, unknown>
  /** How the members of the first record began: those of one writer mostly begin alike. */
  readonly #heads: Head[] = []

  /** At most `SCANNED_FIELDS_MAX`. */
  constructor(fields: readonly ScannedField[]) {
    this.#names = fields.map(({ name }) => name)
    this.#nameBytes = fields.map(({ name }) => Buffer.from(name))
    this.#types = fields.map(({ type }) => type)
    this.#nullable = fields.map(({ nullable }) => nullable)
    this.#required = fields.reduce((bits, { nullable }, i) => (nullable ? bits : bits | (1 << i)), 0)
    this.#template = Object.fromEntries(fields.map(({ name, type, nullable }) => [name, nullable ? null : ANY[type]]))
  }

  /** Undefined: unusual. */
  scan(b: Buffer, start: number, end: number): Record<string, unknown> | undefined {
    const object = { ...this.#template }
    const heads = this.#heads
    let found = 0
    let at = behindSpace(b, start)
    for (let member = 0; ; member++) {
      const head = heads[member]
      let field: number
      if (head !== undefined && hasAt(b, at, head.bytes)) {
        field = head.field
        at += head.bytes.length
      } else {
        const from = at
        at = behindSpace(b, at)
        const before = b[at++]
        if (member === 0 ? before !== OPEN : before !== COMMA) {
          if (before !== CLOSE || member === 0) return undefined
          break
        }
        at = behindSpace(b, at)
        if (member === 0 && b[at] === CLOSE) {
          at++
          break
        }
        if (b[at++] !== QUOTE) return undefined
        const name = at
        at = behindPlain(b, at)
        if (b[at] !== QUOTE) return undefined // an escape in it, too
        field = this.#fieldAt(b, name, at - name)
        at = behindSpace(b, at + 1)
        if (b[at++] !== COLON) return undefined
        at = behindSpace(b, at)
        if (member === heads.length && member < HEADS_MAX && at - from <= HEAD_BYTES_MAX)
          heads.push({ bytes: Uint8Array.prototype.slice.call(b, from, at), field })
      }
      if (field < 0) at = behindValue(b, at, 0)
      else {
        at = this.#read(b, at, field, object)
        found |= 1 << field
      }
      if (at < 0) return undefined
    }
    // Nothing above has looked at the end: what came to it has read on, in the next record, and is behind it now.
    if (at > end || behindSpace(b, at) < end) return undefined
    return (found & this.#required) === this.#required ? object : undefined
  }

  #fieldAt(b: Buffer, at: number, length: number): number {
    const names = this.#nameBytes
    search: for (let field = 0; field < names.length; field++) {
      const name = names[field]!
      if (name.length !== length) continue
      for (let i = 0; i < length; i++) if (b[at + i] !== name[i]) continue search
      return field
    }
    return -1
  }

  /** Behind the value, which is in `object` then; −1: unusual. */
  #read(b: Buffer, at: number, field: number, object: Record<string, unknown>): number {
    const name = this.#names[field]!
    const first = b[at]!
    if (this.#nullable[field]! && first === NULL[0]) {
      object[name] = null
      return behindWord(b, at, NULL)
    }
    switch (this.#types[field]!) {
      case 'string': {
        if (first !== QUOTE) return -1
        const to = behindPlain(b, at + 1)
        if (b[to] === QUOTE) {
          object[name] = asciiText(b, at + 1, to)
          return to + 1
        }
        const behind = behindText(b, to)
        if (behind >= 0) object[name] = JSON.parse(b.toString('latin1', at, behind)) as string
        return behind
      }
      case 'number': {
        const behind = behindNumber(b, at)
        object[name] = numberRead
        return behind
      }
      case 'boolean':
        object[name] = first === TRUE[0]
        return behindWord(b, at, first === TRUE[0] ? TRUE : FALSE)
    }
  }
}

const ANY: Readonly<Record<Primitive, unknown>> = { string: '', number: 0, boolean: false }

function hasAt(b: Buffer, at: number, bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (b[at + i] !== bytes[i]) return false
  return true
}

/**
 * Each time another string, though most texts come again: to know them one by one took longer with many different ones, with a million
 * half as long again, since strings that are kept are moved twice by the garbage collector before they are garbage.
 */
function asciiText(b: Buffer, from: number, to: number): string {
  const codes = CODES[to - from]
  if (codes === undefined) return b.toString('latin1', from, to)
  for (let i = 0; i < codes.length; i++) codes[i] = b[from + i]!
  return String.fromCharCode.apply(null, codes)
}

/** Four at a time: half of the time of one at a time. */
function behindPlain(b: Buffer, from: number): number {
  let at = from
  for (; PLAIN[b[at]!] === 1; at += 4) {
    if (PLAIN[b[at + 1]!] !== 1) return at + 1
    if (PLAIN[b[at + 2]!] !== 1) return at + 2
    if (PLAIN[b[at + 3]!] !== 1) return at + 3
  }
  return at
}

function behindSpace(b: Buffer, from: number): number {
  let at = from
  for (;;) {
    const byte = b[at]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at
    at++
  }
}

function behindValue(b: Buffer, at: number, depth: number): number {
  switch (b[at]) {
    case QUOTE:
      return behindText(b, at + 1)
    case OPEN:
      return behindObject(b, at + 1, depth + 1)
    case OPEN_ARRAY:
      return behindArray(b, at + 1, depth + 1)
    case TRUE[0]:
      return behindWord(b, at, TRUE)
    case FALSE[0]:
      return behindWord(b, at, FALSE)
    case NULL[0]:
      return behindWord(b, at, NULL)
    default:
      return behindNumber(b, at)
  }
}

/** `from`: inside the string. */
function behindText(b: Buffer, from: number): number {
  let at = from
  for (;;) {
    at = behindPlain(b, at)
    if (b[at] === QUOTE) return at + 1
    if (b[at] !== BACKSLASH) return -1
    const escaped = b[at + 1]!
    if (ESCAPED[escaped] === 1) at += 2
    else if (escaped === LOWER_U && (HEX[b[at + 2]!]! & HEX[b[at + 3]!]! & HEX[b[at + 4]!]! & HEX[b[at + 5]!]!) === 1)
      at += 6
    else return -1
  }
}

function behindWord(b: Buffer, at: number, word: Uint8Array): number {
  for (let i = 0; i < word.length; i++) if (b[at + i] !== word[i]) return -1
  return at + word.length
}

function behindObject(b: Buffer, from: number, depth: number): number {
  if (depth > DEPTH_MAX) return -1
  let at = behindSpace(b, from)
  if (b[at] === CLOSE) return at + 1
  for (;;) {
    if (b[at] !== QUOTE) return -1
    at = behindText(b, at + 1)
    if (at < 0) return -1
    at = behindSpace(b, at)
    if (b[at] !== COLON) return -1
    at = behindValue(b, behindSpace(b, at + 1), depth)
    if (at < 0) return -1
    at = behindSpace(b, at)
    const next = b[at++]
    if (next === CLOSE) return at
    if (next !== COMMA) return -1
    at = behindSpace(b, at)
  }
}

function behindArray(b: Buffer, from: number, depth: number): number {
  if (depth > DEPTH_MAX) return -1
  let at = behindSpace(b, from)
  if (b[at] === CLOSE_ARRAY) return at + 1
  for (;;) {
    at = behindValue(b, at, depth)
    if (at < 0) return -1
    at = behindSpace(b, at)
    const next = b[at++]
    if (next === CLOSE_ARRAY) return at
    if (next !== COMMA) return -1
    at = behindSpace(b, at)
  }
}

/** And `numberRead` is its value. */
function behindNumber(b: Buffer, from: number): number {
  let at = from
  const isNegative = b[at] === MINUS
  if (isNegative) at++
  const first = at
  let whole = 0
  if (b[at] === ZERO) at++
  else for (let d = b[at]! - ZERO; d >= 0 && d <= 9; d = b[++at]! - ZERO) whole = whole * 10 + d
  const digits = at - first
  if (digits === 0) return -1
  const next = b[at]
  if (next !== DOT && next !== LOWER_E && next !== UPPER_E && digits <= DIGITS_MAX) {
    numberRead = isNegative ? -whole : whole
    return at
  }
  if (next === DOT) {
    const behind = behindDigits(b, at + 1)
    if (behind === at + 1) return -1
    at = behind
  }
  if (b[at] === LOWER_E || b[at] === UPPER_E) {
    at++
    if (b[at] === PLUS || b[at] === MINUS) at++
    const behind = behindDigits(b, at)
    if (behind === at) return -1
    at = behind
  }
  numberRead = Number(b.toString('latin1', from, at))
  return at
}

function behindDigits(b: Buffer, from: number): number {
  let at = from
  for (let d = b[at]! - ZERO; d >= 0 && d <= 9; d = b[++at]! - ZERO);
  return at
}
