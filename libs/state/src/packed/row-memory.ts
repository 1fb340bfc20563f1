/**
 * What the key groups of a state share: one index over their rows, and the numbers of the blocks these lie in. One index, since the
 * processor then can read for many keys at once (`readAhead`): where they lie is random, and asked for one after the other the
 * memory's answers, 0.15 to 0.25 µs each, were most of what the state cost a record of a million keys.
 */
import { HEADER_BYTES, SPARE_WORDS, type Block } from './block.ts'
import type { KeyBytes } from './key-bytes.ts'
import { RowIndex } from './row-index.ts'

/** A place names its block and a word in it. */
const PLACE_BITS = 16
const BLOCKS_MAX = 2 ** (32 - PLACE_BITS)
const WORD_MASK = 2 ** PLACE_BITS - 1
/** Of block 0, which is none. */
const NOTHING = new Uint32Array(1 + SPARE_WORDS)
const HEADER_WORDS = HEADER_BYTES / 4
/** Of a row's head. */
export const OP_MASK = 3
/** Keys that are read ahead at once: their rows still fit the processor's nearest cache when they are asked for. */
export const AHEAD = 64

export const atOf = (place: number): number => (place & WORD_MASK) << 2
export const placeOf = (block: Block, at: number): number => ((block.number << PLACE_BITS) | (at >>> 2)) >>> 0

/** What was read ahead goes here, else a compiler would leave the reading out. Nobody looks at it. */
const seen = new Int32Array(1)

export class RowMemory {
  readonly #index = new RowIndex()
  readonly #blocks: (Block | null)[] = [null]
  /** Of the blocks, by their numbers. */
  readonly #words: Uint32Array[] = [NOTHING]
  readonly #vacant: number[] = []
  /** Which key was looked for last, and its slot: who changes a value has read it. */
  #wanted: KeyBytes | null = null
  #serial = 0
  #slot = 0
  /** Of what is read ahead. */
  readonly #hashes = new Uint32Array(AHEAD)
  readonly #places = new Uint32Array(AHEAD)

  /** Keys of which there is a row. */
  get size(): number {
    return this.#index.size
  }

  /** Of the key's row; 0: there is none. */
  placeOf(key: KeyBytes): number {
    return this.#index.at(this.#slotOf(key))
  }

  blockOf(place: number): Block {
    return this.#blocks[place >>> PLACE_BITS]!
  }

  add(hash: number, place: number): void {
    this.#wanted = null
    this.#index.add(hash, place)
  }

  /** The key's row is at another place. */
  replace(key: KeyBytes, place: number): void {
    this.#index.replace(this.#slotOf(key), place)
  }

  /** What was at one place is at another. */
  move(hash: number, from: number, to: number): void {
    this.#index.move(hash, from, to)
  }

  /** @returns whether it was there */
  remove(hash: number, place: number): boolean {
    this.#wanted = null
    return this.#index.remove(hash, place)
  }

  /** A block gets a number. */
  begin(blockOf: (number: number) => Block): Block {
    const number = this.#vacant.pop() ?? this.#blocks.length
    if (number >= BLOCKS_MAX) throw new RangeError(`a state has ${BLOCKS_MAX} blocks of rows in memory`)
    const block = (this.#blocks[number] = blockOf(number))
    this.#words[number] = block.words
    return block
  }

  free(number: number): void {
    this.#blocks[number] = null
    this.#words[number] = NOTHING
    this.#vacant.push(number)
  }

  /** Reads what looks for the first `count` of the keys read first. */
  readAhead(keys: readonly KeyBytes[], count: number): void {
    const index = this.#index
    const words = this.#words
    const hashes = this.#hashes
    const places = this.#places
    for (let i = 0; i < count; i++) hashes[i] = keys[i]!.hash
    let sum = index.touch(hashes, count)
    for (let i = 0; i < count; i++) places[i] = index.at(index.first(hashes[i]!))
    for (let i = 0; i < count; i++) {
      const place = places[i]!
      const of = words[place >>> PLACE_BITS]!
      const at = place & WORD_MASK
      sum ^= of[at]! ^ of[at + SPARE_WORDS]!
    }
    seen[0] = sum
  }

  /** The same for `move`, of rows of one block. */
  readAheadToMove(block: Block, ats: Uint32Array, count: number): void {
    const hashes = this.#hashes
    for (let i = 0; i < count; i++) hashes[i] = block.hashOf(ats[i]!)
    seen[0] = this.#index.touch(hashes, count)
  }

  /** Of the key's row, or of where it would be. */
  #slotOf(key: KeyBytes): number {
    if (key === this.#wanted && key.serial === this.#serial) return this.#slot
    const index = this.#index
    let slot = index.first(key.hash)
    for (;;) {
      const place = index.at(slot)
      if (place === 0 || this.#isOf(place, key)) break
      slot = index.next(key.hash, slot)
    }
    this.#wanted = key
    this.#serial = key.serial
    return (this.#slot = slot)
  }

  #isOf(place: number, key: KeyBytes): boolean {
    const words = this.#words[place >>> PLACE_BITS]!
    const at = (place & WORD_MASK) + HEADER_WORDS
    const wanted = key.words
    const bytes = 1 + key.length
    const last = (bytes - 1) >>> 2
    const lastMask = FIRST_BYTES[bytes - 4 * last]!
    if (last === 0) return ((words[at]! ^ wanted[0]!) & lastMask & KIND_MASK) === 0
    if (((words[at]! ^ wanted[0]!) & KIND_MASK) !== 0) return false
    for (let i = 1; i < last; i++) if (words[at + i] !== wanted[i]) return false
    return ((words[at + last]! ^ wanted[last]!) & lastMask) === 0
  }
}

/** A word as it lies in memory: keys are compared by words, whatever order its bytes have. */
const wordOf = (...bytes: number[]): number => new Uint32Array(new Uint8Array(bytes).buffer)[0]!
const FIRST_BYTES = [
  0,
  wordOf(255, 0, 0, 0),
  wordOf(255, 255, 0, 0),
  wordOf(255, 255, 255, 0),
  wordOf(255, 255, 255, 255),
]
/** All but what a row does. */
const KIND_MASK = wordOf(255 & ~OP_MASK, 255, 255, 255)
