/**
 * A map by subtask that is never changed: `with` and `without` answer a new one that shares all but √n of it with the
 * old one. A job of 10,000 subtasks hears 10,000 acks per checkpoint; copying a whole map at each would cost 10⁸ copies.
 */
import type { Subtask } from './ids.ts'

const CHUNK_BITS = 7
const CHUNK = 1 << CHUNK_BITS
const REST = CHUNK - 1

/** Values are never undefined. Iterates in the order of subtasks. */
export class SubtaskMap<V extends NonNullable<unknown>> implements ReadonlyMap<Subtask, V> {
  readonly #chunks: readonly (readonly (V | undefined)[])[]
  readonly size: number

  private constructor(chunks: readonly (readonly (V | undefined)[])[], size: number) {
    this.#chunks = chunks
    this.size = size
  }

  static empty<V extends NonNullable<unknown>>(): SubtaskMap<V> {
    return new SubtaskMap<V>([], 0)
  }

  static from<V extends NonNullable<unknown>>(entries: Iterable<readonly [Subtask, V]>): SubtaskMap<V> {
    const chunks: (V | undefined)[][] = []
    let size = 0
    for (const [subtask, value] of entries) {
      const chunk = (chunks[subtask >> CHUNK_BITS] ??= [])
      if (chunk[subtask & REST] === undefined) size++
      chunk[subtask & REST] = value
    }
    return new SubtaskMap(chunks, size)
  }

  /** Subtasks 0 … count − 1. */
  static filled<V extends NonNullable<unknown>>(count: number, value: (subtask: Subtask) => V): SubtaskMap<V> {
    return SubtaskMap.from(Array.from({ length: count }, (_, i) => [i as Subtask, value(i as Subtask)]))
  }

  with(subtask: Subtask, value: V): SubtaskMap<V> {
    return this.#changed(subtask, value, this.has(subtask) ? this.size : this.size + 1)
  }

  without(subtask: Subtask): SubtaskMap<V> {
    return this.has(subtask) ? this.#changed(subtask, undefined, this.size - 1) : this
  }

  get(subtask: Subtask): V | undefined {
    return this.#chunks[subtask >> CHUNK_BITS]?.[subtask & REST]
  }

  has(subtask: Subtask): boolean {
    return this.get(subtask) !== undefined
  }

  every(is: (value: V, subtask: Subtask) => boolean): boolean {
    for (let c = 0; c < this.#chunks.length; c++) {
      const chunk = this.#chunks[c] ?? []
      for (let i = 0; i < chunk.length; i++) {
        const value = chunk[i]
        if (value !== undefined && !is(value, ((c << CHUNK_BITS) | i) as Subtask)) return false
      }
    }
    return true
  }

  *entries(): MapIterator<[Subtask, V]> {
    for (let c = 0; c < this.#chunks.length; c++) {
      const chunk = this.#chunks[c] ?? []
      for (let i = 0; i < chunk.length; i++) {
        const value = chunk[i]
        if (value !== undefined) yield [((c << CHUNK_BITS) | i) as Subtask, value]
      }
    }
  }

  *keys(): MapIterator<Subtask> {
    for (const [subtask] of this.entries()) yield subtask
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value
  }

  forEach(call: (value: V, subtask: Subtask, map: ReadonlyMap<Subtask, V>) => void): void {
    for (const [subtask, value] of this.entries()) call(value, subtask, this)
  }

  [Symbol.iterator](): MapIterator<[Subtask, V]> {
    return this.entries()
  }

  /** For people and for tests that print a state. */
  toJSON(): readonly (readonly [Subtask, V])[] {
    return [...this]
  }

  #changed(subtask: Subtask, value: V | undefined, size: number): SubtaskMap<V> {
    const chunks = this.#chunks.slice()
    const chunk = chunks[subtask >> CHUNK_BITS]?.slice() ?? []
    chunk[subtask & REST] = value
    chunks[subtask >> CHUNK_BITS] = chunk
    return new SubtaskMap(chunks, size)
  }
}
