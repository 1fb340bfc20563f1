/**
 * Memory of rows, one behind the other. What changes in a row that a barrier has seen is only that it has been superseded.
 *
 *     u32le superseded in (number of a layer; 0: not) · u32le size · u32le hash of the key ·
 *     head · key · (varint length · msgpack value)?                          as in a segment (`segment.ts`), but for the state's number
 */
export const HEADER_BYTES = 12
/** Blocks grow from the one to the other; a larger row has a block of its own. */
export const BLOCK_BYTES_MIN = 1024
export const BLOCK_BYTES_MAX = 256 * 1024
const SUPERSEDED = 0
const SIZE = 1
const HASH = 2
/** Rows begin where words do. */
export const aligned = (bytes: number): number => (bytes + 3) & ~3

export class Block {
  readonly number: number
  /** Of its first byte, counted through all blocks of a key group ever. */
  readonly start: number
  readonly bytes: Buffer
  readonly words: Uint32Array
  used = 0
  rows = 0
  superseded = 0

  constructor(number: number, start: number, size: number) {
    this.number = number
    this.start = start
    const memory = new ArrayBuffer(aligned(size))
    this.bytes = Buffer.from(memory)
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
    this.words[word + SUPERSEDED] = 0
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

  supersede(at: number, layer: number): void {
    this.words[(at >>> 2) + SUPERSEDED] = layer
    this.superseded++
  }

  supersededIn(at: number): number {
    return this.words[(at >>> 2) + SUPERSEDED]!
  }

  sizeOf(at: number): number {
    return this.words[(at >>> 2) + SIZE]!
  }

  hashOf(at: number): number {
    return this.words[(at >>> 2) + HASH]!
  }
}
