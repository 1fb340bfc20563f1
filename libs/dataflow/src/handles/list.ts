import type { Key, Watermark } from '@weir/model'
import { ownerOfEntry } from '../entry-key.ts'
import type { ListState, Ttl } from '../keyed-state.ts'
import type { KeyedStates } from '../operator.ts'
import { Ages, agesOf } from './ages.ts'
import type { KeyScope } from './key-scope.ts'
import { checked, Rows, type Handle } from './rows.ts'

/**
 * Rows: `name.next` → index of the next element, `name.head` → index of the first (absent: 0), `name[]` → elements. Where one
 * in the middle has expired before the first there is a gap.
 */
export class List<T> implements ListState<T>, Handle {
  readonly #next: Rows<number>
  readonly #head: Rows<number>
  readonly #elements: Rows<T>
  readonly #ages: Ages | null
  readonly #scope: KeyScope
  readonly #name: string

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null) {
    this.#next = new Rows(states, scope, `${name}.next`)
    this.#head = new Rows(states, scope, `${name}.head`)
    this.#elements = new Rows(states, scope, `${name}[]`)
    this.#ages = agesOf(states, scope, `${name}[]`, ttl)
    this.#scope = scope
    this.#name = name
  }

  get(): readonly T[] {
    const { key } = this.#scope
    const next = this.#next.get(key)
    if (next === undefined) return []
    const elements: T[] = []
    for (let i = this.#head.get(key) ?? 0; i < next; i++) {
      const at = this.#scope.entry(i)
      const element = this.#elements.get(at)
      if (element === undefined || this.#ages?.alive(at) === false) continue
      this.#ages?.read(at)
      elements.push(element)
    }
    return this.#scope.freeze ? Object.freeze(elements) : elements
  }

  [Symbol.iterator](): Iterator<T> {
    return this.get()[Symbol.iterator]()
  }

  add(value: T): void {
    const { key } = this.#scope
    const i = this.#next.get(key) ?? 0
    const at = this.#scope.entry(i)
    this.#elements.put(at, checked(value, this.#scope, this.#name))
    this.#ages?.written(at)
    this.#next.put(key, i + 1)
  }

  addAll(values: Iterable<T>): void {
    for (const value of values) this.add(value)
  }

  set(values: Iterable<T>): void {
    const all = [...values] // they may come from this list
    this.clear()
    this.addAll(all)
  }

  keepLast(count: number): void {
    if (!(Number.isInteger(count) && count >= 0))
      throw new RangeError(`keepLast(${count}): a whole number of 0 or more is meant`)
    const { key } = this.#scope
    const next = this.#next.get(key) ?? 0
    let from = next
    const head = this.#head.get(key) ?? 0
    for (let kept = 0; from > head && kept < count; from--) {
      const at = this.#scope.entry(from - 1)
      if (this.#elements.get(at) !== undefined && this.#ages?.alive(at) !== false) kept++
    }
    for (let i = head; i < from; i++) this.#drop(this.#scope.entry(i))
    this.#trim(key)
  }

  clear(): void {
    const { key } = this.#scope
    const next = this.#next.get(key) ?? 0
    for (let i = this.#head.get(key) ?? 0; i < next; i++) this.#drop(this.#scope.entry(i))
    this.#trim(key)
  }

  cleanUp(watermark: Watermark, max: number): void {
    for (const at of this.#ages?.expired(watermark, max) ?? []) {
      this.#drop(String(at))
      this.#scope.key = ownerOfEntry(String(at))
      this.#trim(this.#scope.key)
    }
  }

  #drop(at: string): void {
    this.#elements.delete(at)
    this.#ages?.forget(at)
  }

  /** Moves the head to the first element that is there; an empty list has no rows. */
  #trim(key: Key): void {
    const next = this.#next.get(key)
    if (next === undefined) return
    const before = this.#head.get(key) ?? 0
    let head = before
    while (head < next && this.#elements.get(this.#scope.entry(head)) === undefined) head++
    if (head === next) {
      this.#next.delete(key)
      this.#head.delete(key)
    } else if (head !== before) this.#head.put(key, head)
  }
}
