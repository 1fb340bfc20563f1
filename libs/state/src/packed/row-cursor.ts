/** A way through rows as they lie, without an object for any of them. */
import { NUMBER_KEY, UTF16_KEY, varintAt } from './key-bytes.ts'
import { HEADER_BYTES, NO_BLOCK, aligned, type Block, type BlockChanges } from './block.ts'
import type { Op } from '../segment.ts'
import type { Key } from '@weir/model'

const NO_BITS = new Int32Array()

/**
 * One class for both ways, whose fields are small whole numbers or objects: the loop of a snapshot takes either in turn, and is compiled anew
 * for another shape.
 */
export class RowCursor {
  readonly #layer: number
  /** Those to go through; of changes, null. */
  readonly #blocks: readonly Block[] | null
  /** Of the last block. */
  readonly #lastBytes: number
  readonly #changes: readonly BlockChanges[]
  /** Which of the blocks or changes comes next. */
  #next = 0
  /** In the block at hand. */
  #nextAt = 0
  /** Of changes: a bit for each word of the block at hand, and which of the 32 at hand are to come. */
  #bits = NO_BITS
  #word = 0
  #rest = 0
  /** The row at hand: where its header begins. */
  block = NO_BLOCK
  at = 0

  private constructor(
    layer: number,
    blocks: readonly Block[] | null,
    lastBytes: number,
    changes: readonly BlockChanges[],
  ) {
    this.#layer = layer
    this.#blocks = blocks
    this.#lastBytes = lastBytes
    this.#changes = changes
  }

  /**
   * All, one behind the other.
   * @param blocks in their order  @param to behind the last row, in the last of them  @param layer rows superseded in it or before are passed over
   */
  static all(blocks: readonly Block[], to: number, layer: number): RowCursor {
    const last = blocks.at(-1)
    return new RowCursor(layer, blocks, last === undefined ? 0 : Math.min(to - last.start, last.bytes.length), [])
  }

  /**
   * Those that have changed, as they lie: read in the order in which they changed, each would keep the memory waiting.
   * @param layer rows superseded in it or before are passed over
   */
  static changed(changes: readonly BlockChanges[], layer: number): RowCursor {
    return new RowCursor(layer, null, 0, changes)
  }

  /** To the next row; false: there is none. */
  next(): boolean {
    return this.#blocks === null ? this.#nextChanged() : this.#nextOf(this.#blocks)
  }

  get op(): Op {
    return (this.block.bytes[this.headAt]! & 3) as Op
  }
  get headAt(): number {
    return this.at + HEADER_BYTES
  }
  get end(): number {
    return this.at + this.block.sizeOf(this.at)
  }
  get key(): Key {
    const { bytes } = this.block
    const kind = bytes[this.headAt]! & ~3
    if (kind === NUMBER_KEY) return bytes.readDoubleLE(this.headAt + 1)
    const { value, end } = varintAt(bytes, this.headAt + 1)
    return bytes.toString(kind === UTF16_KEY ? 'utf16le' : 'utf8', end, end + value)
  }
  /** Packed; a view. */
  get value(): Buffer {
    return this.block.bytes.subarray(this.valueAt, this.end)
  }
  /** Where its packed value begins; it ends where the row does. */
  get valueAt(): number {
    const { bytes } = this.block
    let behind = this.headAt + 9
    if ((bytes[this.headAt]! & NUMBER_KEY) === 0) {
      const { value, end } = varintAt(bytes, this.headAt + 1)
      behind = end + value
    }
    return varintAt(bytes, behind).end
  }

  #nextOf(blocks: readonly Block[]): boolean {
    for (;;) {
      const block = blocks[this.#next]
      if (block === undefined) return false
      const end = this.#next < blocks.length - 1 ? block.used : Math.min(block.used, this.#lastBytes)
      while (this.#nextAt < end) {
        const at = this.#nextAt
        this.#nextAt = at + aligned(block.sizeOf(at))
        if (block.isOver(at, this.#layer)) continue
        this.block = block
        this.at = at
        return true
      }
      this.#next++
      this.#nextAt = 0
    }
  }

  #nextChanged(): boolean {
    for (;;) {
      while (this.#rest === 0) {
        if (++this.#word < this.#bits.length) this.#rest = this.#bits[this.#word]!
        else if (!this.#enter()) return false
      }
      const lowest = this.#rest & -this.#rest
      this.#rest ^= lowest
      const at = (32 * this.#word + 31 - Math.clz32(lowest)) << 2
      if (this.block.isOver(at, this.#layer)) continue
      this.at = at
      return true
    }
  }

  #enter(): boolean {
    const changes = this.#changes[this.#next++]
    if (changes === undefined) return false
    const { block, words, count } = changes
    const bits = new Int32Array((block.used + 127) >>> 7)
    for (let i = 0; i < count; i++) bits[words[i]! >>> 5]! |= 1 << words[i]!
    this.block = block
    this.#bits = bits
    this.#word = -1
    return true
  }
}
