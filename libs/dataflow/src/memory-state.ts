/** Keyed state in a Map: what `run` uses, and the model that real state stores are compared with. */
import type { Key, OperatorUid } from '@weir/model'
import type { KeyedStates } from './operator.ts'
import type { KeyedState } from './ports.ts'
import { timeIn } from './written-time.ts'

export class MemoryKeyedState<V> implements KeyedState<V> {
  readonly #byNamespace = new Map<number, Map<Key, V>>()

  get(key: Key, namespace = 0): V | undefined {
    return this.#byNamespace.get(namespace)?.get(key)
  }

  put(key: Key, value: V, namespace = 0): void {
    let values = this.#byNamespace.get(namespace)
    if (values === undefined) this.#byNamespace.set(namespace, (values = new Map<Key, V>()))
    values.set(key, value)
  }

  delete(key: Key, namespace = 0): void {
    const values = this.#byNamespace.get(namespace)
    if (values?.delete(key) && values.size === 0) this.#byNamespace.delete(namespace)
  }

  namespaces(): number[] {
    return [...this.#byNamespace.keys()].filter((namespace) => namespace !== 0).sort((a, b) => a - b)
  }

  entries(namespace: number): IterableIterator<[Key, V]> {
    return (this.#byNamespace.get(namespace) ?? new Map<Key, V>()).entries()
  }

  clear(namespace: number): void {
    this.#byNamespace.delete(namespace)
  }

  stale(before: number, max: number): Key[] {
    const found: Key[] = []
    for (const [key, value] of this.#byNamespace.get(0) ?? []) {
      if (timeIn(value) >= before) continue
      found.push(key)
      if (found.length === max) break
    }
    return found
  }
}

export class MemoryKeyedStates implements KeyedStates {
  readonly #states = new Map<string, MemoryKeyedState<unknown>>()

  keyed<V>(operatorUid: OperatorUid, name: string, split?: number): KeyedState<V> {
    const id = JSON.stringify([operatorUid, name, split])
    let state = this.#states.get(id)
    if (state === undefined) this.#states.set(id, (state = new MemoryKeyedState<unknown>()))
    return state as KeyedState<V>
  }
}
