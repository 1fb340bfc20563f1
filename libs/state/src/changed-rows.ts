/** What changed between two barriers in a store that is not resident, as rows: of a delta segment, and of LevelDB. */
import type { Key } from '@weir/model'
import { differenceOf } from './difference.ts'
import { EntryWriter } from './entry-writer.ts'
import { DELETED, type Entry, type Layer } from './layer.ts'
import { packInto } from './pack.ts'
import { Pace } from './pace.ts'
import { changesIn, type PackedSlice } from './packed/packed-table.ts'
import type { GroupOf, TableCut } from './place.ts'
import { DELETE, MINUS, PLUS, VALUE, type Op, type SegmentWriter } from './segment.ts'
import type { Table } from './table.ts'
/** Packed values lie one behind the other in pieces of this size; a larger value has one of its own. */
const PIECE_BYTES = 256 * 1024

/** What has become of a key. */
export interface ChangedRow {
  readonly table: Table<unknown>
  readonly layer: Layer
  readonly namespace: number
  readonly key: Key
  /** Null: of a namespace ≠ 0. */
  readonly entry: Entry | null
  /** Of a segment; null: the value is what it was at the barrier before. */
  readonly op: Op | null
  /** The packed value, from `start` to `end`; behind it to `differenceEnd`, of a number, what it grew or shrank by. */
  readonly piece: Buffer
  readonly start: number
  readonly end: number
  readonly differenceEnd: number
}

/** Of a state whose rows are packed already. */
interface ChangedSlice {
  readonly table: Table<unknown>
  readonly layer: Layer
  readonly slice: PackedSlice
}
interface ChangedGroup {
  readonly rows: ChangedRow[]
  readonly slices: ChangedSlice[]
}

/** By key group, in their order. */
export type ChangedRows = ReadonlyMap<number, Readonly<ChangedGroup>>

/** The layers as they are stored: by key group. Throws what cannot be packed. */
export async function packedRows(cuts: readonly TableCut[], groupOf: GroupOf): Promise<ChangedRows> {
  const groups = new Map<number, ChangedGroup>()
  const pieces = new Pieces()
  const pace = new Pace()
  const of = (group: number): ChangedGroup => {
    let changed = groups.get(group)
    if (changed === undefined) groups.set(group, (changed = { rows: [], slices: [] }))
    return changed
  }
  const add = (row: ChangedRow): void => void of(groupOf(row.table, row.key)).rows.push(row)
  for (const { table, layer } of cuts) {
    for (const slice of layer.packed?.slices ?? [])
      if (slice.changed > 0) of(slice.rows.group).slices.push({ table, layer, slice })
    for (const entry of layer.entries) {
      const { value, before } = layer.cutOf(entry)
      add(pieces.rowOf(table, layer, 0, entry.key, entry, value, before))
      if (pace.due()) await pace.rest()
    }
    for (const [namespace, keys] of layer.windows) {
      for (const [key, value] of keys) {
        add(pieces.rowOf(table, layer, namespace, key, null, value, undefined))
        if (pace.due()) await pace.rest()
      }
    }
  }
  return new Map([...groups].sort(([a], [b]) => a - b))
}

/** Stores the rows, numbers as their differences. */
export async function writeDelta(writer: SegmentWriter, groups: ChangedRows): Promise<void> {
  const pace = new Pace()
  const packed = new EntryWriter(writer, pace)
  for (const [group, { rows, slices }] of groups) {
    for (const { table, layer, slice } of slices)
      await packed.packed(group, table.id, changesIn(slice, layer.number), true)
    for (const { table, namespace, key, op, piece, start, end, differenceEnd } of rows) {
      if (op === null) continue // it is what it was
      const isDifference = op === PLUS || op === MINUS
      const from = isDifference ? end : start
      const to = isDifference ? differenceEnd : end
      writer.add(group, table.id, namespace, key, op, piece, from, to)
      if (writer.isFull) await writer.flush()
      if (pace.due()) await pace.rest()
    }
  }
}

/** Packs values one behind the other. */
class Pieces {
  #piece = Buffer.allocUnsafe(PIECE_BYTES)
  #at = 0

  rowOf(
    table: Table<unknown>,
    layer: Layer,
    namespace: number,
    key: Key,
    entry: Entry | null,
    value: unknown,
    before: number | bigint | undefined,
  ): ChangedRow {
    let op: Op | null = DELETE
    let end = this.#at
    let differenceEnd = end
    if (value !== DELETED) {
      op = VALUE
      end = differenceEnd = this.#pack(value)
      if (before !== undefined) {
        const by = value === before ? null : differenceOf(value, before)
        if (value === before) op = null
        else if (by !== null) {
          // It must lie behind the value, in the same piece.
          const behind = packInto(by < 0 ? -by : by, this.#piece, end)
          if (behind >= 0) {
            op = by < 0 ? MINUS : PLUS
            differenceEnd = behind
          }
        }
      }
    }
    const [piece, start] = [this.#piece, this.#at]
    this.#at = differenceEnd
    return { table, layer, namespace, key, entry, op, piece, start, end, differenceEnd }
  }

  /** @returns where it ends; it begins at `#at` */
  #pack(value: unknown): number {
    for (;;) {
      const end = packInto(value, this.#piece, this.#at)
      if (end >= 0) return end
      this.#piece = Buffer.allocUnsafe(Math.max(PIECE_BYTES, -end))
      this.#at = 0
    }
  }
}
