/** One state of one operator, in memory: changes since the barrier, changes being stored, values read or written lately. */
import { isEntries, type KeyedState } from '@weir/dataflow'
import { WeirError, asWeirError, type Key } from '@weir/model'
import { deepFrozen } from './freeze.ts'
import type { HotBudget } from './hot-budget.ts'
import { stateNames, unpack } from './pack.ts'

export const DELETED = Symbol('deleted')
/**
 * A whole number that was changed, with what it was at the barrier: a segment stores the difference. Only where the old
 * value was in memory, and only for numbers whose sums are exact.
 */
export class Changed<N extends number | bigint = number | bigint> {
  value: N
  readonly before: N
  constructor(value: N, before: N) {
    this.value = value
    this.before = before
  }
}
/** A value, DELETED or Changed. */
export type Change = unknown
/** Changes of one state since a barrier: namespace → key → change. */
export type Layer = Map<number, Map<Key, Change>>

/** More stale keys are met again on the next way. */
const FOUND_MAX = 10_000

export interface TableOptions {
  /** Freeze stored values, so that a mutation throws where it happens. */
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
  dirty: Layer = new Map()
  frozen: Layer[] = []
  /** Two generations. (Taking the oldest key out of one Map costs a walk over all deleted ones before it.) */
  #hot = new Map<Key, V>()
  #cooling = new Map<Key, V>()
  /** Every value there is, is in memory: a key that is not here is nowhere. */
  #complete = true
  #staleBefore = Number.NEGATIVE_INFINITY
  /** Keys of stale values that were met and not asked for yet. */
  #found: Key[] = []
  /** Namespaces ≠ 0, wholly in memory. */
  readonly #windows = new Map<number, Map<Key, V>>()

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
    this.#budget = budget
    this.#stored = (key) => stored(this, key)
  }

  get(key: Key, namespace = 0): V | undefined {
    if (namespace !== 0) return this.#windows.get(namespace)?.get(key)
    const changed = this.dirty.get(0)?.get(key)
    if (changed !== undefined) return valueOf(changed) as V | undefined
    const before = this.#inMemory(key)
    if (before !== undefined) return before === DELETED ? undefined : (before as V)
    const stored = this.#complete ? undefined : this.#read(key)
    if (stored === undefined) return undefined
    const value = this.#frozen(unpack(stored) as V)
    this.#keep(key, value, stored.length)
    return value
  }

  put(key: Key, value: V, namespace = 0): void {
    if (value === undefined || typeof value === 'function' || typeof value === 'symbol')
      throw unstorable(this.id, key, value)
    const stored = this.#frozen(value)
    if (namespace !== 0) {
      this.#change(namespace, key, stored)
      this.#window(namespace).set(key, stored)
    } else if (isSummable(value)) this.#putNumber(key, value)
    else this.#change(0, key, stored)
  }

  delete(key: Key, namespace = 0): void {
    this.#change(namespace, key, DELETED)
    if (namespace === 0) return this.#forget(key)
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
    for (const key of this.#windows.get(namespace)?.keys() ?? []) this.#change(namespace, key, DELETED)
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
  met(key: Key, packed: Uint8Array): void {
    if (this.#found.length >= FOUND_MAX) return
    const value = unpack(packed)
    if (typeof value === 'number' && value < this.#staleBefore) this.#found.push(key)
  }

  /** From a segment: a value of a namespace ≠ 0; undefined: deleted. */
  restored(key: Key, namespace: number, value: unknown): void {
    if (value !== undefined) return void this.#window(namespace).set(key, this.#frozen(value as V))
    const values = this.#windows.get(namespace)
    if (values?.delete(key) && values.size === 0) this.#windows.delete(namespace)
  }

  /** What a change of a frozen layer leaves behind. The layer is still looked at first. */
  settle(key: Key, value: unknown, bytes: number): void {
    if (value === undefined) this.#forget(key)
    else this.#keep(key, value as V, bytes)
  }

  /** The database has values that are not in memory. */
  incomplete(): void {
    this.#complete = false
  }

  /** The older generation goes, the newer one becomes it. */
  rotate(): void {
    if (this.#cooling.size > 0) this.#complete = false
    this.#cooling = this.#hot
    this.#hot = new Map()
  }

  /** The layer is in the database now. */
  flushed(layer: Layer): void {
    this.frozen = this.frozen.filter((l) => l !== layer)
  }

  #keep(key: Key, value: V, bytes: number | null): void {
    const before = this.#hot.size
    this.#hot.set(key, value)
    if (this.#hot.size > before) this.#budget.take(bytes)
  }

  #forget(key: Key): void {
    this.#hot.delete(key)
    this.#cooling.delete(key)
  }

  #kept(key: Key): V | undefined {
    const hot = this.#hot.get(key)
    if (hot !== undefined) return hot
    const cooling = this.#cooling.get(key)
    if (cooling !== undefined) this.#keep(key, cooling, null)
    return cooling
  }

  /** As of the last barrier, where that is known without the database. */
  #inMemory(key: Key): unknown {
    for (let i = this.frozen.length - 1; i >= 0; i--) {
      const older = this.frozen[i]!.get(0)?.get(key)
      if (older !== undefined) return older instanceof Changed ? older.value : older
    }
    return this.#kept(key)
  }

  #putNumber(key: Key, value: number | bigint): void {
    const changed = this.dirty.get(0)?.get(key)
    if (changed instanceof Changed && typeof changed.value === typeof value) {
      changed.value = value
      return
    }
    const before = changed === undefined ? this.#inMemory(key) : undefined
    this.#change(0, key, isSummable(before) && typeof before === typeof value ? new Changed(value, before) : value)
  }

  #window(namespace: number): Map<Key, V> {
    let values = this.#windows.get(namespace)
    if (values === undefined) this.#windows.set(namespace, (values = new Map<Key, V>()))
    return values
  }

  #change(namespace: number, key: Key, value: Change): void {
    let keys = this.dirty.get(namespace)
    if (keys === undefined) this.dirty.set(namespace, (keys = new Map<Key, Change>()))
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

  #frozen(value: V): V {
    return this.#options.freeze ? deepFrozen(value) : value
  }
}

/** Undefined: deleted. */
export const valueOf = (change: Change): unknown =>
  change === DELETED ? undefined : change instanceof Changed ? change.value : change

const isSummable = (value: unknown): value is number | bigint =>
  typeof value === 'bigint' || Number.isSafeInteger(value)

function unstorable(id: string, key: Key, value: unknown): WeirError {
  const [operatorUid, name] = stateNames(id)
  const code = value === undefined ? 'STATE_VALUE_UNDEFINED' : 'STATE_VALUE_UNSERIALISABLE'
  return new WeirError(
    { code, kind: 'invalid', operatorUid, state: name, key },
    `operator "${operatorUid}" put ${typeof value} into state "${name}" for key ${JSON.stringify(key)}; state holds plain data. To remove a value, delete its key.`,
  )
}
