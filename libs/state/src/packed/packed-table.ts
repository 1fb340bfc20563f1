/**
 * A state of millions of small values: its rows are packed, beside the heap (`packed-rows.ts`), so that no object is kept for a row, a
 * snapshot copies rows as they lie, and no collector looks at any of it. Values are handed out as they are
 * unpacked, bytes as views of the rows.
 *
 * Under a store that no longer fits its memory LevelDB has the rows (`level.ts`), and here is a part of them: whole blocks leave, the
 * oldest first, those that were there before the generation at hand, and whose rows LevelDB has.
 */
import { timeInBytes } from '@weir/dataflow'
import type { Key } from '@weir/model'
import type { HotBudget } from '../hot-budget.ts'
import { DELETED, type Entry, type Layer } from '../layer.ts'
import { packReused, unpackPart, unpack } from '../pack.ts'
import { Table, type TableOptions } from '../table.ts'
import type { BlockChanges } from './block.ts'
import { KeyBytes } from './key-bytes.ts'
import { KeysAhead } from './keys-ahead.ts'
import { numberIn } from './number-bytes.ts'
import { BEGIN, PackedRows, type Freed, type PutValue } from './packed-rows.ts'
import { RowCursor } from './row-cursor.ts'
import { RowMemory } from './row-memory.ts'

/** Of a row, in the index. */
const BESIDE_BYTES = 16
/** What msgpack has in front of up to 255 bytes. */
const BIN8 = 0xc4
const BIN8_BYTES = 2

/** The rows of one key group at a barrier: all up to `to`, and what had changed. */
export interface PackedSlice {
  readonly rows: PackedRows
  readonly to: number
  readonly changed: number
  readonly changes: readonly BlockChanges[]
}
/** A state's rows at a barrier. */
export interface PackedCut {
  readonly slices: readonly PackedSlice[]
  /** And of key groups that were not in memory yet: what a restore had left of them was there at the barrier too. */
  all(): readonly PackedSlice[]
  readonly changed: number
  /** What had changed before it is told; of a store that is not resident, LevelDB has it and all older rows. */
  settled(): void
}

/** @param layer number of the one the barrier ended */
export const allIn = ({ rows, to }: PackedSlice, layer: number): RowCursor => rows.rows(to, layer)
export const changesIn = ({ changes }: PackedSlice, layer: number): RowCursor => RowCursor.changed(changes, layer)

/** The key group of a key, by its hash. */
type GroupOfHash = (hash: number) => number

export class PackedTable extends Table<unknown> {
  readonly #budget: HotBudget
  readonly #groupOf: GroupOfHash
  readonly #groups: Group[] = []
  readonly #byNumber: (Group | undefined)[] = []
  readonly #memory = new RowMemory()
  readonly #ahead = new KeysAhead()
  /** Of a key that was not read ahead. */
  readonly #own = new KeyBytes()
  #key = this.#own
  readonly #value: PutValue = { bytes: new Uint8Array(), from: 0, to: 0, isRaw: true, isNumber: false }
  /** Looked at last: a text is the same object mostly, and need not be encoded again. */
  #lastKey: Key | null = null
  #last!: Group
  /** What was found elsewhere last: who asks asks again. */
  #foundKey: Key | null = null
  #found: Uint8Array | undefined
  /** Until there are as many as are worth it, its values are entries, as of any table: while they fit the processor's cache those are faster. */
  #isPacked: boolean
  readonly #rowsMin: number
  /** Rows at barriers that are asked for: about as many have been superseded, and may be worth as many that move. */
  #released = 0

  constructor(
    id: string,
    number: number,
    options: TableOptions,
    budget: HotBudget,
    stored: (table: Table<unknown>, key: Key) => Uint8Array | undefined,
    groupOf: GroupOfHash,
    rowsMin: number,
  ) {
    super(id, number, options, budget, stored)
    this.#budget = budget
    this.#groupOf = groupOf
    this.#rowsMin = rowsMin
    this.#isPacked = rowsMin === 0 || !budget.isResident
  }

  override get isDirty(): boolean {
    return super.isDirty || this.#groups.some(({ rows }) => rows.changed > 0)
  }

  override cut(): Layer {
    const layer = super.cut()
    if (!this.#isPacked) return layer
    const slices: PackedSlice[] = []
    for (const { rows } of this.#groups) {
      const { changed, end: to } = rows
      slices.push({ rows, to, changed, changes: rows.cut() })
    }
    const changed = slices.reduce((all, slice) => all + slice.changed, 0)
    layer.packed = {
      ...{ slices, changed },
      all: () => [...slices, ...this.#since(slices)],
      settled: () => this.#settled(slices),
    }
    this.#released += changed
    return layer
  }

  override release(): void {
    super.release()
    if (this.isWatched || !this.#budget.isResident) return
    const freed: Freed = { rows: 0, bytes: 0 }
    let room = this.#released
    this.#released = 0
    for (const { rows, settledTo } of this.#groups) {
      if (room > 0) room -= rows.moveSparse(settledTo, room, this.layer.number, freed)
      rows.freeSuperseded(freed)
    }
    this.#give(freed)
  }

  ahead(keys: readonly Key[], from: number): number {
    if (!this.#isPacked) return keys.length
    this.#lastKey = null // its bytes are overwritten
    return this.#ahead.read(keys, from, this.#memory)
  }

  override get(key: Key, namespace = 0): unknown {
    if (namespace !== 0 || !this.#isPacked) return super.get(key, namespace)
    const { rows } = this.#at(key)
    if (!rows.find(this.#key)) {
      const stored = this.#elsewhere(key)
      return stored === undefined ? undefined : unpack(stored)
    }
    if (rows.foundDeleted) return undefined
    const { value, end } = rows.foundValue(this.#key)
    return valueIn(rows.foundBytes, end, end + value)
  }

  override put(key: Key, value: unknown, namespace = 0): void {
    if (namespace !== 0 || !this.#isPacked) {
      super.put(key, value, namespace)
      return this.#packMany()
    }
    const checked = this.checked(key, value)
    this.#takeLeft(key) // first: it may pack, too
    this.#put(key, this.#packed(checked))
  }

  /** What lies before `end`, which is copied. */
  override putBytes(key: Key, bytes: Uint8Array, end: number): void {
    if (!this.#isPacked) return super.putBytes(key, bytes, end) // by way of `put`
    this.#takeLeft(key)
    this.#put(key, this.#valueOf(bytes, 0, end, true))
  }

  override delete(key: Key, namespace = 0): void {
    if (namespace !== 0 || !this.#isPacked) return super.delete(key, namespace)
    this.#takeLeft(key)
    this.#put(key, null)
  }

  override restoredEntry(key: Key, value: unknown, stored: number): void {
    if (!this.#isPacked) {
      super.restoredEntry(key, value, stored)
      return this.#packMany()
    }
    if (value === undefined) return this.#at(key).rows.forget(this.#key, this.layer.number)
    const { bytes, start, end } = packReused(value)
    this.#putOld(key, this.#valueOf(bytes, start, end, false))
  }

  override adopt(key: Key, packed: Buffer, start: number, end: number): void {
    if (!this.#isPacked) {
      super.adopt(key, packed, start, end)
      return this.#packMany()
    }
    if (!this.#at(key).rows.find(this.#key)) this.#add(key, this.#valueOf(packed, start, end, false), true)
  }

  override get residentCount(): number {
    if (!this.#isPacked) return super.residentCount
    return this.#memory.size
  }

  /** For the few ways on which every row becomes a value again. */
  override *residents(): Generator<Entry> {
    if (!this.#isPacked) return yield* super.residents()
    for (const { rows } of this.#groups) {
      for (const row = rows.rows(rows.end, this.layer.number); row.next();) {
        if (row.op === 0) continue
        const value = valueIn(row.block.bytes, row.valueAt, row.end)
        yield { key: row.key, value, layer: null, before: undefined, group: rows.group, bytes: 0, since: 0 }
      }
    }
  }

  override *meeting(): Generator<void> {
    if (!this.#isPacked) return yield* super.meeting()
    for (const { rows } of [...this.#groups]) {
      for (const row = rows.rows(rows.end, this.layer.number); row.next();) {
        if (row.op !== 0) {
          const { bytes } = row.block
          const at = row.valueAt
          const isStale = bytes[at] === BIN8 ? this.isBefore(timeInBytes(bytes, at + BIN8_BYTES, row.end)) : true
          if (isStale) this.met(row.key, valueIn(bytes, at, row.end))
        }
        yield
      }
    }
  }

  /** None of their rows are of before the barrier, but for the old ones. */
  *#since(slices: readonly PackedSlice[]): Generator<PackedSlice> {
    const known = new Set(slices.map(({ rows }) => rows.group))
    for (const { rows } of this.#groups) if (!known.has(rows.group)) yield { rows, to: BEGIN, changed: 0, changes: [] }
  }

  #settled(slices: readonly PackedSlice[]): void {
    for (const { rows, to, changes } of slices) {
      this.#byNumber[rows.group]!.settledTo = to
      rows.forgetDeletions(changes, this.layer.number)
    }
  }

  override evictSettled(isCrowded: () => boolean): void {
    for (const group of this.#groups) {
      if (!isCrowded()) return
      this.#evict(group, group.settledTo)
    }
  }

  override rotate(): void {
    if (this.hasNothing) this.#isPacked = true // what comes back of LevelDB comes in rows
    super.rotate()
    for (const group of this.#groups) {
      this.#evict(group, Math.min(group.generation, group.settledTo))
      group.generation = group.rows.end
    }
  }

  /**
   * Entries become rows as soon as there are many, so that it takes no longer than for as many, or once they fill half of the memory they
   * may take, of which rows need less: those changed since the last barrier such as the next delta tells. While somebody asks for a
   * barrier it may be an entry that tells what was at it.
   */
  #packMany(): void {
    const { isHalfFull, isResident } = this.#budget
    const isWorthIt = super.residentCount >= this.#rowsMin || isHalfFull
    if (!isWorthIt || !isResident || this.isWatched || this.#isPacked) return
    this.#isPacked = true
    for (const { key, layer, value } of this.handOver())
      this.#add(key, value === DELETED ? null : this.#packed(value), layer === null)
  }

  #evict({ rows }: Group, before: number): void {
    const freed: Freed = { rows: 0, bytes: 0 }
    if (rows.evict(before, freed)) this.incomplete()
    this.#give(freed)
  }

  #takeLeft(key: Key): void {
    if (!this.mayHaveLeft || this.#at(key).rows.find(this.#key)) return
    const left = this.#elsewhere(key)
    if (left !== undefined) this.#add(key, this.#valueOf(left, 0, left.length, false), true)
  }

  #put(key: Key, value: PutValue | null): void {
    // Rows that LevelDB has leave memory by whole blocks: they must be as they were when it took them.
    const isAsked = this.isWatched || !this.#budget.isResident
    const bytes = this.#at(key).rows.put(this.#key, value, this.layer.number, isAsked)
    this.#foundKey = null
    if (bytes > 0) this.#budget.take(bytes, BESIDE_BYTES)
  }

  /** Of a key of which there is no row. @param isOld no delta has to tell it */
  #add(key: Key, value: PutValue | null, isOld: boolean): void {
    const bytes = this.#at(key).rows.add(this.#key, value, this.layer.number, isOld)
    this.#foundKey = null
    this.#budget.take(bytes, BESIDE_BYTES)
  }

  /** No delta has to tell it. */
  #putOld(key: Key, value: PutValue): void {
    const bytes = this.#at(key).rows.putOld(this.#key, value, this.layer.number)
    this.#foundKey = null
    this.#budget.take(bytes, BESIDE_BYTES)
  }

  #packed(value: unknown): PutValue {
    if (value instanceof Uint8Array) return this.#valueOf(value, 0, value.length, true)
    const { bytes, start, end } = packReused(value)
    return this.#valueOf(bytes, start, end, false, typeof value === 'number')
  }

  #valueOf(bytes: Uint8Array, from: number, to: number, isRaw: boolean, isNumber = false): PutValue {
    const value = this.#value
    value.bytes = bytes
    value.from = from
    value.to = to
    value.isRaw = isRaw
    value.isNumber = isNumber
    return value
  }

  /** The key group of the key, which is encoded. */
  #at(key: Key): Group {
    if (key === this.#lastKey) return this.#last
    const ahead = this.#ahead.take(key)
    this.#key = ahead ?? this.#own
    if (ahead === null) this.#own.encode(key)
    this.#lastKey = key
    const number = this.#groupOf(this.#key.hash)
    let group = this.#byNumber[number]
    if (group === undefined) {
      group = this.#byNumber[number] = { rows: new PackedRows(number, this.#memory), generation: 0, settledTo: 0 }
      this.#groups.push(group)
    }
    return (this.#last = group)
  }

  #elsewhere(key: Key): Uint8Array | undefined {
    if (key !== this.#foundKey) {
      this.#found = this.elsewhere(key)
      this.#foundKey = key
    }
    return this.#found
  }

  #give({ rows, bytes }: Freed): void {
    if (rows > 0) this.#budget.give(bytes, rows, BESIDE_BYTES)
  }
}

interface Group {
  readonly rows: PackedRows
  /** Where the rows of the newer generation begin. */
  generation: number
  /** Up to here LevelDB has them. */
  settledTo: number
}

function valueIn(bytes: Buffer, start: number, end: number): unknown {
  const number = numberIn(bytes, start)
  if (number !== undefined) return number
  return bytes[start] === BIN8 ? bytes.subarray(start + BIN8_BYTES, end) : unpackPart(bytes, start, end)
}
