/**
 * A stored piece of state, format 2. Rows are sorted by key group and cut into chunks, each compressed (zstd-3) and hashed
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
import { copyBytes, pack, stateId, stateNames, unpack } from './pack.ts'

export const MAGIC = Buffer.from('WSEG\x02', 'latin1')
/** Uncompressed bytes after which a chunk is closed. */
const CHUNK_BYTES = 256 * 1024
/**
 * Chunks compressed or on their way, in order; the one being filled besides. As many as a busy slot fills in one slice of its
 * time (`Pace`) and more: what is compressed meanwhile is heard of in its next turn.
 */
const CHUNKS_AHEAD = 16
const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }
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
  #at = 0
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
    this.#room(64 + (text ? key.length * 3 : 0) + to - from)
    if (group !== this.#group) {
      this.#bytes[this.#at++] = GROUP_MARK
      this.#varint(group)
      this.#group = this.last = group
      if (this.first < 0) this.first = group
    }
    const head = this.#at
    const kind = op | (namespace === 0 ? 0 : NAMESPACE_BIT)
    this.#bytes[this.#at++] = text ? kind : kind | NUMBER_KEY
    this.#varint(state)
    if (namespace !== 0) this.#at = this.#bytes.writeDoubleLE(namespace, this.#at)
    if (!text) this.#at = this.#bytes.writeDoubleLE(key, this.#at)
    else if (key.length > SHORT_TEXT || !this.#shortAscii(key)) {
      const wellFormed = key.isWellFormed()
      if (!wellFormed) this.#bytes[head] = kind | UTF16_KEY
      const encoding = wellFormed ? 'utf8' : 'utf16le'
      this.#varint(Buffer.byteLength(key, encoding))
      this.#at += this.#bytes.write(key, this.#at, encoding)
    }
    if (op === DELETE) return
    this.#varint(to - from)
    this.#at = copyBytes(value, from, to, this.#bytes, this.#at)
  }

  /** The rows so far, for the caller to keep; begins anew. */
  take(): { readonly bytes: Buffer; readonly first: number; readonly last: number } {
    const taken = { bytes: Buffer.from(this.#bytes.subarray(0, this.#at)), first: this.first, last: this.last }
    this.#at = 0
    this.#group = this.first = this.last = -1
    return taken
  }

  /** Text of one byte a character, and few of them: written by a loop faster than by a call. Else nothing is. */
  #shortAscii(text: string): boolean {
    const bytes = this.#bytes
    let at = this.#at
    bytes[at++] = text.length
    let all = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      all |= code
      bytes[at++] = code
    }
    if (all > 0x7f) return false
    this.#at = at
    return true
  }

  #varint(value: number): void {
    while (value > 0x7f) {
      this.#bytes[this.#at++] = (value & 0x7f) | 0x80
      value >>>= 7
    }
    this.#bytes[this.#at++] = value
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + bytes))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
  }
}

/** One segment on its way to the store: a chunk being filled, and some being compressed and sent. */
export class SegmentWriter {
  readonly #upload: SegmentUpload
  readonly #writer: string
  readonly #hash = createHash('sha256')
  /** By id: its number, and how many rows it has so far. */
  readonly #states = new Map<string, { readonly number: number; rows: number }>()
  readonly #rows = new Rows()
  readonly #chunks: SegmentIndex['chunks'][number][] = []
  #at = 0
  #entries = 0
  #namespaced = false
  #sending: Promise<void>
  #ahead = 0

  constructor(writer: string, upload: SegmentUpload) {
    this.#writer = writer
    this.#upload = upload
    this.#sending = this.#send(MAGIC)
    this.#sending.catch(() => {})
  }

  /** Key groups ascending; a key of a state and namespace once. The value from `from` to `to`. `flush` when it answers true. */
  add(
    group: number,
    stateId: string,
    namespace: number,
    key: Key,
    op: Op,
    value: Uint8Array,
    from = 0,
    to = value.length,
  ): boolean {
    let state = this.#states.get(stateId)
    if (state === undefined) this.#states.set(stateId, (state = { number: this.#states.size, rows: 0 }))
    this.#rows.add(group, state.number, namespace, key, op, value, from, to)
    state.rows++
    if (namespace !== 0) this.#namespaced = true
    this.#entries++
    return this.#rows.length >= CHUNK_BYTES
  }

  /** Closes the chunk. Waits while as many as may be are being compressed or sent. */
  async flush(): Promise<void> {
    if (this.#rows.length === 0) return
    const { bytes, first, last } = this.#rows.take()
    const [before, compressed] = [this.#sending, compress(bytes, CHUNK_LEVEL)]
    compressed.catch(() => {}) // thrown in its turn
    this.#ahead++
    this.#sending = (async () => {
      await before
      const chunk = await compressed
      this.#chunks.push([first, last, this.#at, chunk.length, hash('sha256', chunk, 'buffer')])
      await this.#send(chunk)
      this.#ahead--
    })()
    this.#sending.catch(() => {}) // the next wait throws it
    if (this.#ahead >= CHUNKS_AHEAD) await before
  }

  async finish(
    versions: SegmentIndex['versions'],
    schemaOf: (operatorUid: string, state: string) => StoredSchema | null,
  ): Promise<Required<Pick<SegmentRef, 'bytes' | 'entries' | 'sha256' | 'index' | 'states'>>> {
    await this.flush()
    await this.#sending
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
    return { bytes: this.#at, entries: this.#entries, sha256: this.#hash.digest('hex'), index: indexRef, states }
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
