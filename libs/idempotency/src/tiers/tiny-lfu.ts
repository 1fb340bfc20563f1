/**
 * W-TinyLFU (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy"). New keys come into a small window;
 * what falls out of it takes the place of the least recent one on probation only if it was asked for more often lately.
 * Keys that are found on probation are protected; the least recent protected one goes back when there are too many.
 *
 *     new → window → (asked for more often?) → probation ⇄ protected
 *
 * So keys that come once pass through the window and drive out nothing.
 */
import { FrequencySketch, hashOf } from './frequency-sketch.ts'

const WINDOW_SHARE = 0.01
const PROTECTED_SHARE = 0.8

/** A node of a ring: the ring's own, or one of an entry. */
class Node<V> {
  before: Node<V> = this
  after: Node<V> = this
  ring: Ring<V> | null = null
  readonly key: string
  readonly hash: number
  value: V

  constructor(key: string, hash: number, value: V) {
    this.key = key
    this.hash = hash
    this.value = value
  }
}

/** From the least to the most recently used. */
class Ring<V> {
  size = 0
  readonly #own = new Node<V>('', 0, undefined as V)

  get least(): Node<V> | null {
    return this.size === 0 ? null : this.#own.after
  }

  /** As the most recently used, out of whichever ring it was in. */
  take(node: Node<V>): void {
    node.ring?.drop(node)
    node.ring = this
    node.before = this.#own.before
    node.after = this.#own
    node.before.after = node
    this.#own.before = node
    this.size++
  }

  drop(node: Node<V>): void {
    node.before.after = node.after
    node.after.before = node.before
    node.ring = null
    this.size--
  }
}

export class TinyLfu<V> {
  readonly #capacity: number
  readonly #windowMax: number
  readonly #protectedMax: number
  readonly #sketch: FrequencySketch
  readonly #nodes = new Map<string, Node<V>>()
  readonly #window = new Ring<V>()
  readonly #probation = new Ring<V>()
  readonly #protected = new Ring<V>()

  /** @param capacity entries, from 2 */
  constructor(capacity: number) {
    this.#capacity = capacity
    this.#windowMax = Math.max(1, Math.floor(capacity * WINDOW_SHARE))
    this.#protectedMax = Math.floor((capacity - this.#windowMax) * PROTECTED_SHARE)
    this.#sketch = new FrequencySketch(capacity)
  }

  get size(): number {
    return this.#nodes.size
  }

  get(key: string): V | undefined {
    const node = this.#nodes.get(key)
    if (node === undefined) return undefined
    this.#sketch.count(node.hash)
    this.#used(node)
    return node.value
  }

  /** May be gone again at once: when others are asked for more often. */
  set(key: string, value: V): void {
    const known = this.#nodes.get(key)
    if (known !== undefined) {
      known.value = value
      this.#sketch.count(known.hash)
      return this.#used(known)
    }
    const node = new Node(key, hashOf(key), value)
    this.#sketch.count(node.hash)
    this.#nodes.set(key, node)
    this.#window.take(node)
    if (this.#window.size > this.#windowMax) this.#admit(this.#window.least!)
  }

  delete(key: string): void {
    const node = this.#nodes.get(key)
    if (node !== undefined) this.#remove(node)
  }

  clear(): void {
    for (const node of [...this.#nodes.values()]) this.#remove(node)
  }

  #used(node: Node<V>): void {
    if (node.ring === this.#window) return this.#window.take(node)
    this.#protected.take(node)
    if (this.#protected.size > this.#protectedMax) this.#probation.take(this.#protected.least!)
  }

  #admit(candidate: Node<V>): void {
    const victim = this.#probation.least ?? this.#protected.least
    const full = this.#nodes.size > this.#capacity
    if (full && victim !== null && this.#sketch.estimate(candidate.hash) <= this.#sketch.estimate(victim.hash))
      return this.#remove(candidate)
    if (full && victim !== null) this.#remove(victim)
    this.#probation.take(candidate)
  }

  #remove(node: Node<V>): void {
    node.ring!.drop(node)
    this.#nodes.delete(node.key)
  }
}
