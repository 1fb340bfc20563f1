/** Keyed state in memory; snapshots are objects in the simulated store, whole each time. */
import { createHash } from 'node:crypto'
import type { ObjectStore } from '@weir/checkpoint'
import { MemoryKeyedState, type KeyedState, type SegmentRef, type StateStore } from '@weir/dataflow'
import type { CheckpointId, Key, OperatorUid } from '@weir/model'

export class SimStateStore implements StateStore {
  readonly #objects: ObjectStore
  readonly #put: (key: string, bytes: Uint8Array) => Promise<void>
  readonly #keyOf: (checkpoint: CheckpointId) => string
  readonly #states = new Map<string, { state: MemoryKeyedState<unknown>; keys: Map<number, Set<Key>> }>()

  constructor(
    objects: ObjectStore,
    put: (key: string, bytes: Uint8Array) => Promise<void>,
    keyOf: (checkpoint: CheckpointId) => string,
  ) {
    this.#objects = objects
    this.#put = put
    this.#keyOf = keyOf
  }

  async restore(segments: readonly SegmentRef[]): Promise<void> {
    for (const { key } of segments) {
      const object = await this.#objects.get(key)
      if (object === null) throw new Error(`segment ${key} of a published epoch is gone`)
      const all = JSON.parse(Buffer.from(object.bytes).toString('utf8')) as [string, Row[]][]
      for (const [id, entries] of all) {
        const [uid, name, split] = JSON.parse(id) as [OperatorUid, string, number?]
        const state = this.keyed(uid, name, split)
        for (const [k, value, namespace] of entries) state.put(k, value, namespace)
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
    const key = this.#keyOf(checkpoint)
    await this.#put(key, bytes)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    return [{ key, bytes: bytes.length, entries: 0, sha256, kind: 'base', keyGroups: { from: 0, to: 128 } }]
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

type Row = readonly [key: Key, value: unknown, namespace?: number]
const rowOf = (key: Key, value: unknown, namespace: number): Row =>
  namespace === 0 ? [key, value] : [key, value, namespace]
