/**
 * Record batches, format v2. Writing appends straight into one growing buffer; reading makes views over the fetched
 * buffer and copies nothing (compressed batches are inflated once).
 *
 *   i64 base offset · i32 length · i32 leader epoch · i8 magic 2 · u32 crc32c · i16 attributes · i32 last offset delta
 *   i64 base timestamp · i64 max timestamp · i64 producer id · i16 producer epoch · i32 base sequence · i32 count
 *   records: varint length · i8 attributes · varlong Δtimestamp · varint Δoffset · key · value · varint headers
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { crc32c } from '@node-rs/crc32'
import { NO_HEADERS, type RawRecords } from '@weir/dataflow'
import { WeirError, type RecordHeader } from '@weir/model'
import { uncompressSync as lz4Frame } from './lz4.ts'
import { snappyJava } from './snappy.ts'
import { Reader } from './bytes.ts'
import type { ProducerIdentity } from './apis.ts'

const HEADER = 61
const CRC_FROM = 21
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

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

/** They begin where the value ends. */
function headersOf({ buffer, valueEnd }: RawRecords, index: number): readonly RecordHeader[] {
  const at = valueEnd[index]!
  if (buffer[at] === 0) return NO_HEADERS
  const r = new Reader(buffer, at)
  return Array.from({ length: r.varint() }, (): RecordHeader => {
    const name = r.varint()
    const named = r.at + name
    const text = buffer.toString('utf8', r.at, named)
    r.at = named
    const length = r.varint()
    const from = r.at
    r.at += Math.max(0, length)
    return [text, length < 0 ? null : Uint8Array.prototype.slice.call(buffer, from, r.at)]
  })
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

export interface ControlRecord {
  readonly offset: bigint
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly type: 'commit' | 'abort'
}

/** Whose a batch is. Not transactional: committed by being there. */
export interface BatchOwner {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly transactional: boolean
}

export interface ReadBatches {
  readonly chunks: readonly RawRecords[]
  /** Of each chunk. */
  readonly owners: readonly BatchOwner[]
  readonly control: readonly ControlRecord[]
  /** Offset behind everything in the buffer, whether visible or not; null when no whole batch was in it. */
  readonly nextOffset: bigint | null
}

/**
 * Reads every whole batch. `from`: records below it are skipped (a fetch may begin inside a batch).
 * `aborted` null = read uncommitted.
 */
export function readBatches(
  buffer: Buffer,
  from: bigint,
  aborted: readonly { producerId: bigint; firstOffset: bigint }[] | null,
): ReadBatches {
  const chunks: RawRecords[] = []
  const owners: BatchOwner[] = []
  const control: ControlRecord[] = []
  let nextOffset: bigint | null = null
  const pending = aborted === null ? [] : [...aborted].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1))
  const aborting = new Set<bigint>()
  for (let at = 0; at + HEADER <= buffer.length;) {
    const end = at + 12 + buffer.readInt32BE(at + 8)
    if (end > buffer.length) break // the broker cuts the last batch at the byte limit
    const baseOffset = buffer.readBigInt64BE(at)
    const attributes = buffer.readInt16BE(at + 21)
    const producerId = buffer.readBigInt64BE(at + 43)
    nextOffset = baseOffset + BigInt(buffer.readInt32BE(at + 23)) + 1n
    if (attributes & CONTROL) {
      const r = new Reader(buffer, at + HEADER)
      r.varint()
      r.i8()
      r.varlong()
      r.varint()
      r.varint()
      r.i16()
      const type = r.i16() === 1 ? 'commit' : 'abort'
      control.push({ offset: baseOffset, producerId, producerEpoch: buffer.readInt16BE(at + 51), type })
      if (type === 'abort') aborting.delete(producerId)
    } else {
      while (pending.length > 0 && pending[0]!.firstOffset <= baseOffset) aborting.add(pending.shift()!.producerId)
      const hidden = attributes & TRANSACTIONAL && aborting.has(producerId)
      if (!hidden && nextOffset > from) {
        const chunk = readRecords(buffer, at, end, attributes, baseOffset, from)
        if (chunk.count > 0) {
          chunks.push(chunk)
          const transactional = (attributes & TRANSACTIONAL) !== 0
          owners.push({ producerId, producerEpoch: buffer.readInt16BE(at + 51), transactional })
        }
      }
    }
    at = end
  }
  return { chunks, owners, control, nextOffset }
}

function readRecords(
  buffer: Buffer,
  at: number,
  end: number,
  attributes: number,
  baseOffset: bigint,
  from: bigint,
): RawRecords {
  const count = buffer.readInt32BE(at + 57)
  const baseTimestamp = Number(buffer.readBigInt64BE(at + 27))
  const body = inflate(buffer.subarray(at + HEADER, end), attributes & 7)
  const inPlace = body === null
  const r = inPlace ? new Reader(buffer, at + HEADER) : new Reader(body)
  const keyStart = new Int32Array(count)
  const keyEnd = new Int32Array(count)
  const valueStart = new Int32Array(count)
  const valueEnd = new Int32Array(count)
  const timestamps = new Float64Array(count)
  const offsets = new Float64Array(count)
  const base = Number(baseOffset)
  const lowest = Number(from)
  let n = 0
  for (let i = 0; i < count; i++) {
    const length = r.varint()
    const recordEnd = r.at + length
    r.at++
    timestamps[n] = baseTimestamp + r.varlong()
    offsets[n] = base + r.varint()
    const keyBytes = r.varint()
    keyStart[n] = keyBytes < 0 ? -1 : r.at
    r.at += Math.max(0, keyBytes)
    keyEnd[n] = r.at
    const valueBytes = r.varint()
    valueStart[n] = valueBytes < 0 ? -1 : r.at
    r.at += Math.max(0, valueBytes)
    valueEnd[n] = r.at
    r.at = recordEnd
    if (offsets[n]! >= lowest) n++
  }
  const headers = headersOf
  return { buffer: r.buffer, count: n, keyStart, keyEnd, valueStart, valueEnd, timestamps, offsets, headers }
}

/** Null = not compressed. */
function inflate(body: Buffer, codec: number): Buffer | null {
  switch (codec) {
    case 0:
      return null
    case 1:
      return gunzipSync(body)
    case 2:
      return snappyJava(body)
    case 3:
      return lz4Frame(body)
    case 4:
      return zstdDecompressSync(body)
    default:
      throw new WeirError(
        { code: 'UNKNOWN_COMPRESSION', kind: 'invalid', codec },
        `record batch with unknown compression ${codec}`,
      )
  }
}
