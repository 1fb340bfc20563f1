/** A value with a TTL that says itself when it was written. */
import type { Key, Watermark } from '@weir/model'
import type { Ttl, ValueState } from '../keyed-state.ts'
import type { KeyedStates } from '../operator.ts'
import { timeIn } from '../written-time.ts'
import { Ages } from './ages.ts'
import type { KeyScope } from './key-scope.ts'
import { checked, Rows, type Handle } from './rows.ts'

/** What the engine's own operators see of a timed value besides. */
export interface BytesState<T> extends ValueState<T> {
  /** `set` of the bytes before `end`, which are copied. */
  setBytes(bytes: Uint8Array, end: number): void
}

/** Of values that begin with the time at which they were written (`timeIn`); others, from before, have a row beside them. */
export class TimedValue<T> implements BytesState<T>, Handle {
  readonly #rows: Rows<T>
  readonly #ages: Ages
  readonly #ttlMs: number
  readonly #scope: KeyScope
  readonly #name: string

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl) {
    this.#rows = new Rows(states, scope, name)
    this.#ages = new Ages(states, scope, name, ttl)
    this.#ttlMs = ttl.ms
    this.#scope = scope
    this.#name = name
  }

  get(): T | undefined {
    const { key, timeMs } = this.#scope
    const value = this.#rows.get(key)
    if (value === undefined) return undefined
    const written = timeIn(value)
    const isAlive = written < Number.POSITIVE_INFINITY ? timeMs < written + this.#ttlMs : this.#ages.alive(key)
    return isAlive ? value : undefined
  }

  set(value: T): void {
    const { key } = this.#scope
    const before = this.#rows.get(key)
    this.#rows.put(key, checked(value, this.#scope, this.#name))
    if (before !== undefined && !hasTime(before)) this.#ages.forget(key)
  }

  setBytes(bytes: Uint8Array, end: number): void {
    const { key } = this.#scope
    const before = this.#rows.get(key)
    this.#rows.putBytes(key, bytes, end)
    if (before !== undefined && !hasTime(before)) this.#ages.forget(key)
  }

  clear(): void {
    this.#remove(this.#scope.key)
  }

  cleanUp(watermark: Watermark, max: number): void {
    const before = watermark - this.#ttlMs + 1
    for (const key of this.#rows.stale(before, max)) if (timeIn(this.#rows.get(key)) < before) this.#remove(key)
    for (const key of this.#ages.expired(watermark, max)) this.#remove(key)
  }

  #remove(key: Key): void {
    this.#rows.delete(key)
    this.#ages.forget(key)
  }
}

const hasTime = (value: unknown): boolean => timeIn(value) < Number.POSITIVE_INFINITY
