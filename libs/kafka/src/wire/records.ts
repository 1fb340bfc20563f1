/**
 * Record batches, format v2. Writing appends straight into one growing buffer; reading is `read-batches.ts`.
 *
 *   i64 base offset · i32 length · i32 leader epoch · i8 magic 2 · u32 crc32c · i16 attributes · i32 last offset delta
 *   i64 base timestamp · i64 max timestamp · i64 producer id · i16 producer epoch · i32 base sequence · i32 count
 *   records: varint length · i8 attributes · varlong Δtimestamp · varint Δoffset · key · value · varint headers
 */
import { crc32c } from '@node-rs/crc32'
import { NO_HEADERS } from '@weir/dataflow'
import type { RecordHeader } from '@weir/model'
import type { ProducerIdentity } from './apis.ts'

/** In front of the records of a batch, bytes. */
export const HEADER = 61
const CRC_FROM = 21
export const TRANSACTIONAL = 0x10

/** A record batch that gets its producer and sequence when it is sent. */
export interface UnstampedBatch {
  readonly count: number
  readonly bytes: number
  finish(of: ProducerIdentity, baseSequence: number): Buffer
}

export class BatchBuilder implements UnstampedBatch {
  #buf: Buffer
  #at = HEADER
  #count = 0
  #baseTimestamp = 0
  #maxTimestamp = 0

  constructor(initialBytes = 64 << 10) {
    this.#buf = Buffer.allocUnsafe(initialBytes)
  }

  get count(): number {
    return this.#count
  }
  get bytes(): number {
    return this.#at
  }

  /** @param value a safe integer: its decimal digits */
  append(key: Bytes, value: Bytes | number, timestamp: number, headers: readonly RecordHeader[] = NO_HEADERS): void {
    const valueBytes = lengthOf(value)
    const keyBytes = lengthOf(key)
    const named = headers === NO_HEADERS ? NO_HEADER_BYTES : encodeHeaders(headers)
    this.#grow(keyBytes + valueBytes + named.length + 40)
    if (this.#count === 0) this.#baseTimestamp = this.#maxTimestamp = timestamp
    if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp
    const delta = timestamp - this.#baseTimestamp
    const index = this.#count++
    const keyHead = key === null ? -1 : keyBytes
    const valueHead = value === null ? -1 : valueBytes
    const lengths = sizeOf(delta) + sizeOf(index) + sizeOf(keyHead) + sizeOf(valueHead)
    const buf = this.#buf
    let at = putVarint(buf, this.#at, 1 + lengths + keyBytes + valueBytes + named.length)
    buf[at++] = 0
    at = putVarint(buf, at, delta)
    at = putVarint(buf, at, index)
    at = putVarint(buf, at, keyHead)
    at = put(buf, at, key, keyBytes)
    at = putVarint(buf, at, valueHead)
    at = typeof value === 'number' ? putDigits(buf, at, value, valueBytes) : put(buf, at, value, valueBytes)
    if (named === NO_HEADER_BYTES) buf[at] = 0
    else buf.set(named, at)
    this.#at = at + named.length
  }

  /** The finished batch; the builder must not be used again. */
  finish(of: ProducerIdentity, baseSequence: number): Buffer {
    const b = this.#buf
    b.writeBigInt64BE(0n, 0)
    b.writeInt32BE(this.#at - 12, 8)
    b.writeInt32BE(-1, 12)
    b[16] = 2
    b.writeInt16BE(TRANSACTIONAL, 21)
    b.writeInt32BE(this.#count - 1, 23)
    b.writeBigInt64BE(BigInt(this.#baseTimestamp), 27)
    b.writeBigInt64BE(BigInt(this.#maxTimestamp), 35)
    b.writeBigInt64BE(of.producerId, 43)
    b.writeInt16BE(of.producerEpoch, 51)
    b.writeInt32BE(baseSequence, 53)
    b.writeInt32BE(this.#count, 57)
    const batch = b.subarray(0, this.#at)
    b.writeUInt32BE(crc32c(batch.subarray(CRC_FROM)), 17)
    return batch
  }

  #grow(n: number): void {
    if (this.#at + n <= this.#buf.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#buf.length * 2, this.#at + n))
    this.#buf.copy(grown, 0, 0, this.#at)
    this.#buf = grown
  }
}

/** Zig-zag; beyond 31 bits by arithmetic, since JavaScript's shifts stop there. @returns behind it */
function putVarint(buf: Buffer, from: number, v: number): number {
  let at = from
  if (isShort(v)) {
    let z = (v << 1) ^ (v >> 31)
    for (; z > 0x7f; z >>>= 7) buf[at++] = (z & 0x7f) | 0x80
    buf[at++] = z
    return at
  }
  let z = v >= 0 ? v * 2 : -v * 2 - 1
  for (; z > 0x7f; z = Math.floor(z / 128)) buf[at++] = (z % 128) | 0x80
  buf[at++] = z
  return at
}

const isShort = (v: number): boolean => v < 0x40000000 && v >= -0x40000000

/** @returns behind it */
function put(buf: Buffer, at: number, of: Bytes, bytes: number): number {
  if (of === null) return at
  if (typeof of !== 'string') buf.set(of, at)
  else if (bytes !== of.length) buf.write(of, at, bytes, 'utf8')
  else if (bytes > SHORT_TEXT) buf.write(of, at, bytes, 'latin1')
  else for (let i = 0; i < bytes; i++) buf[at + i] = of.charCodeAt(i)
  return at + bytes
}

function putDigits(buf: Buffer, from: number, value: number, bytes: number): number {
  let at = from + bytes
  let rest = Math.abs(value)
  for (; rest > 0x7fffffff; rest = Math.floor(rest / 10)) buf[--at] = 0x30 + (rest % 10)
  let whole = rest | 0
  do {
    const tenth = (whole / 10) | 0
    buf[--at] = 0x30 + whole - tenth * 10
    whole = tenth
  } while (whole > 0)
  if (value < 0) buf[from] = 0x2d
  return from + bytes
}

function digitsOf(value: number): number {
  let rest = Math.abs(value)
  let n = value < 0 ? 2 : 1
  for (; rest >= 10_000; rest = Math.floor(rest / 10_000)) n += 4
  return rest >= 1_000 ? n + 3 : rest >= 100 ? n + 2 : rest >= 10 ? n + 1 : n
}

type Bytes = Uint8Array | string | null
/** Shorter text of one byte a character is measured and written faster by a loop than by a call. */
const SHORT_TEXT = 24
function lengthOf(of: Bytes | number): number {
  if (of === null) return 0
  if (typeof of === 'number') return digitsOf(of)
  const { length } = of
  if (typeof of !== 'string') return length
  if (length > SHORT_TEXT) return Buffer.byteLength(of)
  let all = 0
  for (let i = 0; i < length; i++) all |= of.charCodeAt(i)
  return all < 0x80 ? length : Buffer.byteLength(of)
}
/** What a record without headers adds to a batch, at most; text is not looked at. */
export const recordBytesAtMost = (key: Bytes, value: Bytes | number): number =>
  40 + lengthAtMost(key) + lengthAtMost(value)
/** Of a safe integer: 16 digits and a sign. */
const DIGITS_MAX = 17
function lengthAtMost(of: Bytes | number): number {
  if (of === null) return 0
  if (typeof of === 'number') return DIGITS_MAX
  return typeof of === 'string' ? 3 * of.length : of.length
}
export const headerBytesAtMost = (headers: readonly RecordHeader[]): number =>
  headers.reduce((n, [name, of]) => n + 3 * name.length + (of?.length ?? 0) + 10, 0)
/** A batch with this record alone, to within 40 bytes and what names of headers may be shorter. */
export const batchBytesOf = (key: Bytes, value: Bytes | number, headers: readonly RecordHeader[]): number =>
  HEADER + 40 + headerBytesAtMost(headers) + lengthOf(key) + lengthOf(value)

/** A finished batch, to be written again by another producer. */
export class StoredBatch implements UnstampedBatch {
  readonly #batch: Buffer

  constructor(batch: Buffer) {
    this.#batch = batch
  }

  get count(): number {
    return this.#batch.readInt32BE(57)
  }
  get bytes(): number {
    return this.#batch.length
  }

  /** In place. */
  finish(of: ProducerIdentity, baseSequence: number): Buffer {
    const batch = this.#batch
    batch.writeBigInt64BE(of.producerId, 43)
    batch.writeInt16BE(of.producerEpoch, 51)
    batch.writeInt32BE(baseSequence, 53)
    batch.writeUInt32BE(crc32c(batch.subarray(CRC_FROM)), 17)
    return batch
  }
}

const NO_HEADER_BYTES = Uint8Array.of(0)

/** varint count · (varint length · name · varint length or −1 · value)* */
function encodeHeaders(headers: readonly RecordHeader[]): Buffer {
  const varint = (v: number): number[] => {
    const bytes: number[] = []
    let z = v >= 0 ? v * 2 : -v * 2 - 1
    for (; z > 0x7f; z = Math.floor(z / 128)) bytes.push((z % 128) | 0x80)
    return [...bytes, z]
  }
  const parts: Uint8Array[] = [Uint8Array.from(varint(headers.length))]
  for (const [name, value] of headers) {
    const text = Buffer.from(name)
    parts.push(Uint8Array.from(varint(text.length)), text, Uint8Array.from(varint(value === null ? -1 : value.length)))
    if (value !== null) parts.push(value)
  }
  return Buffer.concat(parts)
}

function sizeOf(v: number): number {
  let n = 1
  if (isShort(v)) {
    for (let z = (v << 1) ^ (v >> 31); z > 0x7f; z >>>= 7) n++
    return n
  }
  for (let z = v >= 0 ? v * 2 : -v * 2 - 1; z > 0x7f; z = Math.floor(z / 128)) n++
  return n
}
