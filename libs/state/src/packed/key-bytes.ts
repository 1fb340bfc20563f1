/** A key as it lies in a packed row and in a segment: what kind it is, its length, its bytes. Of one key one form: bytes are compared. */
import { hashBegin, hashEnd, hashKey, hashUnit, type Key } from '@weir/model'

/** Bits 3–4 of a row's head. */
export const NUMBER_KEY = 1 << 3
export const UTF16_KEY = 2 << 3
/** Encoded by a loop, which is faster than a call. */
const SHORT_TEXT = 64
const BYTES_MIN = 256
/** The head, and the longest varint. */
const LONG_HEAD_BYTES = 6

const bytesOf = ({ buffer }: Uint32Array): Buffer => Buffer.from(buffer)

/** A key that is looked for. Used again and again: encoding allocates nothing. */
export class KeyBytes {
  /** What is encoded. */
  key: Key = 0
  /** The head of a row, 0, `NUMBER_KEY` or `UTF16_KEY`, and from 1 on `length` bytes: varint length and text, or a number. */
  words = new Uint32Array(BYTES_MIN / 4)
  length = 0
  hash = 0
  /** How many keys it has encoded: what was found of this one is known by it. */
  serial = 0
  #bytes = bytesOf(this.words)

  encode(key: Key): void {
    this.serial++
    this.key = key
    if (typeof key === 'number') {
      this.hash = hashKey(key)
      this.#bytes[0] = NUMBER_KEY
      this.length = this.#bytes.writeDoubleLE(key === 0 ? 0 : key, 1) - 1 // −0 is 0
    } else if (key.length > SHORT_TEXT || !this.#ascii(key)) this.#long(key)
  }

  #ascii(key: string): boolean {
    const bytes = this.#bytes
    const count = key.length
    bytes[0] = 0
    bytes[1] = count
    let all = 0
    let hash = hashBegin(count)
    for (let i = 0; i < count; i++) {
      const code = key.charCodeAt(i)
      all |= code
      hash = hashUnit(hash, code)
      bytes[i + 2] = code
    }
    this.hash = hashEnd(hash)
    this.length = count + 1
    return all <= 0x7f
  }

  #long(key: string): void {
    this.hash = hashKey(key)
    const isWellFormed = key.isWellFormed()
    const encoding = isWellFormed ? 'utf8' : 'utf16le'
    const count = Buffer.byteLength(key, encoding)
    if (count + LONG_HEAD_BYTES > this.#bytes.length) {
      this.words = new Uint32Array((2 * count + LONG_HEAD_BYTES) >>> 2)
      this.#bytes = bytesOf(this.words)
    }
    const bytes = this.#bytes
    bytes[0] = isWellFormed ? 0 : UTF16_KEY
    const at = putVarint(count, bytes, 1)
    this.length = at - 1 + bytes.write(key, at, encoding)
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

export const varintBytes = (value: number): number =>
  value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5

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
