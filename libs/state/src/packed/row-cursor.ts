/** A way through rows as they lie, without an object for any of them. */
import { NUMBER_KEY, UTF16_KEY, varintAt } from './key-bytes.ts'
import { HEADER_BYTES, aligned, type Block } from './block.ts'
import type { Op } from '../segment.ts'
import type { Key } from '@weir/model'

export class RowCursor {
  readonly #blocks: readonly Block[]
  readonly #from: number
  readonly #to: number
  readonly #layer: number
  #next = 0
  #nextAt = 0
  /** The row at hand: where its header begins. */
  block!: Block
  at = 0

  /** @param blocks in their order, those between `from` and `to`  @param layer rows superseded in it or before are passed over */
  constructor(blocks: readonly Block[], from: number, to: number, layer: number) {
    this.#blocks = blocks
    this.#from = from
    this.#to = to
    this.#layer = layer
    this.#enter()
  }

  /** To the next row; false: there is none. */
  next(): boolean {
    for (;;) {
      const block = this.#blocks[this.#next]
      if (block === undefined) return false
      while (this.#nextAt < block.used && block.start + this.#nextAt < this.#to) {
        const at = this.#nextAt
        this.#nextAt = at + aligned(block.sizeOf(at))
        const superseded = block.supersededIn(at)
        if (superseded !== 0 && superseded <= this.#layer) continue
        this.block = block
        this.at = at
        return true
      }
      this.#next++
      this.#enter()
    }
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

  #enter(): void {
    const block = this.#blocks[this.#next]
    this.#nextAt = block === undefined ? 0 : Math.max(this.#from - block.start, 0)
  }
}
