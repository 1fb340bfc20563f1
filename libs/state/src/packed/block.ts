/**
 * Memory of rows, one behind the other.
 *
 *     u32le layer: n where it was superseded in layer n, ~n where it is as it is since layer n, which has to tell it, or 0 ·
 *     u32le size · u32le hash of the key ·
 *     head · key · (varint length · msgpack value)?                          as in a segment (`segment.ts`), but for the state's number
 */
export const HEADER_BYTES = 12
/** Blocks grow from the one to the other; a larger row has a block of its own. */
export const BLOCK_BYTES_MIN = 1024
export const BLOCK_BYTES_MAX = 256 * 1024
const LAYER = 0
const SIZE = 1
const HASH = 2
/** Behind a block, so that what a row has behind its header can be read for any row at once (`RowMemory.readAhead`). */
export const SPARE_WORDS = 7
const CHANGES_MIN = 64
/** The layers of rows that were superseded; those of others are above them all. */
export const LAYER_MAX = 0x7fffffff
/** Rows begin where words do. */
export const aligned = (bytes: number): number => (bytes + 3) & ~3

/** Of a block between two barriers: the words at which rows begin that have changed, the first `count`. */
export interface BlockChanges {
  readonly block: Block
  readonly words: Uint16Array
  readonly count: number
}
const NONE = new Uint16Array()

export class Block {
  readonly number: number
  /** Of its first byte, counted through all blocks of a key group ever. */
  readonly start: number
  readonly bytes: Buffer
  readonly words: Uint32Array
  used = 0
  rows = 0
  superseded = 0
  /** Words at which rows begin that have changed since the last barrier, in the order in which they did. */
  #changes = NONE
  #changed = 0

  constructor(number: number, start: number, size: number) {
    this.number = number
    this.start = start
    const memory = new ArrayBuffer(aligned(size) + 4 * SPARE_WORDS)
    this.bytes = Buffer.from(memory, 0, aligned(size))
    this.words = new Uint32Array(memory)
  }

  get end(): number {
    return this.start + this.bytes.length
  }

  hasRoom(size: number): boolean {
    return this.used + size <= this.bytes.length
  }

  /** @returns where it begins; its head is behind `HEADER_BYTES` */
  begin(size: number, hash: number): number {
    const at = this.used
    const word = at >>> 2
    this.words[word + LAYER] = 0
    this.words[word + SIZE] = size
    this.words[word + HASH] = hash
    this.used = at + aligned(size)
    this.rows++
    return at
  }

  /** As many words as before. */
  resize(at: number, size: number): void {
    this.words[(at >>> 2) + SIZE] = size
  }

  isChanged(at: number, layer: number): boolean {
    return this.words[(at >>> 2) + LAYER]! === ~layer >>> 0
  }

  /** For the first time in this layer. */
  change(at: number, layer: number): void {
    const word = at >>> 2
    this.words[word + LAYER] = ~layer
    if (this.#changed === this.#changes.length) {
      const changes = new Uint16Array(Math.max(2 * this.#changed, CHANGES_MIN))
      changes.set(this.#changes)
      this.#changes = changes
    }
    this.#changes[this.#changed++] = word
  }

  /** The barrier. @returns what has changed since the one before; null: nothing */
  cut(): BlockChanges | null {
    if (this.#changed === 0) return null
    const changes = { block: this, words: this.#changes, count: this.#changed }
    this.#changes = NONE
    this.#changed = 0
    return changes
  }

  supersede(at: number, layer: number): void {
    this.words[(at >>> 2) + LAYER] = layer
    this.superseded++
  }

  /** Superseded in the layer or before? */
  isOver(at: number, layer: number): boolean {
    const superseded = this.words[(at >>> 2) + LAYER]!
    return superseded !== 0 && superseded <= layer
  }

  sizeOf(at: number): number {
    return this.words[(at >>> 2) + SIZE]!
  }

  hashOf(at: number): number {
    return this.words[(at >>> 2) + HASH]!
  }
}

/** Before there is one at hand. */
export const NO_BLOCK = new Block(0, 0, 0)
