import { WeirError, type Key, type Watermark } from '@weir/model'
import { ownerOfEntry, restOfEntry } from '../entry-key.ts'
import type { MapState, Ttl } from '../keyed-state.ts'
import type { KeyedStates } from '../operator.ts'
import { isKey } from '../user-code.ts'
import { Ages, agesOf } from './ages.ts'
import type { KeyScope } from './key-scope.ts'
import { checked, Rows, type Handle } from './rows.ts'

/**
 * Rows: `name.size` → number of entries, `name[key]` → values by entry, and a dense list of the entries' keys for walks:
 * `name[key].at` place → key, `name[key].place` key → place. Who is deleted leaves its place to the last.
 */
export class Entries<K extends Key, V> implements MapState<K, V>, Handle {
  readonly #count: Rows<number>
  readonly #values: Rows<V>
  readonly #at: Rows<K>
  readonly #place: Rows<number>
  readonly #ages: Ages | null
  readonly #scope: KeyScope
  readonly #name: string
  #deletions = 0

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null) {
    this.#count = new Rows(states, scope, `${name}.size`)
    this.#values = new Rows(states, scope, `${name}[key]`)
    this.#at = new Rows(states, scope, `${name}[key].at`)
    this.#place = new Rows(states, scope, `${name}[key].place`)
    this.#ages = agesOf(states, scope, `${name}[key]`, ttl)
    this.#scope = scope
    this.#name = name
  }

  get(key: K): V | undefined {
    const at = this.#scope.entry(key)
    const value = this.#values.get(at)
    if (this.#ages === null || value === undefined) return value
    if (!this.#ages.alive(at)) return undefined
    this.#ages.read(at)
    return value
  }

  has(key: K): boolean {
    const at = this.#scope.entry(key)
    return this.#values.get(at) !== undefined && this.#ages?.alive(at) !== false
  }

  set(key: K, value: V): void {
    if (!isKey(key)) {
      throw new TypeError(`state "${this.#name}": keys of a map are well-formed strings or numbers other than NaN`)
    }
    const at = this.#scope.entry(key)
    if (this.#values.get(at) === undefined) {
      const owner = this.#scope.key
      const place = this.#count.get(owner) ?? 0
      this.#place.put(at, place)
      this.#at.put(this.#scope.entry(place), key)
      this.#count.put(owner, place + 1)
    }
    this.#values.put(at, checked(value, this.#scope, this.#name))
    this.#ages?.written(at)
  }

  delete(key: K): boolean {
    const was = this.has(key)
    this.#remove(this.#scope.entry(key))
    return was
  }

  get size(): number {
    if (this.#ages === null) return this.#count.get(this.#scope.key) ?? 0
    let size = 0
    for (const at of this.#walk()) if (this.#ages.alive(at)) size++
    return size
  }

  *entries(): IterableIterator<[K, V]> {
    for (const at of this.#walk()) {
      if (this.#ages?.alive(at) === false) continue
      this.#ages?.read(at)
      yield [restOfEntry(at) as K, this.#values.get(at)!]
    }
  }

  *keys(): IterableIterator<K> {
    for (const at of this.#walk()) if (this.#ages?.alive(at) !== false) yield restOfEntry(at) as K
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries()
  }

  clear(): void {
    for (const at of this.#walk()) this.#remove(at)
  }

  cleanUp(watermark: Watermark, max: number): void {
    for (const at of this.#ages?.expired(watermark, max) ?? []) {
      this.#scope.key = ownerOfEntry(String(at))
      this.#remove(String(at))
    }
  }

  /** From the last to the first: deleting the entry at hand moves one that was met already. */
  *#walk(): Generator<string> {
    const owner = this.#scope.key
    for (let place = (this.#count.get(owner) ?? 0) - 1; place >= 0; place--) {
      const deletions = this.#deletions
      const at = this.#scope.entry(this.#at.get(this.#scope.entry(place))!)
      yield at
      const deleted = this.#deletions - deletions
      if (this.#scope.key === owner && (deleted === 0 || (deleted === 1 && this.#values.get(at) === undefined)))
        continue
      throw new WeirError(
        { code: 'MAP_CHANGED', kind: 'invalid', operatorUid: this.#scope.uid, state: this.#name },
        `state "${this.#name}": entries were deleted during a walk through the map. Delete only the entry just met, or ` +
          'collect the keys first: for (const key of [...map.keys()]) map.delete(key).',
      )
    }
  }

  #remove(at: string): void {
    const place = this.#place.get(at)
    if (place === undefined) return
    const owner = this.#scope.key
    const last = this.#count.get(owner)! - 1
    const lastAt = this.#scope.entry(last)
    if (place !== last) {
      const moved = this.#at.get(lastAt)!
      this.#at.put(this.#scope.entry(place), moved)
      this.#place.put(this.#scope.entry(moved), place)
    }
    this.#at.delete(lastAt)
    this.#place.delete(at)
    this.#values.delete(at)
    this.#ages?.forget(at)
    if (last === 0) this.#count.delete(owner)
    else this.#count.put(owner, last)
    this.#deletions++
  }
}
