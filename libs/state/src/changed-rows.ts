/** What changed between two barriers, as rows of a delta segment. */
import { setImmediate as yieldTurn } from 'node:timers/promises'
import type { Key } from '@weir/model'
import { pack } from './pack.ts'
import { DELETE, MINUS, PLUS, VALUE, type Op, type SegmentWriter } from './segment.ts'
import { Changed, type Layer, type Table } from './table.ts'

/** Of a snapshot's rows, ms at a stretch. */
const SLICE_MS = 4
const ROWS_PER_LOOK = 100

/** What has become of a key. */
export interface ChangedRow {
  readonly table: Table<unknown>
  readonly namespace: number
  readonly key: Key
  /** Null: deleted. */
  readonly packed: Uint8Array | null
  readonly change: unknown
}

/** Stores the rows, numbers as their differences. */
export async function delta(writer: SegmentWriter, groups: ChangedRows): Promise<void> {
  const pace = new Pace()
  for (const [group, rows] of groups) {
    for (const { table, namespace, key, packed, change } of rows) {
      const [op, value] =
        packed === null ? DELETION : change instanceof Changed ? difference(change, packed) : ([VALUE, packed] as const)
      if (op === null) continue // it is what it was
      if (writer.add(group, table.id, namespace, key, op, value)) await writer.flush()
      if (pace.due()) await yieldTurn()
    }
  }
}

/** By key group, in their order. */
export type ChangedRows = ReadonlyMap<number, readonly ChangedRow[]>
export type ChangedLayer = readonly [Table<unknown>, Layer]

/** Rows are looked at in slices of time: between two the slot does other work. */
export class Pace {
  #rows = 0
  #until = performance.now() + SLICE_MS

  /** After each row: is the slice over? */
  due(): boolean {
    if (++this.#rows % ROWS_PER_LOOK !== 0 || performance.now() < this.#until) return false
    this.#until = performance.now() + SLICE_MS
    return true
  }
}

const NOTHING = new Uint8Array()
const DELETION = [DELETE, NOTHING] as const

function difference({ value, before }: Changed, packed: Uint8Array): readonly [Op | null, Uint8Array] {
  if (value === before) return [null, NOTHING]
  const plus = value > before
  const by = typeof value === 'bigint' ? value - (before as bigint) : value - (before as number)
  // The difference of two safe integers need not be one.
  if (typeof by === 'number' && !Number.isSafeInteger(by)) return [VALUE, packed]
  return plus ? [PLUS, pack(by)] : [MINUS, pack(-by)]
}
