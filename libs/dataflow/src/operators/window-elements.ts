/**
 * The records of windows that are handed over whole: a row each, under the pane they are in, numbered from 0 in the order they
 * came. How many a key has in a pane is the accumulator of that pane (`windowing.ts`), so a record writes two small rows, however
 * many there are.
 */
import type { Key, OperatorUid } from '@weir/model'
import { entryKey, entryPrefix } from '../entry-key.ts'
import type { KeyedStates } from '../operator.ts'
import type { KeyedState } from '../ports.ts'

export const WINDOW_ELEMENTS_STATE = 'window.elements[]'

export class WindowElements {
  readonly #rows: KeyedState<unknown>

  constructor(uid: OperatorUid, states: KeyedStates) {
    this.#rows = states.keyed(uid, WINDOW_ELEMENTS_STATE)
  }

  /** `before`: how many the key has in the pane. */
  add(key: Key, pane: number, before: number, value: unknown): void {
    this.#rows.put(entryKey(entryPrefix(key), before), value, pane)
  }

  /** A new array. */
  of(key: Key, pane: number, count: number): unknown[] {
    const prefix = entryPrefix(key)
    return Array.from({ length: count }, (_, i) => this.#rows.get(entryKey(prefix, i), pane))
  }

  delete(key: Key, pane: number, count: number): void {
    const prefix = entryPrefix(key)
    for (let i = 0; i < count; i++) this.#rows.delete(entryKey(prefix, i), pane)
  }

  clear(pane: number): void {
    this.#rows.clear(pane)
  }
}
