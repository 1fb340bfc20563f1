/** The rows of one handle, whose changes can be taken back, and what may be put into them. */
import type { Key, Watermark } from '@weir/model'
import type { KeyedStates } from '../operator.ts'
import type { KeyedState } from '../ports.ts'
import { deepFreeze, isThenable } from '../user-code.ts'
import type { KeyScope } from './key-scope.ts'

/** What the operator asks of every handle. */
export interface Handle {
  /** Deletes at most `max` rows that are expired by the watermark. */
  cleanUp(watermark: Watermark, max: number): void
}

/** One keyed state whose changes can be taken back. */
export class Rows<V> {
  readonly #state: KeyedState<V>
  readonly #scope: KeyScope

  constructor(states: KeyedStates, scope: KeyScope, name: string) {
    this.#state = states.keyed<V>(scope.uid, name)
    this.#scope = scope
  }

  get(key: Key): V | undefined {
    return this.#state.get(key)
  }

  put(key: Key, value: V): void {
    this.#scope.undo?.note(this.#state as KeyedState<unknown>, key, 0)
    this.#state.put(key, value)
  }

  /** What lies before `end`, which is copied. */
  putBytes(key: Key, bytes: Uint8Array, end: number): void {
    this.#scope.undo?.note(this.#state as KeyedState<unknown>, key, 0)
    if (this.#state.putBytes !== undefined) this.#state.putBytes(key, bytes, end)
    else this.#state.put(key, Buffer.from(bytes.subarray(0, end)) as V)
  }

  delete(key: Key): void {
    if (this.#state.get(key) === undefined) return // a deletion is a row too, in the next segment
    this.#scope.undo?.note(this.#state as KeyedState<unknown>, key, 0)
    this.#state.delete(key)
  }

  stale(before: number, max: number): Key[] {
    return this.#state.stale?.(before, max) ?? []
  }
}

export function checked<V>(value: V, scope: KeyScope, name: string): V {
  if (value === undefined) throw new TypeError(`state "${name}" was given undefined; to remove a value, clear it`)
  if (isThenable(value)) throw new TypeError(`state "${name}" was given a promise; operators are synchronous`)
  return scope.freeze ? deepFreeze(value) : value
}
