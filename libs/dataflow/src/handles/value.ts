/** State of one row by key: a value, an accumulator. */
import type { Key, Watermark } from '@weir/model'
import type { AggregatingState, Ttl, ValueState } from '../keyed-state.ts'
import type { KeyedStates } from '../operator.ts'
import { deepFreeze } from '../user-code.ts'
import { Ages, agesOf } from './ages.ts'
import type { KeyScope } from './key-scope.ts'
import { checked, Rows, type Handle } from './rows.ts'

/** A value of a key, and an accumulator: rows `name`. */
class Single<V> implements Handle {
  readonly #rows: Rows<V>
  readonly #ages: Ages | null
  readonly #scope: KeyScope
  readonly #name: string

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null) {
    this.#rows = new Rows(states, scope, name)
    this.#ages = agesOf(states, scope, name, ttl)
    this.#scope = scope
    this.#name = name
  }

  read(): V | undefined {
    const { key } = this.#scope
    const value = this.#rows.get(key)
    if (this.#ages === null || value === undefined) return value
    if (!this.#ages.alive(key)) return undefined
    this.#ages.read(key)
    return value
  }

  write(value: V): void {
    const { key } = this.#scope
    this.#rows.put(key, checked(value, this.#scope, this.#name))
    this.#ages?.written(key)
  }

  clear(): void {
    this.#remove(this.#scope.key)
  }

  cleanUp(watermark: Watermark, max: number): void {
    for (const key of this.#ages?.expired(watermark, max) ?? []) this.#remove(key)
  }

  #remove(key: Key): void {
    this.#rows.delete(key)
    this.#ages?.forget(key)
  }
}

export class Value<T, I> extends Single<T> implements ValueState<T, I> {
  readonly #initial: I

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null, initial: I) {
    super(states, scope, name, ttl)
    // One object for every key: a function that changes it would mix the keys.
    this.#initial = deepFreeze(initial)
  }

  get(): T | I {
    const value = this.read()
    return value === undefined ? this.#initial : value
  }

  set(value: T): void {
    this.write(value)
  }
}

export class Aggregating<I, A, O> extends Single<A> implements AggregatingState<I, O> {
  readonly #of: { initial: A; add(accumulator: A, input: I): A; result(accumulator: A): O }

  constructor(
    states: KeyedStates,
    scope: KeyScope,
    name: string,
    ttl: Ttl | null,
    of: { initial: A; add(accumulator: A, input: I): A; result(accumulator: A): O },
  ) {
    super(states, scope, name, ttl)
    this.#of = of
    deepFreeze(of.initial)
  }

  add(input: I): void {
    const before = this.read()
    this.write(this.#of.add(before === undefined ? this.#of.initial : before, input))
  }

  get(): O | undefined {
    const accumulator = this.read()
    return accumulator === undefined ? undefined : this.#of.result(accumulator)
  }
}
