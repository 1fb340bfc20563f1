/**
 * The rows of one key group of one state, beside the JavaScript heap, in blocks under the index of the state (`row-memory.ts`). A row
 * that a barrier has seen stays as it is while somebody asks what was at that barrier: what becomes of its key is a row behind the
 * others then, a deletion too, and since a row knows in which layer it was superseded, those up to a barrier are what there was at it.
 * Otherwise a number is written over. What has changed since the last barrier, the next delta, each block knows.
 *
 *     old ▓▓▓▓▒▓▓▓ ▓▒▓   new ▓▓░▓▒▓▓▓ ▓▓▓▓▓▓┊▒▒ ▒▒▒▒         ▒ changed, ░ superseded
 *                                           ╰ barrier
 *
 * What no delta had to tell (restored rows), and what has moved, is with the old ones, which were there at every barrier. A block is freed
 * when all its rows are superseded, as they are where rows expire in the order in which they came; where most are, the others move.
 */
import type { Op } from '../segment.ts'
import {
  BLOCK_BYTES_MAX,
  BLOCK_BYTES_MIN,
  Block,
  HEADER_BYTES,
  LAYER_MAX,
  NO_BLOCK,
  aligned,
  type BlockChanges,
} from './block.ts'
import { putVarint, varintAt, varintBytes, type KeyBytes } from './key-bytes.ts'
import { NUMBER_BYTES_MAX, isNumberAt } from './number-bytes.ts'
import { RowCursor } from './row-cursor.ts'
import { AHEAD, OP_MASK, atOf, placeOf, type RowMemory } from './row-memory.ts'

const BLOCK_GROWTH = 4
const DELETE = 0
const VALUE = 1
/** Of a block, superseded, before the rest of its rows move. */
const SPARSE = 0.5
const BIN8 = 0xc4
const BIN16 = 0xc5
const BIN32 = 0xc6

/** Bytes as they are put: `from` to `to`; `isRaw`: not msgpack yet, but what msgpack is to hold; `isNumber`: what `numberIn` reads. */
export interface PutValue {
  bytes: Uint8Array
  from: number
  to: number
  isRaw: boolean
  isNumber: boolean
}

/** What has left memory. */
export interface Freed {
  rows: number
  bytes: number
}

export class PackedRows {
  readonly group: number
  readonly #memory: RowMemory
  readonly #old = new Run(OLDEST)
  readonly #new = new Run(BEGIN)
  /** Rows that have changed since the last barrier. */
  changed = 0
  /** Rows that say of a key that it is gone. */
  deletions = 0
  /** What the last `find` has found. */
  #at = 0
  #block = NO_BLOCK
  /** @param memory shared by all key groups of the state */
  constructor(group: number, memory: RowMemory) {
    this.group = group
    this.#memory = memory
  }

  /** Behind the last row. */
  get end(): number {
    return this.#new.end
  }

  /** The barrier. @returns what has changed since the one before */
  cut(): readonly BlockChanges[] {
    this.changed = 0
    const changes: BlockChanges[] = []
    for (const { blocks } of [this.#old, this.#new]) {
      for (const block of blocks) {
        const of = block.cut()
        if (of !== null) changes.push(of)
      }
    }
    return changes
  }

  /** Is there a row of the key? Then `foundBytes` from `foundAt` is its value, unless `foundDeleted`. */
  find(key: KeyBytes): boolean {
    const place = this.#memory.placeOf(key)
    if (place === 0) return false
    this.#block = this.#memory.blockOf(place)
    this.#at = atOf(place)
    return true
  }
  get foundDeleted(): boolean {
    return (this.#block.bytes[this.#at + HEADER_BYTES]! & OP_MASK) === DELETE
  }
  get foundBytes(): Buffer {
    return this.#block.bytes
  }
  /** From where to where, after `find` with this key. */
  foundValue(key: KeyBytes): Readonly<{ value: number; end: number }> {
    return varintAt(this.#block.bytes, this.#at + HEADER_BYTES + 1 + key.length)
  }

  /**
   * @param value null: it is gone
   * @param isAsked somebody asks what was at a barrier
   * @returns bytes it takes; 0: those of the row before
   */
  put(key: KeyBytes, value: PutValue | null, layer: number, isAsked: boolean): number {
    const before = this.#memory.placeOf(key)
    if (before === 0) return this.add(key, value, layer, false)
    if (value !== null && this.#writeOver(before, key, value, layer, isAsked)) return 0
    return this.#instead(key, before, this.#changed(key, value, layer), layer)
  }

  /** No delta has to tell it. @returns bytes it takes */
  putOld(key: KeyBytes, value: PutValue, layer: number): number {
    const before = this.#memory.placeOf(key)
    if (before === 0) return this.add(key, value, layer, true)
    return this.#instead(key, before, this.#append(key, value, this.#old), layer)
  }

  /** Of a key of which there is no row. @param isOld no delta has to tell it @returns bytes it takes */
  add(key: KeyBytes, value: PutValue | null, layer: number, isOld: boolean): number {
    const place = isOld ? this.#append(key, value, this.#old) : this.#changed(key, value, layer)
    this.#memory.add(key.hash, place)
    return this.#bytesAt(place)
  }

  /** As if it had never been there: before the first barrier, or of a deletion that is told. */
  forget(key: KeyBytes, layer: number): void {
    const place = this.#memory.placeOf(key)
    if (place === 0) return
    this.#memory.remove(key.hash, place)
    this.#supersede(place, layer)
  }

  /** Rows that say of keys that they are gone: their delta has said it, and nothing older is left anywhere. */
  forgetDeletions(changes: readonly BlockChanges[], layer: number): void {
    if (this.deletions === 0) return
    for (const rows = RowCursor.changed(changes, 0); rows.next();) {
      if (rows.op !== DELETE) continue
      const place = placeOf(rows.block, rows.at)
      if (this.#memory.remove(rows.block.hashOf(rows.at), place)) this.#supersede(place, layer)
    }
  }

  /** Rows up to a place as they were at the barrier that ended the layer. Must not be freed meanwhile. */
  rows(to: number, layer: number): RowCursor {
    const blocks = [...this.#old.blocks, ...this.#new.blocks]
    return RowCursor.all(
      blocks.filter((block) => block.start < to),
      to,
      layer,
    )
  }

  /** Blocks that have only superseded rows. Nobody asks any more what was at a barrier. */
  freeSuperseded(freed: Freed): void {
    this.#free((block) => block.superseded === block.rows, freed)
  }

  /**
   * The oldest rows, whole blocks of them, up to a place: they are somewhere else. @returns whether any of them counted
   */
  evict(before: number, freed: Freed): boolean {
    let counted = false
    this.#free((block) => {
      if (block.end > before) return false
      if (block.superseded < block.rows) {
        counted = true
        for (const rows = RowCursor.all([block], block.end, LAYER_MAX); rows.next();)
          this.#memory.remove(block.hashOf(rows.at), placeOf(block, rows.at))
      }
      return true
    }, freed)
    return counted
  }

  /**
   * The rows of blocks that are mostly superseded move behind the old ones, so that the blocks can be freed. Of rows up to a place: their
   * deltas are told, and their deletions forgotten. Nobody asks any more what was at a barrier. @returns how many
   */
  moveSparse(upTo: number, rowsMax: number, layer: number, freed: Freed): number {
    let moved = 0
    for (const block of [...this.#old.blocks, ...this.#new.blocks]) {
      const { rows, superseded } = block
      if (this.#isTail(block) || block.end > upTo) continue
      if (superseded === rows || superseded < rows * SPARSE) continue
      if (moved >= rowsMax) break
      const cursor = RowCursor.all([block], block.end, LAYER_MAX)
      for (let count = AHEAD; count === AHEAD; moved += count) {
        for (count = 0; count < AHEAD && cursor.next(); count++) ats[count] = cursor.at
        this.#memory.readAheadToMove(block, ats, count)
        for (let i = 0; i < count; i++) freed.bytes -= this.#move(block, ats[i]!, layer)
        freed.rows -= count
      }
      block.superseded = rows
      block.cut() // its changes are told from where they are now
    }
    return moved
  }

  /** @returns bytes it takes */
  #move(block: Block, at: number, layer: number): number {
    const size = block.sizeOf(at)
    const hash = block.hashOf(at)
    const into = this.#room(size, this.#old)
    const to = into.begin(size, hash)
    copy(block.bytes, at + HEADER_BYTES, at + size, into.bytes, to + HEADER_BYTES)
    if (block.isChanged(at, layer)) into.change(to, layer)
    this.#memory.move(hash, placeOf(block, at), placeOf(into, to))
    return aligned(size)
  }

  /** False: there must be a row behind the one there. */
  #writeOver(place: number, key: KeyBytes, value: PutValue, layer: number, isAsked: boolean): boolean {
    const { bytes, from, to, isNumber } = value
    if (!isNumber) return false // views of its bytes may have been handed out
    const block = this.#memory.blockOf(place)
    const at = atOf(place)
    const isChanged = block.isChanged(at, layer)
    if (isAsked && !isChanged) return false
    const valueAt = at + HEADER_BYTES + 1 + key.length
    const into = block.bytes
    if ((into[at + HEADER_BYTES]! & OP_MASK) === DELETE) return false
    if (into[valueAt]! > NUMBER_BYTES_MAX || !isNumberAt(into, valueAt + 1)) return false
    const size = valueAt + 1 + (to - from) - at
    if (aligned(size) !== aligned(block.sizeOf(at))) return false
    into[valueAt] = to - from
    copy(bytes, from, to, into, valueAt + 1)
    block.resize(at, size)
    if (!isChanged) {
      block.change(at, layer)
      this.changed++
    }
    return true
  }

  /** Behind the others. @returns its place */
  #changed(key: KeyBytes, value: PutValue | null, layer: number): number {
    this.changed++
    if (value === null) this.deletions++
    const place = this.#append(key, value, this.#new)
    this.#memory.blockOf(place).change(atOf(place), layer)
    return place
  }

  /** The key is found at another place from now on. @returns bytes it takes there */
  #instead(key: KeyBytes, before: number, place: number, layer: number): number {
    this.#supersede(before, layer)
    this.#memory.replace(key, place)
    return this.#bytesAt(place)
  }

  #bytesAt(place: number): number {
    return aligned(this.#memory.blockOf(place).sizeOf(atOf(place)))
  }

  #supersede(place: number, layer: number): void {
    const block = this.#memory.blockOf(place)
    const at = atOf(place)
    if ((block.bytes[at + HEADER_BYTES]! & OP_MASK) === DELETE) this.deletions--
    block.supersede(at, layer)
  }

  #append(key: KeyBytes, value: PutValue | null, run: Run): number {
    const head = HEADER_BYTES + 1 + key.length
    if (value === null) {
      const block = this.#room(head, run)
      const at = block.begin(head, key.hash)
      putKey(key, DELETE, block, at + HEADER_BYTES)
      return placeOf(block, at)
    }
    const { bytes, from, to, isRaw } = value
    const count = to - from
    const packed = isRaw ? count + (count < 0x100 ? 2 : count < 0x10000 ? 3 : 5) : count
    const size = head + varintBytes(packed) + packed
    const block = this.#room(size, run)
    const at = block.begin(size, key.hash)
    const into = block.bytes
    let end = putVarint(packed, into, putKey(key, VALUE, block, at + HEADER_BYTES))
    if (isRaw) end = putBinHead(count, into, end)
    copy(bytes, from, to, into, end)
    return placeOf(block, at)
  }

  /** The block a row of the size goes into. */
  #room(size: number, run: Run): Block {
    const { tail } = run
    if (tail !== null && tail.hasRoom(size)) return tail
    return this.#memory.begin((number) => run.begin(number, aligned(size)))
  }

  #free(isOver: (block: Block) => boolean, freed: Freed): void {
    for (const run of [this.#old, this.#new]) {
      const gone = run.blocks.filter((block) => block !== run.tail && isOver(block))
      if (gone.length === 0) continue
      run.blocks = run.blocks.filter((block) => !gone.includes(block))
      for (const { number, rows, used } of gone) {
        this.#memory.free(number)
        freed.rows += rows
        freed.bytes += used
      }
    }
  }

  #isTail(block: Block): boolean {
    return block === this.#old.tail || block === this.#new.tail
  }
}

/** Blocks in the order in which they were begun. */
class Run {
  blocks: Block[] = []
  readonly #start: number

  constructor(start: number) {
    this.#start = start
  }

  get tail(): Block | null {
    return this.blocks.at(-1) ?? null
  }

  /** Behind the last row. */
  get end(): number {
    const { tail } = this
    return tail === null ? this.#start : tail.start + tail.used
  }

  begin(number: number, size: number): Block {
    const { tail } = this
    const bytes = Math.min(tail === null ? BLOCK_BYTES_MIN : tail.bytes.length * BLOCK_GROWTH, BLOCK_BYTES_MAX)
    const block = new Block(number, tail?.end ?? this.#start, Math.max(bytes, size))
    this.blocks.push(block)
    return block
  }
}

/** Rows on their way. */
const ats = new Uint32Array(AHEAD)
/** Where old rows begin, and where the others do: the old ones never reach it. */
const OLDEST = -(2 ** 52)
export const BEGIN = 0

/** By words: what it writes behind the key is the row's. @returns behind it */
function putKey(key: KeyBytes, op: Op, { words, bytes }: Block, at: number): number {
  const from = key.words
  const to = at >>> 2
  const end = at + 1 + key.length
  const count = (4 + key.length) >>> 2
  if (count <= SHORT_WORDS) for (let i = 0; i < count; i++) words[to + i] = from[i]!
  else words.set(from.subarray(0, count), to)
  bytes[at]! |= op
  return end
}

function putBinHead(count: number, into: Buffer, at: number): number {
  if (count < 0x100) {
    into[at] = BIN8
    into[at + 1] = count
    return at + 2
  }
  if (count < 0x10000) {
    into[at] = BIN16
    return into.writeUInt16BE(count, at + 1)
  }
  into[at] = BIN32
  return into.writeUInt32BE(count, at + 1)
}

/** Copied in a loop up to here: a call costs more. */
const SHORT_BYTES = 64
const SHORT_WORDS = SHORT_BYTES / 4

function copy(from: Uint8Array, start: number, end: number, into: Buffer, at: number): number {
  const count = end - start
  if (count <= SHORT_BYTES) for (let i = 0; i < count; i++) into[at + i] = from[start + i]!
  else into.set(from.subarray(start, end), at)
  return at + count
}
