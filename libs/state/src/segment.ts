/**
 * A stored piece of state, format 2. Rows are sorted by key group and cut into chunks, each compressed (zstd) and hashed
 * on its own, so that it is written as a stream in bounded memory and a range of key groups is read alone:
 *
 *   "WSEG" · u8 version 2 · chunks · index (zstd of msgpack) · u32le index bytes
 *   index   { writer, states: [[operator uid, name, split?]…], versions: [[operator uid, from, to]…],
 *             chunks: [[first group, last group, offset, bytes, SHA-256]…], schemas?: [[name, version] or null…] }
 *   chunk   rows, and between them the key group of those that follow:
 *     0x80 · varint key group
 *     op · varint state · (f64 namespace)? · key · (varint length · msgpack value)?
 *   op      bits 0–1: 0 delete, 1 = value, 2 + delta, 3 − delta (whole numbers and bigints: a sum is exact);
 *           bit 2: a namespace follows, else 0; bits 3–4, key: 0 varint length · UTF-8, 1 f64, 2 varint length · UTF-16
 *
 * The manifest has the SHA-256 of the whole object and of what begins with the index; the index has those of the chunks.
 * `versions` count the segments of an operator by their writer: a delta is added only to the version it continues.
 */
import { createHash, hash } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { SegmentRef, SegmentState, StoredSchema } from '@weir/dataflow'
import type { Key } from '@weir/model'
import { corrupt } from './damage.ts'
import { varintBytes } from './packed/key-bytes.ts'
import type { RowCursor } from './packed/row-cursor.ts'
import { copyBytes, pack, stateId, stateNames, unpack } from './pack.ts'

export const MAGIC = Buffer.from('WSEG\x02', 'latin1')
/** Uncompressed bytes after which a chunk is closed. */
const CHUNK_BYTES = 256 * 1024
/**
 * Compressed where they are filled, in less than a millisecond: a thread of the pool takes five times the CPU for a chunk, since each
 * begins with memory it has not touched, and a busy slot hears of it a turn later. Those with a large value go there all the same.
 */
const SYNC_BYTES_MAX = 4 * CHUNK_BYTES
/** Level 3 takes a third more CPU for numbers by key, which it makes about as small; fingerprints, which are as good as random, it makes 15 % smaller. */
const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }
/** For what comes of a chunk in one piece: in pieces of the default 16 KiB each costs a turn of the thread pool, twice the CPU in all. */
const CHUNK_LEVEL = { ...LEVEL, chunkSize: CHUNK_BYTES / 2 }
const compress = promisify(zstdCompress)

export const DELETE = 0
export const VALUE = 1
export const PLUS = 2
export const MINUS = 3
export type Op = typeof DELETE | typeof VALUE | typeof PLUS | typeof MINUS
const NAMESPACE_BIT = 4
const NUMBER_KEY = 1 << 3
const UTF16_KEY = 2 << 3
const GROUP_MARK = 0x80
const SHORT_TEXT = 32
/** Bytes up to which a row is copied by a loop: a call costs more. */
const SHORT_ROW = 128

/** An object being written; nobody sees it before `finish` has resolved. Both wait out short outages of the store. */
export interface SegmentUpload {
  /** Takes the bytes. Resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<void>
  finish(): Promise<void>
  /** Leaves nothing behind, as far as the store answers. Never throws. */
  abort(): Promise<void>
}

/** Operator uid → number of segments written so far by one writer. */
export type Versions = ReadonlyMap<string, number>

export interface SegmentIndex {
  /** Which subtask of how many wrote it. */
  readonly writer: string
  readonly states: readonly (readonly [operatorUid: string, name: string, split?: number])[]
  readonly versions: readonly (readonly [operatorUid: string, from: number, to: number])[]
  /** Rows with a namespace ≠ 0 are in it. Absent: there may be. */
  readonly namespaced?: boolean
  /** Of `states`, one each; absent where no state has one. */
  readonly schemas?: readonly (readonly [name: string, version: number] | null)[]
  readonly chunks: readonly (readonly [
    firstGroup: number,
    lastGroup: number,
    at: number,
    bytes: number,
    sha256: Uint8Array,
  ])[]
}

export interface Row {
  group: number
  /** Into `SegmentIndex.states`. */
  state: number
  namespace: number
  key: Key
  op: Op
  /** msgpack; empty for a deletion. A view of the chunk. */
  readonly value: Uint8Array
}

/** Of a chunk: a view of the value is made for who asks, since most rows are asked where it lies at the most. */
class ChunkRow implements Row {
  group = -1
  state = 0
  namespace = 0
  key: Key = ''
  op: Op = VALUE
  /** Of the value. */
  start = 0
  end = 0
  readonly #chunk: Buffer

  constructor(chunk: Buffer) {
    this.#chunk = chunk
  }

  get value(): Uint8Array {
    return this.#chunk.subarray(this.start, this.end)
  }
}

/** Rows as bytes, growing. */
class Rows {
  #bytes = Buffer.allocUnsafe(CHUNK_BYTES + 64 * 1024)
  #view = viewOf(this.#bytes)
  #at = 0
  /** In all chunks. */
  rows = 0
  #group = -1
  first = -1
  last = -1

  get length(): number {
    return this.#at
  }

  add(
    group: number,
    state: number,
    namespace: number,
    key: Key,
    op: Op,
    value: Uint8Array,
    from: number,
    to: number,
  ): void {
    const text = typeof key === 'string'
    // Two or three bytes per UTF-16 unit, and the numbers beside it.
    const bytes = this.#room(64 + (text ? key.length * 3 : 0) + to - from)
    let at = this.#mark(group, bytes)
    const head = at
    const kind = op | (namespace === 0 ? 0 : NAMESPACE_BIT)
    bytes[at++] = text ? kind : kind | NUMBER_KEY
    at = varint(state, bytes, at)
    if (namespace !== 0) at = bytes.writeDoubleLE(namespace, at)
    if (!text) at = bytes.writeDoubleLE(key, at)
    else {
      const behind = key.length > SHORT_TEXT ? -1 : shortAscii(key, bytes, at)
      if (behind >= 0) at = behind
      else {
        const wellFormed = key.isWellFormed()
        if (!wellFormed) bytes[head] = kind | UTF16_KEY
        const encoding = wellFormed ? 'utf8' : 'utf16le'
        at = varint(Buffer.byteLength(key, encoding), bytes, at)
        at += bytes.write(key, at, encoding)
      }
    }
    if (op !== DELETE) at = copyBytes(value, from, to, bytes, varint(to - from, bytes, at))
    this.#at = at
    this.rows++
  }

  /**
   * Rows of one key group as `PackedRows` has them, `rowsMax` or up to the end of a chunk: the state's number goes behind their heads. They
   * begin at words, and are copied by words, up to three bytes too far, where the next row begins. @returns how many it has looked at
   */
  addPacked(group: number, state: number, rows: RowCursor, withDeletions: boolean, rowsMax: number): number {
    const numberBytes = varintBytes(state)
    let looked = 0
    for (; looked < rowsMax && this.#at < CHUNK_BYTES && rows.next(); looked++) {
      if (!withDeletions && rows.op === DELETE) continue
      const { block, headAt, end } = rows
      const bytes = this.#room(64 + end - headAt)
      const at = this.#mark(group, bytes)
      const copyAt = at + numberBytes // its head comes where the number ends
      if (end - headAt > SHORT_ROW) bytes.set(block.bytes.subarray(headAt, end), copyAt)
      else copyWords(block.words, headAt >>> 2, (end + 3) >>> 2, this.#view, copyAt)
      bytes[at] = block.bytes[headAt]!
      varint(state, bytes, at + 1)
      this.#at = copyAt + end - headAt
      this.rows++
    }
    return looked
  }

  /** The rows so far, to be used before the next one comes; begins anew. */
  take(): { readonly bytes: Buffer; readonly first: number; readonly last: number } {
    const taken = { bytes: this.#bytes.subarray(0, this.#at), first: this.first, last: this.last }
    this.#at = 0
    this.#group = this.first = this.last = -1
    return taken
  }

  /** @returns behind the group's mark, if it needs one */
  #mark(group: number, bytes: Buffer): number {
    let at = this.#at
    if (group === this.#group) return at
    bytes[at++] = GROUP_MARK
    at = varint(group, bytes, at)
    this.#group = this.last = group
    if (this.first < 0) this.first = group
    return at
  }

  #room(bytes: number): Buffer {
    if (this.#at + bytes <= this.#bytes.length) return this.#bytes
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + bytes))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#view = viewOf(grown)
    return (this.#bytes = grown)
  }
}

const viewOf = ({ buffer, byteOffset, length }: Buffer): DataView => new DataView(buffer, byteOffset, length)
const HAS_LITTLE_ENDIAN_WORDS = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1

/** To wherever a byte may be. */
function copyWords(from: Uint32Array, start: number, end: number, into: DataView, at: number): void {
  for (let word = start; word < end; word++, at += 4) into.setUint32(at, from[word]!, HAS_LITTLE_ENDIAN_WORDS)
}

/** @returns behind it */
function varint(value: number, bytes: Buffer, at: number): number {
  while (value > 0x7f) {
    bytes[at++] = (value & 0x7f) | 0x80
    value >>>= 7
  }
  bytes[at++] = value
  return at
}

/** Text of one byte a character, and few of them: written by a loop faster than by a call. @returns behind it; negative: it is none */
function shortAscii(text: string, bytes: Buffer, at: number): number {
  bytes[at++] = text.length
  let all = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    all |= code
    bytes[at++] = code
  }
  return all > 0x7f ? -1 : at
}

/** One segment on its way to the store: a chunk being filled; what was closed is with the upload. */
export class SegmentWriter {
  readonly #upload: SegmentUpload
  readonly #writer: string
  readonly #hash = createHash('sha256')
  /** By id: its number, and how many rows it has so far. */
  readonly #states = new Map<string, { readonly number: number; rows: number }>()
  readonly #rows = new Rows()
  readonly #chunks: SegmentIndex['chunks'][number][] = []
  #at = 0
  #namespaced = false
  #begun = false

  constructor(writer: string, upload: SegmentUpload) {
    this.#writer = writer
    this.#upload = upload
  }

  /** Key groups ascending; a key of a state and namespace once. The value from `from` to `to`. `flush` when it `isFull`. */
  add(
    group: number,
    stateId: string,
    namespace: number,
    key: Key,
    op: Op,
    value: Uint8Array,
    from = 0,
    to = value.length,
  ): void {
    const state = this.#state(stateId)
    this.#rows.add(group, state.number, namespace, key, op, value, from, to)
    state.rows++
    if (namespace !== 0) this.#namespaced = true
  }

  /** Rows as `PackedRows` has them, `rowsMax` or up to the end of the chunk: `flush` when it `isFull`. @returns how many it has looked at */
  addPacked(group: number, stateId: string, rows: RowCursor, withDeletions: boolean, rowsMax: number): number {
    const before = this.#rows.rows
    const number = this.#states.get(stateId)?.number ?? this.#states.size
    const looked = this.#rows.addPacked(group, number, rows, withDeletions, rowsMax)
    const added = this.#rows.rows - before
    if (added > 0) this.#state(stateId).rows += added // one without rows is not in the segment
    return looked
  }

  get isFull(): boolean {
    return this.#rows.length >= CHUNK_BYTES
  }

  /** Closes the chunk. Waits for room in the upload. */
  async flush(): Promise<void> {
    if (this.#rows.length === 0) return
    const { bytes, first, last } = this.#rows.take()
    const chunk =
      bytes.length > SYNC_BYTES_MAX ? await compress(bytes, CHUNK_LEVEL) : zstdCompressSync(bytes, CHUNK_LEVEL)
    await this.#begin()
    this.#chunks.push([first, last, this.#at, chunk.length, hash('sha256', chunk, 'buffer')])
    await this.#send(chunk)
  }

  async finish(
    versions: SegmentIndex['versions'],
    schemaOf: (operatorUid: string, state: string) => StoredSchema | null,
  ): Promise<Required<Pick<SegmentRef, 'bytes' | 'entries' | 'sha256' | 'index' | 'states'>>> {
    await this.flush()
    await this.#begin()
    const names = [...this.#states.keys()].map(stateNames)
    const schemas = names.map(([uid, name]) => schemaOf(uid, name))
    const content = {
      ...{ writer: this.#writer, states: names, versions, chunks: this.#chunks, namespaced: this.#namespaced },
      ...(schemas.some((schema) => schema !== null) && { schemas: schemas.map((s) => s && [s.name, s.version]) }),
    }
    const index = zstdCompressSync(pack(content), LEVEL)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(index.length)
    const tail = Buffer.concat([index, length])
    const at = this.#at
    await this.#send(tail)
    await this.#upload.finish()
    const indexRef = { at, sha256: hash('sha256', tail) }
    const states = summed(
      [...this.#states.values()].map(({ rows }, i) => ({ names: names[i]!, rows, schema: schemas[i]! })),
    )
    return { bytes: this.#at, entries: this.#rows.rows, sha256: this.#hash.digest('hex'), index: indexRef, states }
  }

  #state(stateId: string): { readonly number: number; rows: number } {
    let state = this.#states.get(stateId)
    if (state === undefined) this.#states.set(stateId, (state = { number: this.#states.size, rows: 0 }))
    return state
  }

  async #begin(): Promise<void> {
    if (this.#begun) return
    this.#begun = true
    await this.#send(MAGIC)
  }

  #send(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes)
    this.#at += bytes.length
    return this.#upload.write(bytes)
  }
}

/** Splits of a state are one state. */
function summed(
  states: readonly { readonly names: readonly [string, string, number?]; rows: number; schema: StoredSchema | null }[],
): SegmentState[] {
  const byName = new Map<string, SegmentState>()
  for (const { names, rows, schema } of states) {
    const [operatorUid, name] = names
    const id = stateId(operatorUid, name, undefined)
    byName.set(id, { operatorUid, name, rows: rows + (byName.get(id)?.rows ?? 0), schema })
  }
  return [...byName.values()]
}

export function decodeIndex(objectKey: string, tail: Buffer): SegmentIndex {
  const bytes = tail.length < 4 ? -1 : tail.readUInt32LE(tail.length - 4)
  if (bytes !== tail.length - 4) throw corrupt(objectKey, 'its index does not end where the object does')
  return unpack(zstdDecompressSync(tail.subarray(0, bytes))) as SegmentIndex
}

/** What a difference makes of the value it belongs to: whole numbers and bigints. */
export function sum(before: unknown, op: Op, by: unknown): unknown {
  const sign = op === PLUS ? 1 : -1
  return typeof by === 'bigint' ? (before as bigint) + BigInt(sign) * by : (before as number) + sign * (by as number)
}

/** The same row object again and again. */
export const decodeChunk = (chunk: Buffer): Generator<Row> => decodeRows(zstdDecompressSync(chunk))

/** Only rows of one group, or only those with a namespace ≠ 0: the others are stepped over, which costs a tenth. */
export interface RowFilter {
  readonly group?: number
  readonly namespaced?: boolean
}

/** Of an uncompressed chunk. The same row object again and again. */
export function* decodeRows(bytes: Buffer, { group: wanted, namespaced = false }: RowFilter = {}): Generator<ChunkRow> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
    }
  }
  const row = new ChunkRow(bytes)
  while (at < bytes.length) {
    const head = bytes[at++]!
    if (head === GROUP_MARK) {
      row.group = varint()
      if (wanted !== undefined && row.group > wanted) return // they ascend
      continue
    }
    const skipped = (wanted !== undefined && row.group !== wanted) || (namespaced && (head & NAMESPACE_BIT) === 0)
    row.op = (head & 3) as Op
    row.state = varint()
    row.namespace = 0
    if (head & NAMESPACE_BIT) {
      row.namespace = bytes.readDoubleLE(at)
      at += 8
    }
    if (head & NUMBER_KEY) {
      row.key = bytes.readDoubleLE(at)
      at += 8
    } else {
      const end = varint() + at
      if (!skipped) row.key = bytes.toString(head & UTF16_KEY ? 'utf16le' : 'utf8', at, end)
      at = end
    }
    row.start = row.end = at
    if (row.op !== DELETE) {
      const end = varint() + at
      row.start = at
      row.end = at = end
    }
    if (!skipped) yield row
  }
}
