/**
 * Keyed state of one stage of one slice: a bounded hot map over LevelDB, written behind.
 *
 *   put ─▶ dirty ──barrier (a pointer swap)──▶ frozen ──asynchronously──▶ LevelDB + segment in the object store
 *   get ◀─ dirty, else frozen (newest first), else hot, else LevelDB
 *
 * LevelDB is written by snapshots only, one after the other: while one is being stored it holds exactly the state of its
 * barrier, which is what a base segment is read from. It is scratch: wiped at every open, never restored from (PROTOCOL A21).
 */
import { mkdir, rm } from 'node:fs/promises'
import type { ObjectStore } from '@weir/checkpoint'
import { deepFrozen } from './freeze.ts'
import type { KeyedState, SegmentRef, StateStore } from '@weir/dataflow'
import { WeirError, asWeirError, type CheckpointId, type Key, type KeyGroupRange, type OperatorUid } from '@weir/model'
import { ClassicLevel } from 'classic-level'
import { corrupt, decodeSegment, encodeSegment, pack, sha256, stateId, unpack, type Entry } from './segment.ts'

export interface StateStoreOptions {
  /** Wiped at open. */
  readonly dir: string
  readonly keyGroups: KeyGroupRange
  readonly maxParallelism: number
  /** Clean values kept in memory over all states; changed ones and windows are kept besides. */
  readonly hotEntriesMax: number
  /** Segments in a chain before a new base is written. */
  readonly chainLengthMax: number
  /** Freeze stored values, so that a mutation throws where it happens: development. */
  readonly freeze: boolean
}
export interface StateStoreDeps {
  /** What a restore reads from. */
  readonly objects: ObjectStore
  /** Makes a segment durable. Throws kind `retry` when the store is away for too long: the epoch is declined then. */
  readonly putSegment: (key: string, bytes: Uint8Array) => Promise<void>
  /** Object key of a new segment of this store. */
  readonly segmentKey: (checkpoint: CheckpointId) => string
}

const DELETED = Symbol('deleted')
type Change = unknown
/** Changes of one state since a barrier: namespace → key → value or DELETED. */
type Layer = Map<number, Map<Key, Change>>
const RESTORE_BATCH = 1_000

export async function openStateStore(options: StateStoreOptions, deps: StateStoreDeps): Promise<LevelStateStore> {
  await rm(options.dir, { recursive: true, force: true })
  await mkdir(options.dir, { recursive: true })
  const db = new ClassicLevel<string, Uint8Array>(options.dir, { valueEncoding: 'view' })
  await db.open()
  return new LevelStateStore(options, { ...deps, db })
}

class Table<V> implements KeyedState<V> {
  readonly id: string
  readonly #db: ClassicLevel<string, Uint8Array>
  readonly #hotMax: number
  readonly #freeze: boolean
  dirty: Layer = new Map()
  frozen: Layer[] = []
  #hot = new Map<Key, V>()
  /** Namespaces ≠ 0, wholly in memory. */
  readonly #windows = new Map<number, Map<Key, V>>()

  constructor(id: string, db: ClassicLevel<string, Uint8Array>, hotMax: number, freeze: boolean) {
    this.id = id
    this.#db = db
    this.#hotMax = hotMax
    this.#freeze = freeze
  }

  get(key: Key, namespace = 0): V | undefined {
    if (namespace !== 0) return this.#windows.get(namespace)?.get(key)
    const changed = this.dirty.get(0)?.get(key)
    if (changed !== undefined) return changed === DELETED ? undefined : (changed as V)
    for (let i = this.frozen.length - 1; i >= 0; i--) {
      const older = this.frozen[i]!.get(0)?.get(key)
      if (older !== undefined) return older === DELETED ? undefined : (older as V)
    }
    const hot = this.#hot.get(key)
    if (hot !== undefined) return hot
    const stored = this.#stored(key)
    if (stored === undefined) return undefined
    const value = this.#frozen(unpack(stored) as V)
    this.#keep(key, value)
    return value
  }

  /** A read that fails is the disk's fault, not that of the record whose state it is. */
  #stored(key: Key): Uint8Array | undefined {
    try {
      return this.#db.getSync(dbKey(this.id, 0, key))
    } catch (error) {
      throw asWeirError(error, 'STATE_UNREADABLE', 'restart')
    }
  }

  put(key: Key, value: V, namespace = 0): void {
    if (value === undefined || typeof value === 'function' || typeof value === 'symbol')
      throw unstorable(this.id, key, value)
    const stored = this.#frozen(value)
    this.#change(namespace, key, stored)
    if (namespace !== 0) {
      let values = this.#windows.get(namespace)
      if (values === undefined) this.#windows.set(namespace, (values = new Map<Key, V>()))
      values.set(key, stored)
    }
  }

  delete(key: Key, namespace = 0): void {
    this.#change(namespace, key, DELETED)
    if (namespace === 0) return void this.#hot.delete(key)
    const values = this.#windows.get(namespace)
    if (values?.delete(key) && values.size === 0) this.#windows.delete(namespace)
  }

  namespaces(): number[] {
    return [...this.#windows.keys()].sort((a, b) => a - b)
  }

  entries(namespace: number): IterableIterator<[Key, V]> {
    return (this.#windows.get(namespace) ?? new Map<Key, V>()).entries()
  }

  clear(namespace: number): void {
    for (const key of this.#windows.get(namespace)?.keys() ?? []) this.#change(namespace, key, DELETED)
    this.#windows.delete(namespace)
  }

  /** From a segment: in the database already, and for windows in memory too. */
  restored(key: Key, namespace: number, value: unknown): void {
    if (namespace === 0) return
    let values = this.#windows.get(namespace)
    if (value === undefined) {
      if (values?.delete(key) && values.size === 0) this.#windows.delete(namespace)
      return
    }
    if (values === undefined) this.#windows.set(namespace, (values = new Map<Key, V>()))
    values.set(key, this.#frozen(value as V))
  }

  /** The layer is in LevelDB now. */
  flushed(layer: Layer): void {
    this.frozen = this.frozen.filter((l) => l !== layer)
    for (const [key, value] of layer.get(0) ?? []) {
      if (value === DELETED) this.#hot.delete(key)
      else this.#keep(key, value as V)
    }
  }

  #change(namespace: number, key: Key, value: Change): void {
    let keys = this.dirty.get(namespace)
    if (keys === undefined) this.dirty.set(namespace, (keys = new Map<Key, Change>()))
    keys.set(key, value)
  }

  #keep(key: Key, value: V): void {
    this.#hot.delete(key)
    this.#hot.set(key, value)
    if (this.#hot.size > this.#hotMax) this.#hot.delete(this.#hot.keys().next().value!)
  }

  #frozen(value: V): V {
    return this.#freeze ? deepFrozen(value) : value
  }
}

export class LevelStateStore implements StateStore {
  readonly #options: StateStoreOptions
  readonly #deps: StateStoreDeps & { db: ClassicLevel<string, Uint8Array> }
  readonly #tables = new Map<string, Table<unknown>>()
  #chain: readonly SegmentRef[] = []
  /** An upload failed: LevelDB is ahead of the chain, so the next segment is a base. */
  #baseNeeded = false
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: StateStoreOptions, deps: StateStoreDeps & { db: ClassicLevel<string, Uint8Array> }) {
    this.#options = options
    this.#deps = deps
  }

  keyed<V>(operatorUid: OperatorUid, name: string, split?: number): KeyedState<V> {
    return this.#table(stateId(operatorUid, name, split)) as KeyedState<V>
  }

  async restore(segments: readonly SegmentRef[]): Promise<void> {
    const { db, objects } = this.#deps
    for (const ref of segments) {
      const object = await objects.get(ref.key)
      if (object === null) {
        throw new WeirError(
          { code: 'SEGMENT_MISSING', kind: 'invalid', objectKey: ref.key },
          `state segment ${ref.key} is named by the manifest and is not in the object store; restore it from a backup or restore an older epoch`,
        )
      }
      const bytes = Buffer.from(object.bytes.buffer, object.bytes.byteOffset, object.bytes.byteLength)
      if (sha256(bytes) !== ref.sha256) throw corrupt(ref.key, 'its SHA-256 is not the one in the manifest')
      let batch = db.batch()
      for (const { operatorUid, name, split, namespace, key, value } of decodeSegment(
        bytes,
        ref.key,
        this.#options.keyGroups,
      )) {
        const table = this.#table(stateId(operatorUid, name, split))
        table.restored(key, namespace, value)
        if (value === undefined) batch.del(dbKey(table.id, namespace, key))
        else batch.put(dbKey(table.id, namespace, key), pack(value))
        if (batch.length >= RESTORE_BATCH) {
          await batch.write()
          batch = db.batch()
        }
      }
      await batch.write()
    }
    this.#chain = segments
  }

  snapshot(checkpoint: CheckpointId): Promise<readonly SegmentRef[]> {
    // The synchronous part: as many pointer swaps as there are states, whatever their size.
    const layers: [Table<unknown>, Layer][] = []
    for (const table of this.#tables.values()) {
      if (table.dirty.size === 0) continue
      layers.push([table, table.dirty])
      table.frozen.push(table.dirty)
      table.dirty = new Map()
    }
    const stored = this.#turn.then(() => this.#store(checkpoint, layers))
    this.#turn = stored.catch(() => {})
    return stored
  }

  async close(): Promise<void> {
    await this.#turn
    await this.#deps.db.close()
  }

  async #store(checkpoint: CheckpointId, layers: readonly [Table<unknown>, Layer][]): Promise<readonly SegmentRef[]> {
    if (layers.length === 0 && !this.#baseNeeded) return this.#chain
    const { db, putSegment, segmentKey } = this.#deps
    const { maxParallelism, chainLengthMax, keyGroups } = this.#options
    const changes = [...changesOf(layers)]
    await db.batch(
      changes.map(({ id, namespace, key, value }) =>
        value === undefined
          ? { type: 'del' as const, key: dbKey(id, namespace, key) }
          : { type: 'put' as const, key: dbKey(id, namespace, key), value: pack(value) },
      ),
    )
    for (const [table, layer] of layers) table.flushed(layer)
    const base = this.#baseNeeded || this.#chain.length === 0 || this.#chain.length >= chainLengthMax
    this.#baseNeeded = true // until the object is there
    const { bytes, entries } = encodeSegment(base ? await this.#everything() : changes.map(named), maxParallelism)
    const key = segmentKey(checkpoint)
    await putSegment(key, bytes)
    this.#baseNeeded = false
    const ref: SegmentRef = {
      key,
      bytes: bytes.length,
      entries,
      sha256: sha256(bytes),
      kind: base ? 'base' : 'delta',
      keyGroups,
    }
    this.#chain = base ? [ref] : [...this.#chain, ref]
    return this.#chain
  }

  async #everything(): Promise<Entry[]> {
    const entries: Entry[] = []
    for await (const [stored, value] of this.#deps.db.iterator()) {
      const [id, namespace, key] = JSON.parse(stored) as [string, number, Key]
      entries.push(named({ id, namespace, key, value: unpack(value) }))
    }
    return entries
  }

  #table(id: string): Table<unknown> {
    let table = this.#tables.get(id)
    if (table === undefined) {
      table = new Table<unknown>(id, this.#deps.db, this.#options.hotEntriesMax, this.#options.freeze)
      this.#tables.set(id, table)
    }
    return table
  }
}

interface Stored {
  readonly id: string
  readonly namespace: number
  readonly key: Key
  readonly value: unknown
}
function* changesOf(layers: readonly [Table<unknown>, Layer][]): Generator<Stored> {
  for (const [{ id }, layer] of layers) {
    for (const [namespace, keys] of layer) {
      for (const [key, value] of keys) yield { id, namespace, key, value: value === DELETED ? undefined : value }
    }
  }
}
function named({ id, namespace, key, value }: Stored): Entry {
  const [operatorUid, name, split] = JSON.parse(id) as [string, string, number?]
  return { operatorUid, name, split, namespace, key, value }
}
/** JSON: `1` and `"1"` stay different keys. */
const dbKey = (id: string, namespace: number, key: Key): string => JSON.stringify([id, namespace, key])

function unstorable(id: string, key: Key, value: unknown): WeirError {
  const [operatorUid, name] = JSON.parse(id) as [string, string]
  const code = value === undefined ? 'STATE_VALUE_UNDEFINED' : 'STATE_VALUE_UNSERIALISABLE'
  return new WeirError(
    { code, kind: 'invalid', operatorUid, state: name, key },
    `operator "${operatorUid}" put ${typeof value} into state "${name}" for key ${JSON.stringify(key)}; state holds plain data. To remove a value, delete its key.`,
  )
}
