/**
 * Restored key groups that are nowhere but in their chunks. A restore ends when every chunk is here and verified; a group is decoded
 * when one of its keys is asked for, or when its turn comes behind the running job.
 *
 *   chunks (compressed, verified) ──first key asked for, or its turn──▶ rows of the group ──taken──▶ entries, or LevelDB
 */
import { zstdDecompressSync } from 'node:zlib'
import { inRange, type Key, type KeyGroupRange } from '@weir/model'
import { pack, unpack } from './pack.ts'
import { DELETE, VALUE, decodeRows, sum, type Row } from './segment.ts'
import type { Table } from './table.ts'

export interface VerifiedChunk {
  readonly first: number
  readonly last: number
  /** As stored. */
  readonly bytes: Buffer
}

interface PendingSegment {
  readonly range: KeyGroupRange
  readonly chunks: readonly VerifiedChunk[]
  /** Null: of a state that is not taken over. */
  readonly tableOf: (row: Row) => Table<unknown> | null
  /** Groups are asked for in order mostly, and a chunk has the end of one and the begin of the next. */
  unpacked: { readonly chunk: VerifiedChunk; readonly rows: Buffer } | null
}

/** One row of a group; its packed value lies in `piece`. The same object again and again. */
export interface GroupRow {
  table: number
  namespace: number
  key: Key
  piece: Buffer
  start: number
  end: number
}

/**
 * The rows of one key group. Of each only where it lies: a view of every value costs more than all that is asked of most of
 * them, and the first keys of every group are asked for in the first moments of an attempt.
 */
export class GroupRows {
  /** Number of the table → namespace → key → row. */
  readonly #tables = new Map<number, Map<number, Map<Key, number>>>()
  /** By row: which of `#pieces` its value lies in, from where to where. */
  readonly #pieceOf: number[] = []
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  readonly #pieces: Buffer[] = []

  get(table: number, namespace: number, key: Key): Buffer | undefined {
    const row = this.#tables.get(table)?.get(namespace)?.get(key)
    return row === undefined
      ? undefined
      : this.#pieces[this.#pieceOf[row]!]!.subarray(this.#starts[row], this.#ends[row])
  }

  put({ table, namespace, key, piece, start, end }: Readonly<GroupRow>): void {
    if (this.#pieces.at(-1) !== piece) this.#pieces.push(piece)
    const keys = this.#keys(table, namespace)
    const known = keys.get(key)
    const row = known ?? this.#starts.length
    if (known === undefined) keys.set(key, row)
    this.#pieceOf[row] = this.#pieces.length - 1
    this.#starts[row] = start
    this.#ends[row] = end
  }

  delete(table: number, namespace: number, key: Key): void {
    this.#tables.get(table)?.get(namespace)?.delete(key)
  }

  *[Symbol.iterator](): Generator<Readonly<GroupRow>> {
    const of: GroupRow = { table: 0, namespace: 0, key: 0, piece: NOTHING, start: 0, end: 0 }
    for (const [table, namespaces] of this.#tables) {
      of.table = table
      for (const [namespace, keys] of namespaces) {
        of.namespace = namespace
        for (const [key, row] of keys) {
          of.key = key
          of.piece = this.#pieces[this.#pieceOf[row]!]!
          of.start = this.#starts[row]!
          of.end = this.#ends[row]!
          yield of
        }
      }
    }
  }

  #keys(table: number, namespace: number): Map<Key, number> {
    let namespaces = this.#tables.get(table)
    if (namespaces === undefined) this.#tables.set(table, (namespaces = new Map<number, Map<Key, number>>()))
    let keys = namespaces.get(namespace)
    if (keys === undefined) namespaces.set(namespace, (keys = new Map<Key, number>()))
    return keys
  }
}

const NOTHING = Buffer.alloc(0)

export class PendingGroups {
  readonly #segments: PendingSegment[] = []
  readonly #groups = new Set<number>()
  readonly #decoded = new Map<number, GroupRows>()

  /** In the order of the chain. */
  add(segment: Omit<PendingSegment, 'unpacked'>): void {
    this.#segments.push({ ...segment, unpacked: null })
  }

  /** Every group in the chunks, once all are added. */
  begin(): void {
    for (const { chunks, range } of this.#segments)
      for (const { first, last } of chunks)
        for (let group = first; group <= last; group++) if (inRange(range, group)) this.#groups.add(group)
  }

  has(group: number): boolean {
    return this.#groups.has(group)
  }

  /** One that is in memory twice first. */
  next(): number | undefined {
    for (const group of this.#decoded.keys()) return group
    for (const group of this.#groups) return group
    return undefined
  }

  /** A packed value of namespace 0. */
  get(group: number, table: number, key: Key): Uint8Array | undefined {
    return this.rows(group).get(table, 0, key)
  }

  rows(group: number): GroupRows {
    let rows = this.#decoded.get(group)
    if (rows === undefined) this.#decoded.set(group, (rows = this.#decode(group)))
    return rows
  }

  taken(group: number): void {
    this.#groups.delete(group)
    this.#decoded.delete(group)
  }

  #decode(group: number): GroupRows {
    const rows = new GroupRows()
    const put: GroupRow = { table: 0, namespace: 0, key: 0, piece: NOTHING, start: 0, end: 0 }
    for (const segment of this.#segments) {
      if (!inRange(segment.range, group)) continue
      for (const chunk of segment.chunks) {
        if (chunk.first > group || chunk.last < group) continue
        if (segment.unpacked?.chunk !== chunk) segment.unpacked = { chunk, rows: zstdDecompressSync(chunk.bytes) }
        const { rows: bytes } = segment.unpacked
        for (const row of decodeRows(bytes, { group })) {
          const table = segment.tableOf(row)?.number
          if (table === undefined) continue
          const { namespace, key, op } = row
          if (op === DELETE) {
            rows.delete(table, namespace, key)
            continue
          }
          put.table = table
          put.namespace = namespace
          put.key = key
          if (op === VALUE) {
            put.piece = bytes
            put.start = row.start
            put.end = row.end
          } else {
            put.piece = pack(sum(unpack(rows.get(table, namespace, key)!), op, unpack(row.value)))
            put.start = 0
            put.end = put.piece.length
          }
          rows.put(put)
        }
      }
    }
    return rows
  }
}
