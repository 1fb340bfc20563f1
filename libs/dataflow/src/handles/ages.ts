import type { Key, Watermark } from '@weir/model'
import type { Ttl } from '../keyed-state.ts'
import type { KeyedStates } from '../operator.ts'
import type { KeyScope } from './key-scope.ts'
import { Rows } from './rows.ts'

/** When rows were touched last, by the same keys, beside the values: a TTL can be given to a state later. */
export class Ages {
  readonly #touched: Rows<number>
  readonly #ttl: Ttl
  readonly #scope: KeyScope

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl) {
    this.#touched = new Rows(states, scope, `${name}.touched`)
    this.#ttl = ttl
    this.#scope = scope
  }

  /** A row from before there was a TTL begins to age when it is written. */
  alive(key: Key): boolean {
    const touched = this.#touched.get(key)
    return touched === undefined || this.#scope.timeMs < touched + this.#ttl.ms
  }

  written(key: Key): void {
    const { timeMs } = this.#scope
    const touched = this.#touched.get(key)
    if (touched === undefined || touched < timeMs) this.#touched.put(key, timeMs)
  }

  read(key: Key): void {
    if (this.#ttl.update === 'read-and-write') this.written(key)
  }

  forget(key: Key): void {
    this.#touched.delete(key)
  }

  /** Keys nobody can see any more, as far as they are known. */
  expired(watermark: Watermark, max: number): Key[] {
    const before = watermark - this.#ttl.ms + 1
    return this.#touched.stale(before, max).filter((key) => (this.#touched.get(key) ?? before) < before)
  }
}

export const agesOf = (states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null): Ages | null =>
  ttl && new Ages(states, scope, name, ttl)
