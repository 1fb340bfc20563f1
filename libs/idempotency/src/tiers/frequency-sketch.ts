/**
 * How often a key was asked for lately, for more keys than are held: four counters of a count-min sketch per key, each up to 15. The
 * least of them counts, so another key can only make it greater. After `SAMPLE` times the capacity all are halved: what
 * was often asked for once is forgotten by and by.
 */
const ROWS = 4
const COUNT_MAX = 15
/** Counters of a row per key that is held: collisions of keys that come once must not look like a key that comes again. */
const WIDTH = 4
/** Long enough to tell apart keys that come once in some capacities; long, and it is slow to see that they come no more. */
const SAMPLE = 16
const SEEDS = [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f] as const

/** FNV-1a over UTF-16 units, then mixed: keys that differ in their last digit only must differ everywhere. */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return hash ^ (hash >>> 13)
}

export class FrequencySketch {
  readonly #counters: Uint8Array
  readonly #shift: number
  readonly #sample: number
  #counted = 0

  /** @param capacity keys held, from 1 */
  constructor(capacity: number) {
    const bits = Math.max(4, Math.ceil(Math.log2(capacity * WIDTH)))
    this.#shift = 32 - bits
    this.#counters = new Uint8Array(ROWS << bits)
    this.#sample = SAMPLE * capacity
  }

  /** 0 to 15. */
  estimate(hash: number): number {
    let least = COUNT_MAX
    for (let row = 0; row < ROWS; row++) least = Math.min(least, this.#counters[this.#at(hash, row)]!)
    return least
  }

  /** It was asked for. Only the least counters grow: the others say more already than is true of this key. */
  count(hash: number): void {
    const least = this.estimate(hash)
    if (least < COUNT_MAX)
      for (let row = 0; row < ROWS; row++) {
        const at = this.#at(hash, row)
        if (this.#counters[at] === least) this.#counters[at]!++
      }
    if (++this.#counted < this.#sample) return
    for (let i = 0; i < this.#counters.length; i++) this.#counters[i]! >>>= 1
    this.#counted >>>= 1
  }

  #at(hash: number, row: number): number {
    return (row << (32 - this.#shift)) | (Math.imul(hash, SEEDS[row]!) >>> this.#shift)
  }
}
