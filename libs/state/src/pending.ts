/**
 * Restored key groups that are nowhere but in their chunks. A restore ends when every chunk is here and verified; a group is decoded
 * when one of its keys is asked for, or when its turn comes behind the running job.
 *
 *   chunks (compressed, verified) ──first key asked for, or its turn──▶ rows of the group ──taken──▶ entries, or LevelDB
 */
import { zstdDecompressSync } from 'node:zlib'
import { inRange, type KeyGroupRange } from '@weir/model'
import { pack, unpack } from './pack.ts'
import { dbKey } from './row-key.ts'
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

/** Packed values by what would name them in LevelDB. */
export type GroupRows = ReadonlyMap<string, Uint8Array>

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

  get(group: number, name: string): Uint8Array | undefined {
    return this.rows(group).get(name)
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
    const rows = new Map<string, Uint8Array>()
    for (const segment of this.#segments) {
      if (!inRange(segment.range, group)) continue
      for (const chunk of segment.chunks) {
        if (chunk.first > group || chunk.last < group) continue
        if (segment.unpacked?.chunk !== chunk) segment.unpacked = { chunk, rows: zstdDecompressSync(chunk.bytes) }
        for (const row of decodeRows(segment.unpacked.rows, { group })) {
          const table = segment.tableOf(row)
          if (table === null) continue
          const name = dbKey(group, table.number, row.namespace, row.key)
          if (row.op === DELETE) rows.delete(name)
          else if (row.op === VALUE) rows.set(name, row.value)
          else rows.set(name, pack(sum(unpack(rows.get(name)!), row.op, unpack(row.value))))
        }
      }
    }
    return rows
  }
}
