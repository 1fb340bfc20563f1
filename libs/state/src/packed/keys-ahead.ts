/** Keys that are asked for next, encoded before they are, so that the memory can be asked for all their rows at once. */
import type { Key } from '@weir/model'
import { KeyBytes } from './key-bytes.ts'
import { AHEAD, type RowMemory } from './row-memory.ts'

export class KeysAhead {
  readonly #keys = Array.from({ length: AHEAD }, () => new KeyBytes())
  #next = 0
  #count = 0

  /** In the place of those before, which may be used no longer. @returns up to where it has read */
  read(keys: readonly Key[], from: number, memory: RowMemory): number {
    const count = Math.min(AHEAD, keys.length - from)
    for (let i = 0; i < count; i++) this.#keys[i]!.encode(keys[from + i]!)
    memory.readAhead(this.#keys, count)
    this.#next = 0
    this.#count = count
    return from + count
  }

  /** The key as it is encoded, if it is still to come: those before it were not asked for. */
  take(key: Key): KeyBytes | null {
    while (this.#next < this.#count) {
      const next = this.#keys[this.#next++]!
      if (next.key === key) return next
    }
    return null
  }
}
