/** A state store that remembers which rows were asked for, and what they were before. It never makes a segment. */
import { isEntries, ownerOfEntry, restOfEntry, type KeyedState, type SegmentRef, type StateStore } from '@weir/dataflow'
import { keyGroupOf, type Key, type OperatorUid } from '@weir/model'
import { wouldWrite } from './read-only-objects.ts'

/** A row of state the record has met; of lists, maps and timers there are several by key. */
export interface TouchedRow {
  readonly operatorUid: string
  readonly name: string
  /** The record's key; of rows with a key of their own, its owner. */
  readonly key: Key
  /** Of a state with several rows per key: which one; else null. */
  readonly entry: Key | null
  /** Of a window: its end, ms since 1970; else 0. */
  readonly namespace: number
  readonly split: number | null
  /** Undefined: there was none. */
  readonly before: unknown
  /** Undefined: there is none. */
  readonly after: unknown
}

interface Touched {
  readonly state: KeyedState<unknown>
  readonly of: { readonly operatorUid: string; readonly name: string; readonly split: number | null }
  readonly key: Key
  readonly namespace: number
  readonly before: unknown
}

export class RecordedStates implements StateStore {
  readonly #store: StateStore
  readonly #maxParallelism: number
  readonly #touched = new Map<string, Touched>()
  readonly #states = new Map<string, KeyedState<unknown>>()
  #isRecording = false

  constructor(store: StateStore, maxParallelism: number) {
    this.#store = store
    this.#maxParallelism = maxParallelism
  }

  /** From now on: what was asked for before was asked by others. */
  begin(): void {
    this.#isRecording = true
    this.#touched.clear()
  }

  /** In the order they were met. */
  rows(): readonly TouchedRow[] {
    return [...this.#touched.values()].map(({ state, of, key, namespace, before }) => {
      const entries = isEntries(of.name)
      return {
        ...of,
        key: entries ? ownerOfEntry(String(key)) : key,
        entry: entries ? restOfEntry(String(key)) : null,
        namespace,
        before,
        after: state.get(key, namespace),
      }
    })
  }

  /** Key groups of the rows; of state that is kept by split, splits. */
  groups(): ReadonlySet<number> {
    return new Set(this.rows().map(({ key, split }) => split ?? keyGroupOf(key, this.#maxParallelism)))
  }

  restore(segments: readonly SegmentRef[]): Promise<void> {
    return this.#store.restore(segments)
  }

  keyed<V>(operatorUid: OperatorUid, name: string, split?: number): KeyedState<V> {
    const id = JSON.stringify([operatorUid, name, split ?? null])
    let state = this.#states.get(id)
    if (state === undefined) {
      const of = { operatorUid, name, split: split ?? null }
      const inner = this.#store.keyed<unknown>(operatorUid, name, split)
      const met = (key: Key, namespace: number): void => this.#met(id, inner, of, key, namespace)
      this.#states.set(id, (state = new RecordedState(inner, met)))
    }
    return state as KeyedState<V>
  }

  snapshot(): Promise<readonly SegmentRef[]> {
    return Promise.reject(wouldWrite('a segment of state'))
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  #met(id: string, state: KeyedState<unknown>, of: Touched['of'], key: Key, namespace: number): void {
    if (!this.#isRecording) return
    const row = JSON.stringify([id, key, namespace])
    if (this.#touched.has(row)) return
    this.#touched.set(row, { state, of, key, namespace, before: state.get(key, namespace) })
  }
}

class RecordedState implements KeyedState<unknown> {
  readonly #state: KeyedState<unknown>
  readonly #met: (key: Key, namespace: number) => void

  constructor(state: KeyedState<unknown>, met: (key: Key, namespace: number) => void) {
    this.#state = state
    this.#met = met
  }

  get(key: Key, namespace = 0): unknown {
    this.#met(key, namespace)
    return this.#state.get(key, namespace)
  }

  put(key: Key, value: unknown, namespace = 0): void {
    this.#met(key, namespace)
    this.#state.put(key, value, namespace)
  }

  delete(key: Key, namespace = 0): void {
    this.#met(key, namespace)
    this.#state.delete(key, namespace)
  }

  namespaces(): number[] {
    return this.#state.namespaces()
  }

  *entries(namespace: number): IterableIterator<[Key, unknown]> {
    for (const entry of this.#state.entries(namespace)) {
      this.#met(entry[0], namespace)
      yield entry
    }
  }

  clear(namespace: number): void {
    for (const [key] of this.#state.entries(namespace)) this.#met(key, namespace)
    this.#state.clear(namespace)
  }

  stale(before: number, max: number): Key[] {
    return this.#state.stale?.(before, max) ?? []
  }
}
