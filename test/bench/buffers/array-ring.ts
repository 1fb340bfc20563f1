/** In one thread: a ring in an array that is made once. */
import { checkCapacity, type BoundedBuffer } from './bounded-buffer.ts'

export class ArrayRing<T> implements BoundedBuffer<T> {
  readonly capacity: number
  readonly #values: (T | undefined)[]
  #head = 0
  #size = 0

  constructor(capacity: number) {
    this.capacity = checkCapacity(capacity)
    this.#values = Array.from({ length: capacity }, () => undefined)
  }

  get size(): number {
    return this.#size
  }

  offer(value: T): boolean {
    if (this.#size === this.capacity) return false
    const end = this.#head + this.#size++
    this.#values[end < this.capacity ? end : end - this.capacity] = value
    return true
  }

  poll(): T | undefined {
    if (this.#size === 0) return undefined
    const value = this.#values[this.#head]
    this.#values[this.#head] = undefined // it may be large
    this.#size--
    if (++this.#head === this.capacity) this.#head = 0
    return value
  }
}
