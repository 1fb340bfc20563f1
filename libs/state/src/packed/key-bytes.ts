/** A key as it lies in a packed row and in a segment: what kind it is, its length, its bytes. Of one key one form: bytes are compared. */
import { hashBegin, hashEnd, hashKey, hashUnit, type Key } from '@weir/model'

/** Bits 3–4 of a row's head. */
export const NUMBER_KEY = 1 << 3
export const UTF16_KEY = 2 << 3
/** Encoded by a loop, which is faster than a call. */
const SHORT_TEXT = 64
const BYTES_MIN = 256

/** The key that is looked for. One for all: encoding allocates nothing. */
export class KeyBytes {
  /** From 0 to `length`: varint length and bytes, or a number. */
  bytes = Buffer.alloc(BYTES_MIN)
  length = 0
  /** 0, `NUMBER_KEY` or `UTF16_KEY`. */
  kind = 0
  hash = 0
  /** How many keys have been encoded: what was found of this one is known by it. */
  serial = 0

  encode(key: Key): void {
    this.serial++
    if (typeof key === 'number') {
      this.hash = hashKey(key)
      this.kind = NUMBER_KEY
      this.length = this.bytes.writeDoubleLE(key === 0 ? 0 : key, 0) // −0 is 0
    } else if (key.length > SHORT_TEXT || !this.#ascii(key)) this.#long(key)
  }

  #ascii(key: string): boolean {
    const { bytes } = this
    const count = key.length
    bytes[0] = count
    let all = 0
    let hash = hashBegin(count)
    for (let i = 0; i < count; i++) {
      const code = key.charCodeAt(i)
      all |= code
      hash = hashUnit(hash, code)
      bytes[i + 1] = code
    }
    this.hash = hashEnd(hash)
    this.kind = 0
    this.length = count + 1
    return all <= 0x7f
  }

  #long(key: string): void {
    this.hash = hashKey(key)
    const isWellFormed = key.isWellFormed()
    const encoding = isWellFormed ? 'utf8' : 'utf16le'
    const count = Buffer.byteLength(key, encoding)
    if (count + 5 > this.bytes.length) this.bytes = Buffer.alloc(2 * count + 5)
    const at = putVarint(count, this.bytes, 0)
    this.length = at + this.bytes.write(key, at, encoding)
    this.kind = isWellFormed ? 0 : UTF16_KEY
  }
}

/** @returns behind it */
export function putVarint(value: number, bytes: Uint8Array, at: number): number {
  while (value > 0x7f) {
    bytes[at++] = (value & 0x7f) | 0x80
    value >>>= 7
  }
  bytes[at++] = value
  return at
}

/** Of what lies at `at`. `end`: behind it. The same object again and again. */
export function varintAt(bytes: Uint8Array, at: number): Readonly<{ value: number; end: number }> {
  let value = 0
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]!
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) break
  }
  read.value = value >>> 0
  read.end = at
  return read
}
const read = { value: 0, end: 0 }
