/**
 * Reads record batches of format v2 (`records.ts` has it). Nothing is copied: records are views over the fetched buffer. A compressed
 * batch stays as it came until it is opened: what waits is a fraction of what it will be.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { NO_HEADERS, type RawRecords } from '@weir/dataflow'
import { WeirError, type RecordHeader } from '@weir/model'
import { Reader } from './bytes.ts'
import { uncompressSync as lz4Frame } from './lz4.ts'
import { HEADER, TRANSACTIONAL } from './records.ts'
import { snappyJava } from './snappy.ts'

const CONTROL = 0x20

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

/** One batch as it was fetched. */
export interface FetchedBatch {
  readonly baseOffset: bigint
  readonly owner: BatchOwner
  /** As it lies there. */
  readonly bytes: number
  /** Inflates it where it is compressed, each time; throws `UNKNOWN_COMPRESSION` (invalid). Records in front of `from` are left out. */
  open(): RawRecords
}

export interface FetchedBatches {
  readonly batches: readonly FetchedBatch[]
  readonly control: readonly ControlRecord[]
  /** Offset behind everything in the buffer, whether visible or not; null when no whole batch was in it. */
  readonly nextOffset: bigint | null
}

/**
 * Finds every whole batch. `from`: records below it are skipped (a fetch may begin inside a batch).
 * `aborted` null = read uncommitted.
 */
export function fetchedBatches(
  buffer: Buffer,
  from: bigint,
  aborted: readonly { producerId: bigint; firstOffset: bigint }[] | null,
): FetchedBatches {
  const batches: FetchedBatch[] = []
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
        const transactional = (attributes & TRANSACTIONAL) !== 0
        const owner = { producerId, producerEpoch: buffer.readInt16BE(at + 51), transactional }
        const batch = buffer.subarray(at, end)
        batches.push({
          baseOffset,
          owner,
          bytes: batch.length,
          open: () => readRecords(batch, attributes, baseOffset, from),
        })
      }
    }
    at = end
  }
  return { batches, control, nextOffset }
}

export interface ReadBatches extends Omit<FetchedBatches, 'batches'> {
  readonly chunks: readonly RawRecords[]
  /** Of each chunk. */
  readonly owners: readonly BatchOwner[]
}

/** As `fetchedBatches`, all of them opened. */
export function readBatches(...of: Parameters<typeof fetchedBatches>): ReadBatches {
  const { batches, ...rest } = fetchedBatches(...of)
  const read = batches.map(({ owner, open }) => ({ owner, raw: open() })).filter(({ raw }) => raw.count > 0)
  return { chunks: read.map(({ raw }) => raw), owners: read.map(({ owner }) => owner), ...rest }
}

function readRecords(batch: Buffer, attributes: number, baseOffset: bigint, from: bigint): RawRecords {
  const count = batch.readInt32BE(57)
  const baseTimestamp = Number(batch.readBigInt64BE(27))
  const body = inflate(batch.subarray(HEADER), attributes & 7)
  const r = body === null ? new Reader(batch, HEADER) : new Reader(body)
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
