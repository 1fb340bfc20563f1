/** What changed in one state between two barriers, and what it was before. */
import type { Key } from '@weir/model'
import type { PackedCut } from './packed/packed-table.ts'

export const DELETED = Symbol('deleted')

/** One key of a state, in memory. */
export interface Entry {
  readonly key: Key
  /** DELETED: there is none. */
  value: unknown
  /** The layer its newest change is in, until that is settled (`Table.settle`); null: it is what was stored last. */
  layer: Layer | null
  /** The value before that change, where a segment can store the difference; else undefined. */
  before: number | bigint | undefined
  /** Its key group; -1: nobody has asked yet. */
  group: number
  /** Of its value as it is stored, as far as they are in the budget; 0: they are not. */
  bytes: number
  /** Number of the layer it came to be in: at barriers before, there was no such entry. 0: it was there before all layers. */
  readonly since: number
}

/** What an entry was at a barrier; value undefined: it was not there. */
export type Cut = Pick<Entry, 'value' | 'before'>
const NOTHING: Cut = Object.freeze({ value: undefined, before: undefined })

/**
 * Changes of one state between two barriers. A barrier copies nothing: while somebody wants to know what was at one, an entry
 * that is changed behind it leaves what it was with the layer of that change. What was at a barrier is found in the first
 * layer behind it that has the entry, else in the entry.
 *
 *   layer n ──next──▶ layer n+1 { before: what was at barrier n } ──next──▶ layer n+2 { before: … at barrier n+1 }
 */
export class Layer {
  readonly entries: Entry[] = []
  /** Namespaces ≠ 0: namespace → key → value or DELETED. */
  readonly windows = new Map<number, Map<Key, unknown>>()
  /** Where a state's rows are packed (`packed-table.ts`): theirs, from its barrier on. */
  packed: PackedCut | null = null
  /** Ascending, from 1. */
  readonly number: number
  #next: Layer | null = null
  #before: Map<Entry, Cut> | null = null
  #windowsBefore: Map<number, Map<Key, unknown>> | null = null

  constructor(number = 1) {
    this.number = number
  }

  get isEmpty(): boolean {
    return this.entries.length === 0 && this.windows.size === 0 && (this.packed?.changed ?? 0) === 0
  }

  /** Of namespace 0. */
  get changedRows(): number {
    return this.entries.length + (this.packed?.changed ?? 0)
  }

  /** The barrier: what changes from now on is in another layer. */
  followed(): Layer {
    return (this.#next = new Layer(this.number + 1))
  }

  /** The entry is about to be changed in this layer for the first time, and was there before it. */
  keep(entry: Entry): void {
    this.#before ??= new Map()
    this.#before.set(entry, { value: entry.value, before: entry.before })
  }

  /** So is a value of a namespace ≠ 0, perhaps not for the first time; undefined: there is none. */
  keepWindow(namespace: number, key: Key, value: unknown): void {
    this.#windowsBefore ??= new Map()
    let keys = this.#windowsBefore.get(namespace)
    if (keys === undefined) this.#windowsBefore.set(namespace, (keys = new Map<Key, unknown>()))
    if (!keys.has(key)) keys.set(key, value)
  }

  /** Nobody asks any more what was before. */
  forget(): void {
    this.#before = this.#windowsBefore = null
  }

  /** At the barrier that closed this layer. */
  cutOf(entry: Entry): Cut {
    if (entry.since > this.number) return NOTHING
    if (entry.layer === this) return entry
    for (let later = this.#next; later !== null; later = later.#next) {
      const cut = later.#before?.get(entry)
      if (cut !== undefined) return cut
    }
    return entry
  }

  /** Has it changed since that barrier? */
  hasChanged(namespace: number, key: Key): boolean {
    for (let later = this.#next; later !== null; later = later.#next)
      if (later.#windowsBefore?.get(namespace)?.has(key)) return true
    return false
  }

  /** What changed since that barrier, as it was then; value undefined: it was not there. A key may come more than once: the first counts. */
  *changedWindows(): Generator<[namespace: number, key: Key, value: unknown]> {
    for (let later = this.#next; later !== null; later = later.#next)
      for (const [namespace, keys] of later.#windowsBefore ?? [])
        for (const [key, value] of keys) yield [namespace, key, value]
  }
}
