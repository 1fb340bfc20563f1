/** Entries of a resident store into a segment, from where they are: no row is kept. */
import { AHEAD, lookAhead } from './ahead.ts'
import { differenceOf } from './difference.ts'
import type { Part } from './groups.ts'
import { DELETED } from './layer.ts'
import { packReused } from './pack.ts'
import { ROWS_PER_LOOK, type Pace } from './pace.ts'
import type { RowCursor } from './packed/row-cursor.ts'
import { DELETE, MINUS, PLUS, VALUE, type Op, type SegmentWriter } from './segment.ts'
import type { Key } from '@weir/model'

const NOTHING = Buffer.alloc(0)
/** Of a number that is stored as a difference: its own are not known then. */
const NUMBER_BYTES = 9

export class EntryWriter {
  readonly #writer: SegmentWriter
  readonly #pace: Pace

  constructor(writer: SegmentWriter, pace: Pace) {
    this.#writer = writer
    this.#pace = pace
  }

  /** What has become of them, numbers as their differences. What is still as it was at the barrier is settled, but for deletions. */
  async changes(group: number, { table, layer, entries, windows, packed }: Part): Promise<void> {
    const { id } = table
    if (packed !== null) await this.packed(group, id, packed, true)
    for (let i = 0; i < entries.length; i++) {
      if (i % AHEAD === 0) lookAhead(entries, i)
      const entry = entries[i]!
      const { key } = entry
      const { value, before } = layer.cutOf(entry)
      const by = before === undefined || value === before ? null : differenceOf(value, before)
      if (value === DELETED) this.#add(group, id, 0, key, DELETE)
      else if (by !== null) {
        this.#add(group, id, 0, key, by < 0 ? MINUS : PLUS, by < 0 ? -by : by)
        table.settle(entry, layer, NUMBER_BYTES)
      } else if (value === before) table.settle(entry, layer, NUMBER_BYTES)
      else table.settle(entry, layer, this.#add(group, id, 0, key, VALUE, value))
      if (this.#writer.isFull) await this.#writer.flush()
      if (this.#pace.due()) await this.#pace.rest()
    }
    for (const { namespace, key, value } of windows) {
      if (value === DELETED) this.#add(group, id, namespace, key, DELETE)
      else this.#add(group, id, namespace, key, VALUE, value)
      if (this.#writer.isFull) await this.#writer.flush()
      if (this.#pace.due()) await this.#pace.rest()
    }
  }

  /** What there was at the barrier. */
  async all(group: number, { table, layer, entries, windows, packed }: Part): Promise<void> {
    if (packed !== null) await this.packed(group, table.id, packed, false)
    for (let i = 0; i < entries.length; i++) {
      if (i % AHEAD === 0) lookAhead(entries, i)
      const entry = entries[i]!
      const { value } = layer.cutOf(entry)
      if (value === undefined || value === DELETED) continue
      table.settle(entry, layer, this.#add(group, table.id, 0, entry.key, VALUE, value))
      if (this.#writer.isFull) await this.#writer.flush()
      if (this.#pace.due()) await this.#pace.rest()
    }
    for (const { namespace, key, value } of windows) {
      this.#add(group, table.id, namespace, key, VALUE, value)
      if (this.#writer.isFull) await this.#writer.flush()
      if (this.#pace.due()) await this.#pace.rest()
    }
  }

  /** Rows that lie as a segment has them; `isDelta`: deletions too. */
  async packed(group: number, stateId: string, rows: RowCursor, isDelta: boolean): Promise<void> {
    for (;;) {
      const count = this.#writer.addPacked(group, stateId, rows, isDelta, ROWS_PER_LOOK)
      if (this.#pace.due(count)) await this.#pace.rest()
      if (this.#writer.isFull) await this.#writer.flush()
      else if (count < ROWS_PER_LOOK) return
    }
  }

  /** @returns bytes of the value */
  #add(group: number, stateId: string, namespace: number, key: Key, op: Op, value?: unknown): number {
    if (op === DELETE) {
      this.#writer.add(group, stateId, namespace, key, op, NOTHING)
      return 0
    }
    const { bytes, start, end } = packReused(value)
    this.#writer.add(group, stateId, namespace, key, op, bytes, start, end)
    return end - start
  }
}
