/**
 * Restored key groups that are not in LevelDB yet. A restore ends when every chunk is here and verified; a group is decoded
 * when one of its keys is asked for, or when its turn comes to be written to LevelDB behind the running job.
 *
 *   chunks (compressed, verified) ──first key asked for, or its turn──▶ rows of the group ──written──▶ LevelDB alone
 */
import { zstdDecompressSync } from 'node:zlib'
import { inRange, type KeyGroupRange } from '@weir/model'
import { pack, unpack } from './pack.ts'
import { DELETE, VALUE, decodeRows, sum, type Row } from './segment.ts'

export interface VerifiedChunk {
  readonly first: number
  readonly last: number
  /** As stored. */
  readonly bytes: Buffer
}

interface PendingSegment {
  readonly range: KeyGroupRange
  readonly chunks: readonly VerifiedChunk[]
  /** Name of a row in LevelDB; null: of a state that is not taken over. */
  readonly nameOf: (row: Row) => string | null
  /** Groups are asked for in order mostly, and a chunk has the end of one and the begin of the next. */
  unpacked: { readonly chunk: VerifiedChunk; readonly rows: Buffer } | null
}

/** By name in LevelDB; null: deleted. */
export type GroupRows = ReadonlyMap<string, Uint8Array | null>

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
    return this.rows(group).get(name) ?? undefined
  }

  rows(group: number): GroupRows {
    let rows = this.#decoded.get(group)
    if (rows === undefined) this.#decoded.set(group, (rows = this.#decode(group)))
    return rows
  }

  written(group: number): void {
    this.#groups.delete(group)
    this.#decoded.delete(group)
  }

  #decode(group: number): GroupRows {
    const rows = new Map<string, Uint8Array | null>()
    for (const segment of this.#segments) {
      if (!inRange(segment.range, group)) continue
      for (const chunk of segment.chunks) {
        if (chunk.first > group || chunk.last < group) continue
        if (segment.unpacked?.chunk !== chunk) segment.unpacked = { chunk, rows: zstdDecompressSync(chunk.bytes) }
        for (const row of decodeRows(segment.unpacked.rows, { group })) {
          const name = segment.nameOf(row)
          if (name === null) continue
          if (row.op === DELETE) rows.set(name, null)
          else if (row.op === VALUE) rows.set(name, row.value)
          else rows.set(name, pack(sum(unpack(rows.get(name)!), row.op, unpack(row.value))))
        }
      }
    }
    return rows
  }
}
