/** One state of one operator, in memory: changes since the barrier, changes being stored, values read or written lately. */
import { Sample, isEntries, timeIn, unportableIn, type KeyedState } from '@weir/dataflow'
import { WeirError, asWeirError, type Key } from '@weir/model'
import { deepFrozen } from './freeze.ts'
import type { HotBudget } from './hot-budget.ts'
import { DELETED, Layer, type Entry } from './layer.ts'
import { stateNames, unpack, unpackPart } from './pack.ts'

/** More stale keys are met again on the next way. */
const FOUND_MAX = 10_000

export interface TableOptions {
  /** Freeze every stored value, so that a mutation throws where it happens; otherwise those of a sample. */
  readonly freeze: boolean
}

export class Table<V> implements KeyedState<V> {
  readonly id: string
  /** Names the table in the database, whose lifetime is that of the store. */
  readonly number: number
  /** The key group of every key, where the state is kept per split of the source. */
  readonly split: number | undefined
  /** Keys are entry keys: their owners decide the key group. */
  readonly hasEntries: boolean
  readonly #stored: (key: Key) => Uint8Array | undefined
  readonly #options: TableOptions
  readonly #budget: HotBudget
  #dirty = new Layer()
  /** Barriers somebody wants to know the values of, and the layers behind the first of them. */
  #watched = 0
  readonly #telling: Layer[] = []
  /**
   * Two generations, and what would have gone with the older one if it were settled. An entry is in one of the three: while
   * the store is resident, in the newer generation.
   */
  #young = new Map<Key, Entry>()
  #old = new Map<Key, Entry>()
  readonly #pinned = new Map<Key, Entry>()
  /** Looked at last: a fold reads and writes the same key. */
  #last: Entry | null = null
  /** Looked for last, and not in memory: who finds nothing puts something there. */
  #missed: Key | null = null
  /** Every value there is, is in memory: a key that is not here is nowhere. */
  #complete = true
  #staleBefore = Number.NEGATIVE_INFINITY
  /** Keys of stale values that were met and not asked for yet. */
  #found: Key[] = []
  /** Namespaces ≠ 0, wholly in memory. */
  readonly #windows = new Map<number, Map<Key, V>>()
  readonly #sample: Sample

  constructor(
    id: string,
    number: number,
    options: TableOptions,
    budget: HotBudget,
    stored: (table: Table<V>, key: Key) => Uint8Array | undefined,
  ) {
    this.id = id
    this.number = number
    const [, name, split] = stateNames(id)
    this.split = split
    this.hasEntries = isEntries(name)
    this.#options = options
    this.#sample = new Sample(options.freeze)
    this.#budget = budget
    this.#stored = (key) => stored(this, key)
  }

  get isDirty(): boolean {
    return !this.#dirty.isEmpty
  }

  /** The barrier: what changed since the last one. What was at it can be told until `release`. */
  cut(): Layer {
    const layer = this.#dirty
    this.#dirty = layer.followed()
    this.#telling.push(this.#dirty)
    this.#watched++
    return layer
  }

  /** Somebody else wants to know what was at a barrier that is still told of. */
  watch(): void {
    this.#watched++
  }

  /** Nobody asks any more what was at one of the barriers. */
  release(): void {
    if (--this.#watched > 0) return
    for (const layer of this.#telling.splice(0)) layer.forget()
  }

  get(key: Key, namespace = 0): V | undefined {
    if (namespace !== 0) return this.#windows.get(namespace)?.get(key)
    const entry = this.#entry(key)
    if (entry !== undefined) return entry.value === DELETED ? undefined : (entry.value as V)
    const stored = this.elsewhere(key)
    if (stored === undefined) return undefined
    const value = this.#frozen(unpack(stored) as V)
    this.#add({ key, value, layer: null, before: undefined, group: -1, bytes: stored.length, since: 0 })
    this.#budget.take(stored.length)
    return value
  }

  put(key: Key, value: V, namespace = 0): void {
    const stored = this.checked(key, value) as V
    if (namespace === 0) return this.#change(key, stored)
    this.#changeWindow(namespace, key, stored)
    this.#window(namespace).set(key, stored)
  }

  putBytes(key: Key, bytes: Uint8Array, end: number): void {
    this.put(key, Buffer.from(bytes.subarray(0, end)) as V)
  }

  delete(key: Key, namespace = 0): void {
    if (namespace === 0) return this.#change(key, DELETED)
    this.#changeWindow(namespace, key, DELETED)
    const values = this.#windows.get(namespace)
    if (values?.delete(key) && values.size === 0) this.#windows.delete(namespace)
  }

  namespaces(): number[] {
    return [...this.#windows.keys()].sort((a, b) => a - b)
  }

  entries(namespace: number): IterableIterator<[Key, V]> {
    return (this.#windows.get(namespace) ?? new Map<Key, V>()).entries()
  }

  clear(namespace: number): void {
    for (const key of this.#windows.get(namespace)?.keys() ?? []) this.#changeWindow(namespace, key, DELETED)
    this.#windows.delete(namespace)
  }

  stale(before: number, max: number): Key[] {
    this.#staleBefore = before
    return this.#found.splice(0, max)
  }

  /** Is anybody asking? */
  get looksForStale(): boolean {
    return this.#staleBefore > Number.NEGATIVE_INFINITY
  }

  /** The store has met a row on its way. */
  met(key: Key, value: unknown): void {
    if (this.isBefore(timeIn(value))) this.#found.push(key)
  }

  /** Of a resident store: goes on through its rows, a step for each, to meet them. */
  *meeting(): Generator<void> {
    for (const { key, value } of this.#young.values()) {
      this.met(key, value)
      yield
    }
  }

  /** From a segment, before anything else; undefined: deleted. */
  restored(key: Key, namespace: number, value: unknown): void {
    if (value !== undefined) return void this.#window(namespace).set(key, this.#frozen(value as V))
    const values = this.#windows.get(namespace)
    if (values?.delete(key) && values.size === 0) this.#windows.delete(namespace)
  }

  /** The same of a resident store, in namespace 0; `bytes`: of the value as it is stored. */
  restoredEntry(key: Key, value: unknown, bytes: number): void {
    const there = this.#young.get(key)
    if (there !== undefined) this.#forget(there)
    if (value === undefined) return
    this.#missed = null
    const stored = this.#frozen(value as V)
    this.#young.set(key, { key, value: stored, layer: null, before: undefined, group: -1, bytes, since: 0 })
    this.#budget.take(bytes)
  }

  /** The value of a key as it was restored, packed from `start` to `end`, unless there is a newer one. */
  adopt(key: Key, packed: Buffer, start: number, end: number): void {
    if (this.#young.has(key)) return
    const value = this.#frozen(unpackPart(packed, start, end) as V)
    const bytes = end - start
    this.#missed = null
    this.#young.set(key, { key, value, layer: null, before: undefined, group: -1, bytes, since: 0 })
    this.#budget.take(bytes)
  }

  /** What is known of the entry, as it was in the layer, is stored; of a store that is not resident, LevelDB has it. `bytes` 0: as before. */
  settle(entry: Entry, layer: Layer, bytes: number): void {
    if (entry.layer !== layer) return // changed since
    entry.layer = null
    if (entry.value === DELETED) return this.#forget(entry)
    if (this.#pinned.delete(entry.key)) {
      this.#complete = false
      this.#last = null
      return
    }
    if (entry.bytes > 0) {
      if (bytes > 0) this.#budget.resize(entry.bytes, bytes)
      else return
    } else this.#budget.take(bytes)
    entry.bytes = Math.max(bytes, 1)
  }

  /** Of a resident store: what is in memory, in no order; may be changed meanwhile. */
  residents(): Iterable<Entry> {
    return this.#young.values()
  }

  /** How many, with those that are deleted and not settled. */
  get residentCount(): number {
    return this.#young.size
  }

  /** Of a store that is no longer resident: LevelDB has the entry, which leaves memory unless it has changed since. */
  evict(entry: Entry): void {
    if (entry.layer !== null || this.#young.get(entry.key) !== entry) return
    this.#complete = false
    this.#forget(entry)
  }

  /** Of rows that are packed: those that LevelDB has leave memory while it is crowded. */
  evictSettled(_isCrowded: () => boolean): void {}

  /** There are values that are not in memory. */
  incomplete(): void {
    this.#complete = false
  }

  /** Every value there is, is in memory. */
  complete(): void {
    this.#complete = true
  }

  /** The older generation goes, the newer one becomes it. */
  rotate(): void {
    for (const [key, entry] of this.#old) {
      if (entry.layer !== null) this.#pinned.set(key, entry)
      else this.#complete = false
    }
    this.#old = this.#young
    this.#young = new Map()
    this.#last = null
  }

  /** Nothing of namespace 0 is in memory. */
  protected get hasNothing(): boolean {
    return this.#young.size + this.#old.size + this.#pinned.size + this.#dirty.entries.length === 0
  }

  /** All entries, which are kept elsewhere from now on. Of a resident store, of whose barriers nobody asks. */
  protected handOver(): Iterable<Entry> {
    const entries = this.#young
    for (const { bytes } of entries.values()) if (bytes > 0) this.#budget.give(bytes)
    this.#young = new Map()
    this.#last = this.#missed = null
    this.#dirty.entries.length = 0
    return entries.values()
  }

  /** The layer of what changes now. */
  protected get layer(): Layer {
    return this.#dirty
  }

  /** Somebody asks what was at a barrier. */
  protected get isWatched(): boolean {
    return this.#watched > 0
  }

  /** Of a value of this time: it is stale, and there is room for its key. */
  protected isBefore(time: number): boolean {
    return time < this.#staleBefore && this.#found.length < FOUND_MAX
  }

  /** A packed value that is not in memory. */
  protected elsewhere(key: Key): Uint8Array | undefined {
    return this.#complete ? undefined : this.#read(key)
  }

  /**
   * The key, of which nothing is in memory, is about to be changed: may a value of it be left of a restore that was at a barrier
   * somebody asks about? It must be in memory before its change is: behind that, `adopt` is too late.
   */
  protected get mayHaveLeft(): boolean {
    return this.#watched > 0 && !this.#complete && this.#budget.isResident
  }

  protected checked(key: Key, value: unknown): unknown {
    if (value === undefined || typeof value === 'function' || typeof value === 'symbol')
      throw unstorable(this.id, key, typeof value)
    return this.#sampled(key, value as V)
  }

  #entry(key: Key): Entry | undefined {
    const last = this.#last
    if (last !== null && last.key === key) return last
    if (this.#missed === key) return undefined
    let entry = this.#young.get(key)
    if (entry === undefined) {
      entry = this.#old.get(key) ?? this.#pinned.get(key)
      if (entry === undefined) {
        this.#missed = key
        return undefined
      }
      if (!this.#old.delete(key)) this.#pinned.delete(key)
      this.#young.set(key, entry)
      if (entry.bytes > 0) this.#budget.take(null)
      if (!this.#young.has(key)) return entry // the budget was full, and it is of the older generation again
    }
    this.#last = entry
    return entry
  }

  #add(entry: Entry): void {
    this.#young.set(entry.key, entry)
    this.#last = entry
    this.#missed = null
  }

  #forget({ key, bytes }: Entry): void {
    if (bytes > 0) this.#budget.give(bytes)
    for (const entries of [this.#young, this.#old, this.#pinned]) entries.delete(key)
    this.#last = null
  }

  #change(key: Key, value: unknown): void {
    const dirty = this.#dirty
    const entry = this.#entry(key)
    if (entry === undefined) {
      if (this.mayHaveLeft && this.get(key) !== undefined) return this.#change(key, value)
      const made = { key, value, layer: dirty, before: undefined, group: -1, bytes: 0, since: dirty.number }
      this.#add(made)
      dirty.entries.push(made)
      return
    }
    if (entry.layer !== dirty) {
      if (this.#watched > 0) dirty.keep(entry)
      entry.before = isSummable(entry.value) ? entry.value : undefined
      entry.layer = dirty
      dirty.entries.push(entry)
    }
    entry.value = value
  }

  #window(namespace: number): Map<Key, V> {
    let values = this.#windows.get(namespace)
    if (values === undefined) this.#windows.set(namespace, (values = new Map<Key, V>()))
    return values
  }

  #changeWindow(namespace: number, key: Key, value: unknown): void {
    let keys = this.#dirty.windows.get(namespace)
    if (keys === undefined) this.#dirty.windows.set(namespace, (keys = new Map<Key, unknown>()))
    if (this.#watched > 0) this.#dirty.keepWindow(namespace, key, this.#windows.get(namespace)?.get(key))
    keys.set(key, value)
  }

  /** A read that fails is the disk's fault, not that of the record whose state it is. */
  #read(key: Key): Uint8Array | undefined {
    try {
      return this.#stored(key)
    } catch (error) {
      throw asWeirError(error, 'STATE_UNREADABLE', 'restart')
    }
  }

  /** Of the sample it is looked at whether it can be stored, and it is frozen: a function that changes it throws where it does. */
  #sampled(key: Key, value: V): V {
    if (typeof value !== 'object' || value === null || !this.#sample.next()) return value
    const found = unportableIn(value)
    if (found !== null) throw unstorable(this.id, key, `${found.what} (${found.path})`)
    return deepFrozen(value)
  }

  #frozen(value: V): V {
    return this.#options.freeze ? deepFrozen(value) : value
  }
}

const isSummable = (value: unknown): value is number | bigint =>
  typeof value === 'bigint' || Number.isSafeInteger(value)

function unstorable(id: string, key: Key, what: string): WeirError {
  const [operatorUid, name] = stateNames(id)
  const code = what === 'undefined' ? 'STATE_VALUE_UNDEFINED' : 'STATE_VALUE_UNSERIALISABLE'
  return new WeirError(
    { code, kind: 'invalid', operatorUid, state: name, key },
    `operator "${operatorUid}" put ${what} into state "${name}" for key ${JSON.stringify(key)}; state holds plain data (objects, arrays, Map, Set, Date, bigint, bytes). To remove a value, delete its key.`,
  )
}
