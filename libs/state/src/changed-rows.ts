/** What changed between two barriers, as rows: of a delta segment, and of LevelDB. */
import { setImmediate as yieldTurn } from 'node:timers/promises'
import type { Key } from '@weir/model'
import { packInto } from './pack.ts'
import { DELETE, MINUS, PLUS, VALUE, type Op, type SegmentWriter } from './segment.ts'
import { DELETED, type Entry, type Layer, type Table } from './table.ts'

/** Of a snapshot's rows, ms at a stretch, at least and at most. */
const SLICE_MS_MIN = 8
const SLICE_MS_MAX = 50
const ROWS_PER_LOOK = 100
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

/** By key group, in their order. */
export type ChangedRows = ReadonlyMap<number, readonly ChangedRow[]>
export type ChangedLayer = readonly [Table<unknown>, Layer]

/** The layers as they are stored: by key group. Throws what cannot be packed. */
export async function packedRows(
  layers: readonly ChangedLayer[],
  groupOf: (table: Table<unknown>, key: Key) => number,
): Promise<ChangedRows> {
  const groups = new Map<number, ChangedRow[]>()
  const pieces = new Pieces()
  const pace = new Pace()
  const add = (row: ChangedRow): void => {
    const group = groupOf(row.table, row.key)
    const rows = groups.get(group)
    if (rows === undefined) groups.set(group, [row])
    else rows.push(row)
  }
  for (const [table, layer] of layers) {
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
    layer.packed()
  }
  return new Map([...groups].sort(([a], [b]) => a - b))
}

/** Stores the rows, numbers as their differences. */
export async function delta(writer: SegmentWriter, groups: ChangedRows): Promise<void> {
  const pace = new Pace()
  for (const [group, rows] of groups) {
    for (const { table, namespace, key, op, piece, start, end, differenceEnd } of rows) {
      if (op === null) continue // it is what it was
      const isDifference = op === PLUS || op === MINUS
      const from = isDifference ? end : start
      const to = isDifference ? differenceEnd : end
      if (writer.add(group, table.id, namespace, key, op, piece, from, to)) await writer.flush()
      if (pace.due()) await pace.rest()
    }
  }
}

/**
 * Rows are looked at in slices of time. Between two the slot does other work; as long as that took, the next slice may take,
 * within bounds: an epoch gets its share of a busy slot.
 */
export class Pace {
  #rows = 0
  #until = performance.now() + SLICE_MS_MIN

  /** After each row: is the slice over? */
  due(): boolean {
    return ++this.#rows % ROWS_PER_LOOK === 0 && performance.now() >= this.#until
  }

  async rest(): Promise<void> {
    const began = performance.now()
    await yieldTurn()
    const now = performance.now()
    this.#until = now + Math.min(Math.max(now - began, SLICE_MS_MIN), SLICE_MS_MAX)
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

/** Null: it would not be exact. */
function differenceOf(value: unknown, before: number | bigint): number | bigint | null {
  if (typeof value === 'bigint' && typeof before === 'bigint') return value - before
  if (typeof before !== 'number' || !Number.isSafeInteger(value)) return null
  // The difference of two safe integers need not be one.
  const by = (value as number) - before
  return Number.isSafeInteger(by) ? by : null
}
