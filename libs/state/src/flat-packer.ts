/**
 * The bytes msgpackr makes, for the values most rows have: whole and other numbers, and records of one level of numbers, short
 * texts, booleans and null. It writes the names of a record's fields with every value; here they are copied from the one before,
 * which takes a fifth of the time. Whatever else there is, is msgpackr's.
 */

/** Of texts that are written here: one byte of length, one a character. */
const TEXT_MAX = 31
const FIELDS_MAX = 32
const HEAD_BYTES_MAX = 1024
const BYTES_MAX = HEAD_BYTES_MAX + FIELDS_MAX * (TEXT_MAX + 1)

export class FlatPacker {
  /** What was packed last lies from 0 to `end`. */
  readonly bytes = Buffer.alloc(BYTES_MAX)
  end = 0
  readonly #pack: (value: unknown) => Uint8Array
  /** Of the record met last: the names of its fields, and what stands in front of their values. */
  #fields: readonly string[] = []
  #head: Uint8Array = new Uint8Array(0)

  /** @param pack msgpackr's */
  constructor(pack: (value: unknown) => Uint8Array) {
    this.#pack = pack
  }

  /** False: it is not one of those values. */
  pack(value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return (this.end = this.#simple(value, 0)) > 0
    return this.#record(value) || (this.#learned(value) && this.#record(value))
  }

  #record(value: object): boolean {
    if (value.constructor !== Object) return false
    const fields = this.#fields
    const head = this.#head
    let at = head.length
    let count = 0
    for (const field in value) {
      if (fields[count++] !== field) return false
      at = this.#simple((value as Record<string, unknown>)[field], at)
      if (at < 0) return false
    }
    if (count !== fields.length || count === 0) return false
    for (let i = 0; i < head.length; i++) this.bytes[i] = head[i]!
    this.end = at
    return true
  }

  /** The fields of a record that could be packed here, but that it has others than the one before. */
  #learned(value: object): boolean {
    if (value.constructor !== Object) return false
    const fields = Object.keys(value)
    const isKnown = fields.length === this.#fields.length && fields.every((field, i) => field === this.#fields[i])
    if (isKnown || fields.length > FIELDS_MAX || !Object.values(value).every(isSimple)) return false
    const nothing = this.#pack(Object.fromEntries(fields.map((field) => [field, null])))
    if (nothing.length - fields.length > HEAD_BYTES_MAX) return false
    this.#fields = fields
    this.#head = Uint8Array.from(nothing.subarray(0, nothing.length - fields.length))
    return true
  }

  /** @returns behind it; negative: it is not written here */
  #simple(value: unknown, at: number): number {
    if (typeof value === 'number') return this.#number(value, at)
    if (typeof value === 'string') return this.#text(value, at)
    if (value === null) this.bytes[at] = 0xc0
    else if (value === false) this.bytes[at] = 0xc2
    else if (value === true) this.bytes[at] = 0xc3
    else return -1
    return at + 1
  }

  #number(value: number, at: number): number {
    const { bytes } = this
    if (value >>> 0 === value) {
      if (value < 0x40) {
        bytes[at] = value
        return at + 1
      }
      if (value < 0x100) {
        bytes[at] = 0xcc
        bytes[at + 1] = value
        return at + 2
      }
      if (value < 0x10000) {
        bytes[at] = 0xcd
        bytes[at + 1] = value >> 8
        bytes[at + 2] = value
        return at + 3
      }
      bytes[at] = 0xce
      bytes[at + 1] = value >>> 24
      bytes[at + 2] = value >> 16
      bytes[at + 3] = value >> 8
      bytes[at + 4] = value
      return at + 5
    }
    if (value >> 0 === value) {
      if (value >= -0x20) {
        bytes[at] = value
        return at + 1
      }
      if (value >= -0x80) {
        bytes[at] = 0xd0
        bytes[at + 1] = value
        return at + 2
      }
      if (value >= -0x8000) {
        bytes[at] = 0xd1
        return bytes.writeInt16BE(value, at + 1)
      }
      bytes[at] = 0xd2
      return bytes.writeInt32BE(value, at + 1)
    }
    bytes[at] = 0xcb
    return bytes.writeDoubleBE(value, at + 1)
  }

  #text(text: string, at: number): number {
    const { length } = text
    if (length > TEXT_MAX) return -1
    const { bytes } = this
    bytes[at++] = 0xa0 | length
    let all = 0
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      all |= code
      bytes[at++] = code
    }
    return all > 0x7f ? -1 : at
  }
}

const isSimple = (value: unknown): boolean =>
  typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean' || value === null
