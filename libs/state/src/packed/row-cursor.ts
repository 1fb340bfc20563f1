/** A way through rows as they lie, without an object for any of them. */
import { NUMBER_KEY, UTF16_KEY, varintAt } from './key-bytes.ts'
import { HEADER_BYTES, aligned, type Block, type BlockChanges } from './block.ts'
import type { Op } from '../segment.ts'
import type { Key } from '@weir/model'

export abstract class RowCursor {
  /** The row at hand: where its header begins. */
  block!: Block
  at = 0

  /** To the next row; false: there is none. */
  abstract next(): boolean

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
}

/** All, one behind the other. */
export class AllRows extends RowCursor {
  readonly #blocks: readonly Block[]
  readonly #to: number
  readonly #layer: number
  #next = 0
  #nextAt = 0

  /** @param blocks in their order  @param to behind the last row  @param layer rows superseded in it or before are passed over */
  constructor(blocks: readonly Block[], to: number, layer: number) {
    super()
    this.#blocks = blocks
    this.#to = to
    this.#layer = layer
  }

  next(): boolean {
    for (;;) {
      const block = this.#blocks[this.#next]
      if (block === undefined) return false
      while (this.#nextAt < block.used && block.start + this.#nextAt < this.#to) {
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
}

/** Those that have changed, as they lie: read in the order in which they changed, each would keep the memory waiting. */
export class ChangedRows extends RowCursor {
  readonly #changes: readonly BlockChanges[]
  readonly #layer: number
  #next = 0
  /** Of the block at hand, a bit for each word. */
  #bits = NO_BITS
  #at = 0
  /** Of the 32 words at hand, those to come. */
  #rest = 0

  /** @param layer rows superseded in it or before are passed over */
  constructor(changes: readonly BlockChanges[], layer: number) {
    super()
    this.#changes = changes
    this.#layer = layer
  }

  next(): boolean {
    for (;;) {
      while (this.#rest === 0) {
        if (++this.#at < this.#bits.length) this.#rest = this.#bits[this.#at]!
        else if (!this.#enter()) return false
      }
      const lowest = this.#rest & -this.#rest
      this.#rest ^= lowest
      const at = (32 * this.#at + 31 - Math.clz32(lowest)) << 2
      if (this.block.isOver(at, this.#layer)) continue
      this.at = at
      return true
    }
  }

  #enter(): boolean {
    const changes = this.#changes[this.#next++]
    if (changes === undefined) return false
    const { block, words, count } = changes
    const bits = new Uint32Array((block.used + 127) >>> 7)
    for (let i = 0; i < count; i++) bits[words[i]! >>> 5]! |= 1 << words[i]!
    this.block = block
    this.#bits = bits
    this.#at = -1
    return true
  }
}
const NO_BITS = new Uint32Array()
