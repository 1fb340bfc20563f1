/** Keyed state in memory; snapshots are objects in the simulated store, whole each time. */
import { createHash } from 'node:crypto'
import type { ObjectStore } from '@weir/checkpoint'
import { MemoryKeyedState, type KeyedState, type SegmentRef, type StateStore } from '@weir/dataflow'
import { keyGroupOf, type CheckpointId, type Key, type KeyGroupRange, type OperatorUid } from '@weir/model'

export interface SimStateDeps {
  readonly objects: ObjectStore
  readonly put: (key: string, bytes: Uint8Array) => Promise<void>
  readonly keyOf: (checkpoint: CheckpointId) => string
  readonly maxParallelism: number
}

export class SimStateStore implements StateStore {
  readonly #deps: SimStateDeps
  readonly #states = new Map<string, { state: MemoryKeyedState<unknown>; keys: Map<number, Set<Key>> }>()

  constructor(deps: SimStateDeps) {
    this.#deps = deps
  }

  async restore(segments: readonly SegmentRef[]): Promise<void> {
    for (const { key, only } of segments) {
      const object = await this.#deps.objects.get(key)
      if (object === null) throw new Error(`segment ${key} of a published epoch is gone`)
      const all = JSON.parse(Buffer.from(object.bytes).toString('utf8')) as [string, Row[]][]
      for (const [id, entries] of all) {
        const [uid, name, split] = JSON.parse(id) as [OperatorUid, string, number?]
        const state = this.keyed(uid, name, split)
        for (const [k, value, namespace] of entries)
          if (only === undefined || this.#isIn(only, k)) state.put(k, value, namespace)
      }
    }
  }

  keyed<V>(operatorUid: OperatorUid, name: string, split?: number): KeyedState<V> {
    const id = JSON.stringify(split === undefined ? [operatorUid, name] : [operatorUid, name, split])
    let entry = this.#states.get(id)
    if (entry === undefined) {
      const state = new MemoryKeyedState<unknown>()
      const keys = new Map<number, Set<Key>>()
      const put = state.put.bind(state)
      state.put = (key, value, namespace = 0) => {
        const inNamespace = keys.get(namespace)
        if (inNamespace) inNamespace.add(key)
        else keys.set(namespace, new Set([key]))
        put(key, value, namespace)
      }
      this.#states.set(id, (entry = { state, keys }))
    }
    return entry.state as KeyedState<V>
  }

  async snapshot(checkpoint: CheckpointId): Promise<readonly SegmentRef[]> {
    const all = [...this.#states].map(([id, { state, keys }]) => [
      id,
      [...keys].flatMap(([namespace, own]) => [...own].map((k) => rowOf(k, state.get(k, namespace), namespace))),
    ])
    const bytes = Buffer.from(JSON.stringify(all))
    const key = this.#deps.keyOf(checkpoint)
    await this.#deps.put(key, bytes)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    // What is stale is in it, too: restored at an earlier parallelism, and another subtask's by now.
    return [{ key, bytes: bytes.length, entries: 0, sha256, kind: 'base', keyGroups: { from: 0, to: 128 } }]
  }

  #isIn({ from, to }: KeyGroupRange, key: Key): boolean {
    const group = keyGroupOf(key, this.#deps.maxParallelism)
    return group >= from && group < to
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

type Row = readonly [key: Key, value: unknown, namespace?: number]
const rowOf = (key: Key, value: unknown, namespace: number): Row =>
  namespace === 0 ? [key, value] : [key, value, namespace]
