/**
 * Where rows lie, by the hash of their keys: open addressing with linear probing over pairs (hash, place) in one typed array, so that a
 * look-up touches one line of memory, and no collector follows anything. A place is a whole number above 0; which rows of a hash are
 * meant only the rows themselves can tell.
 */
const PAIRS_MIN = 16
/** Of the pairs, before there are twice as many. */
const LOAD_MAX = 0.7
/** Bits above those that the keys of a slot's key groups have in common are to decide (Fibonacci hashing). */
const SPREAD = 0x9e3779b1

export class RowIndex {
  #pairs = new Uint32Array(2 * PAIRS_MIN)
  #shift = 32 - Math.log2(PAIRS_MIN)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The first pair that may be of the hash, to go on from with `next`; `at` gives its place: 0 where there are no more. */
  first(hash: number): number {
    return this.#settle(hash, Math.imul(hash, SPREAD) >>> this.#shift)
  }

  /** Reads the first pair of each hash, whosever it is. */
  touch(hashes: Uint32Array, count: number): number {
    const pairs = this.#pairs
    const shift = this.#shift
    let sum = 0
    for (let i = 0; i < count; i++) sum ^= pairs[2 * (Math.imul(hashes[i]!, SPREAD) >>> shift)]!
    return sum
  }

  next(hash: number, slot: number): number {
    return this.#settle(hash, (slot + 1) & this.#mask)
  }

  at(slot: number): number {
    return this.#pairs[2 * slot + 1]!
  }

  /** Another place for what is in the slot. */
  replace(slot: number, place: number): void {
    this.#pairs[2 * slot + 1] = place
  }

  /** What was at one place is at another. */
  move(hash: number, from: number, to: number): void {
    let slot = this.first(hash)
    while (this.at(slot) !== from) slot = this.next(hash, slot)
    this.replace(slot, to)
  }

  add(hash: number, place: number): void {
    if (++this.#size > (this.#mask + 1) * LOAD_MAX) this.#grow()
    this.#put(hash, place)
  }

  /** Of the pair, if it is there. */
  remove(hash: number, place: number): boolean {
    for (let slot = this.first(hash); this.at(slot) !== 0; slot = this.next(hash, slot)) {
      if (this.at(slot) !== place) continue
      this.#vacate(slot)
      this.#size--
      return true
    }
    return false
  }

  get #mask(): number {
    return this.#pairs.length / 2 - 1
  }

  /** The next slot from here that has the hash, or nothing. */
  #settle(hash: number, slot: number): number {
    const pairs = this.#pairs
    const mask = this.#mask
    while (pairs[2 * slot + 1] !== 0 && pairs[2 * slot] !== hash) slot = (slot + 1) & mask
    return slot
  }

  #put(hash: number, place: number): void {
    const pairs = this.#pairs
    const mask = this.#mask
    let slot = Math.imul(hash, SPREAD) >>> this.#shift
    while (pairs[2 * slot + 1] !== 0) slot = (slot + 1) & mask
    pairs[2 * slot] = hash
    pairs[2 * slot + 1] = place
  }

  /** Who came further than where it belongs because of the one that leaves moves up. */
  #vacate(slot: number): void {
    const pairs = this.#pairs
    const mask = this.#mask
    let free = slot
    for (let at = (slot + 1) & mask; pairs[2 * at + 1] !== 0; at = (at + 1) & mask) {
      const home = Math.imul(pairs[2 * at]!, SPREAD) >>> this.#shift
      if (((at - home) & mask) < ((at - free) & mask)) continue
      pairs[2 * free] = pairs[2 * at]!
      pairs[2 * free + 1] = pairs[2 * at + 1]!
      free = at
    }
    pairs[2 * free + 1] = 0
  }

  #grow(): void {
    const before = this.#pairs
    this.#pairs = new Uint32Array(2 * before.length)
    this.#shift--
    for (let i = 0; i < before.length; i += 2) if (before[i + 1] !== 0) this.#put(before[i]!, before[i + 1]!)
  }
}
