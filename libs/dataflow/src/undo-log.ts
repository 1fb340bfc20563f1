/** What the changes of one record replaced, so that a record that fails leaves nothing behind. Its arrays are kept. */
import type { Key } from '@weir/model'
import type { KeyedState } from './ports.ts'

export class UndoLog {
  readonly #states: KeyedState<unknown>[] = []
  readonly #keys: Key[] = []
  readonly #namespaces: number[] = []
  readonly #before: unknown[] = []

  note(state: KeyedState<unknown>, key: Key, namespace: number): void {
    this.#states.push(state)
    this.#keys.push(key)
    this.#namespaces.push(namespace)
    this.#before.push(state.get(key, namespace))
  }

  /** The changes stay. */
  forget(): void {
    if (this.#states.length === 0) return
    this.#states.length = this.#keys.length = this.#namespaces.length = this.#before.length = 0
  }

  /** Newest first. */
  rollBack(): void {
    for (let i = this.#states.length - 1; i >= 0; i--) {
      const before = this.#before[i]
      if (before === undefined) this.#states[i]!.delete(this.#keys[i]!, this.#namespaces[i])
      else this.#states[i]!.put(this.#keys[i]!, before, this.#namespaces[i])
    }
    this.forget()
  }
}
