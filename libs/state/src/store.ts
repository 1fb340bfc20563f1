/**
 * Keyed state of one stage of one slice: a bounded hot map over LevelDB, written behind.
 *
 *   put ─▶ dirty layer ──barrier (a pointer swap)──▶ packed ──asynchronously──▶ segment in the object store, LevelDB
 *   get ◀─ entries in memory (changed ones, and those read or written lately), else LevelDB
 *
 * LevelDB is written by snapshots only, one after the other. A delta is stored from memory, and LevelDB has its rows before the
 * next snapshot: then it holds exactly the state of a barrier, which is what a base segment is read from. It is scratch: wiped
 * at every open, never restored from (PROTOCOL A21).
 * A large restore fills it behind the running job (`pending.ts`).
 *
 * A chain of segments is a base and the deltas after it. One that has grown too long is *folded*: a new base is read from a
 * snapshot of LevelDB while the next barriers go on adding deltas, and takes the place of what it covers when it is stored.
 */
import { mkdir, rm } from 'node:fs/promises'
import { setImmediate as yieldTurn } from 'node:timers/promises'
import { zstdDecompressSync } from 'node:zlib'
import type { ObjectStore } from '@weir/checkpoint'
import { ownerOfEntry, type KeyedState, type SegmentRef, type StateStore, type StoredSchema } from '@weir/dataflow'
import {
  asWeirError,
  inRange,
  intersection,
  keyGroupOf,
  type CheckpointId,
  type Key,
  type KeyGroupRange,
  type OperatorUid,
} from '@weir/model'
import { ClassicLevel } from 'classic-level'
import { ChainVersions } from './chain-versions.ts'
import { delta, packedRows, type ChangedLayer, type ChangedRow, type ChangedRows } from './changed-rows.ts'
import { HotBudget } from './hot-budget.ts'
import type { LocalCopies } from './local-copies.ts'
import { Migrations, type SchemaOf } from './migration.ts'
import { pack, stateId, stateNames, unpack } from './pack.ts'
import { PendingGroups, type VerifiedChunk } from './pending.ts'
import { dbKey, dbPrefix, parsedKey } from './row-key.ts'
import { excludedBy, openSegment, readWhole, type OpenSegment } from './segment-reader.ts'
import { decodeSegment1 } from './segment-1.ts'
import {
  DELETE,
  SegmentWriter,
  VALUE,
  decodeRows,
  sum,
  type Row,
  type SegmentUpload,
  type Versions,
} from './segment.ts'
import { Table } from './table.ts'

export interface StateStoreOptions {
  /** Wiped at open. */
  readonly dir: string
  readonly keyGroups: KeyGroupRange
  readonly maxParallelism: number
  /** Which subtask of how many: versions are counted by it. */
  readonly writer: string
  /** Clean values kept in memory over all states; changed ones and windows are kept besides. */
  readonly hotEntriesMax?: number
  /** And their bytes, as they are stored. */
  readonly hotBytesMax?: number
  /** Rows looked at for stale ones behind each snapshot; a folding looks at all. */
  readonly lookRowsMax?: number
  /** Segments in a chain before it is folded. At four times as many, snapshots wait for the folding. */
  readonly chainLengthMax: number
  /** Bytes of the deltas over bytes of the base before a chain is folded. */
  readonly chainRatioMax: number
  /** Entries restored before the job runs; from as many on LevelDB is filled behind the running job. Default 20,000. */
  readonly pendingEntriesMin?: number
  /** Freeze stored values, so that a mutation throws where it happens: development. */
  readonly freeze: boolean
  /** What the build knows of its states; absent: they have no schemas. */
  readonly schemas?: SchemaOf
}
export interface StateStoreDeps {
  /** What a restore reads from. */
  readonly objects: ObjectStore
  /** Makes a segment durable. Throws kind `retry` when the store is away for too long: the epoch is declined then. */
  readonly upload: (key: string) => SegmentUpload
  /** Object key of a new segment of this store; no key is given out twice. */
  readonly segmentKey: (checkpoint: CheckpointId, kind: 'written' | 'folded') => string
  /** Absent: no copies are kept on this pod. */
  readonly copies?: LocalCopies
  /** Told of every segment a restore has read, and where it lay. */
  readonly restoredFrom?: (source: 'local' | 'store') => void
}

type Db = ClassicLevel<string, Uint8Array>
/** Rows written to, or read from, LevelDB in one call; between two the slot does other work. */
const ROWS_AT_ONCE = 1_000
/** LevelDB's memory before it writes a table. Its content is scratch and compressed in the segments. */
const WRITE_BUFFER_BYTES = 16 * 1024 * 1024
/** Segments of a chain opened before their turn. */
const SEGMENTS_AHEAD = 4
const CHAIN_LENGTH_HARD = 4
export const HOT_BYTES_MAX_DEFAULT = 64 * 1024 * 1024
const LOOK_ROWS_MAX_DEFAULT = 10_000
const PENDING_ENTRIES_MIN = 20_000
/** Above, rows go into LevelDB before a restore ends: their chunks and rows would have to be in memory until they are in LevelDB. */
const PENDING_ENTRIES_MAX = 4_000_000
const PENDING_BYTES_MAX = 256 * 1024 * 1024
const NO_GROUPS: KeyGroupRange = { from: 0, to: 0 }

export async function openStateStore(options: StateStoreOptions, deps: StateStoreDeps): Promise<LevelStateStore> {
  await rm(options.dir, { recursive: true, force: true })
  await mkdir(options.dir, { recursive: true })
  const db: Db = new ClassicLevel(options.dir, {
    valueEncoding: 'view',
    compression: false,
    writeBufferSize: WRITE_BUFFER_BYTES,
  })
  await db.open()
  return new LevelStateStore(options, { ...deps, db })
}

export class LevelStateStore implements StateStore {
  readonly #options: StateStoreOptions
  readonly #deps: StateStoreDeps & { db: Db }
  readonly #tables = new Map<string, Table<unknown>>()
  readonly #byNumber: Table<unknown>[] = []
  #chain: readonly SegmentRef[] = []
  readonly #versions = new ChainVersions()
  readonly #migrations: Migrations
  /** An upload failed, or values were migrated: LevelDB is ahead of the chain, so the next segment is a base. */
  #baseNeeded = false
  /** LevelDB lacks changes that a layer in memory has: nothing is stored from it any more. */
  #broken: { readonly error: unknown } | null = null
  #turn: Promise<unknown> = Promise.resolve()
  /** Restored, and not in LevelDB yet. */
  #pending: PendingGroups | null = null
  readonly #settling = new Map<number, Promise<void>>()
  #settled: Promise<void> = Promise.resolve()
  #folding: Promise<void> | null = null
  #foldFailure: unknown = null
  #closing = false
  readonly #budget: HotBudget
  /** Where the look for stale rows goes on: which range of rows, and behind which of them. */
  #look: { range: number; after: string | null } = { range: 0, after: null }

  constructor(options: StateStoreOptions, deps: StateStoreDeps & { db: Db }) {
    this.#options = options
    this.#deps = deps
    const { hotEntriesMax: entriesMax = Infinity, hotBytesMax: bytesMax = HOT_BYTES_MAX_DEFAULT } = options
    this.#budget = new HotBudget({ entriesMax, bytesMax }, () => {
      for (const table of this.#byNumber) table.rotate()
    })
    this.#migrations = new Migrations((uid, state) => options.schemas?.(uid, state) ?? null)
  }

  keyed<V>(operatorUid: OperatorUid, name: string, split?: number): KeyedState<V> {
    return this.#table(stateId(operatorUid, name, split)) as KeyedState<V>
  }

  // ---- restore ------------------------------------------------------------------------------------------------------

  /**
   * Throws `SEGMENT_MISSING`, `SEGMENT_CORRUPT`, `SEGMENT_CHAIN_BROKEN`, `STATE_SCHEMA_NEWER`, `STATE_SCHEMA_OTHER`,
   * `STATE_MIGRATION_MISSING`, `STATE_MIGRATION_FAILED` (invalid): the store is of no use then.
   */
  async restore(segments: readonly SegmentRef[]): Promise<void> {
    const opened: Promise<OpenSegment>[] = []
    const ahead = (i: number): void => {
      const ref = segments[i]
      if (ref?.index === undefined) return
      opened[i] = this.#open({ ...ref, index: ref.index })
      opened[i].catch(() => {}) // thrown in its turn
    }
    for (let i = 0; i < SEGMENTS_AHEAD; i++) ahead(i)
    this.#pending = mayPend(segments, this.#options.pendingEntriesMin ?? PENDING_ENTRIES_MIN)
      ? new PendingGroups()
      : null
    for (const [i, ref] of segments.entries()) {
      if (ref.index === undefined) await this.#restoreFormat1(ref)
      else {
        const segment = await opened[i]!
        await this.#restoreSegment(ref, segment).finally(() => segment.close())
      }
      delete opened[i]
      ahead(i + SEGMENTS_AHEAD)
    }
    this.#chain = segments
    await this.#deps.copies?.retain(segments)
    this.#pending?.begin()
    if (this.#migrations.due().size === 0) {
      this.#settled = this.#settle()
      this.#settled.catch(() => {}) // thrown to the next snapshot
    } else {
      await this.#settle()
      await this.#migrate()
    }
  }

  /** Resolves when LevelDB has all that was restored. */
  settled(): Promise<void> {
    return this.#settled
  }

  /** All pending groups into LevelDB, one after another, with turns for others in between. */
  async #settle(): Promise<void> {
    const pending = this.#pending
    for (let group = pending?.next(); group !== undefined && !this.#closing; group = pending?.next()) {
      await this.#settleGroup(group)
      await yieldTurn()
    }
    if (!this.#closing) this.#pending = null
  }

  #settleGroup(group: number): Promise<void> {
    let settling = this.#settling.get(group)
    if (settling === undefined) {
      settling = this.#writeGroup(group).finally(() => this.#settling.delete(group))
      this.#settling.set(group, settling)
    }
    return settling
  }

  async #writeGroup(group: number): Promise<void> {
    const { db } = this.#deps
    let batch = db.batch()
    for (const [at, packed] of this.#pending!.rows(group)) {
      if (packed === null) continue // LevelDB has nothing of the group yet
      batch.put(at, packed)
      if (batch.length < ROWS_AT_ONCE) continue
      await batch.write()
      batch = db.batch()
    }
    await batch.write()
    this.#pending!.written(group)
  }

  /** One walk through LevelDB for every state that is stored as an older version. */
  async #migrate(): Promise<void> {
    const due = this.#migrations.due()
    if (due.size === 0) return
    this.#baseNeeded = true // no chain is of two versions
    const { db } = this.#deps
    const snapshot = db.snapshot()
    const rows = db.iterator({ snapshot })
    try {
      for (;;) {
        const some = await rows.nextv(ROWS_AT_ONCE)
        if (some.length === 0) return
        const batch = db.batch()
        for (const [at, packed] of some) {
          const { group, table: number, namespace, key } = parsedKey(at)
          const table = this.#byNumber[number]!
          const migrate = due.get(table.id)
          if (migrate === undefined) continue
          const value = migrate(unpack(packed), { group, key })
          batch.put(at, pack(value))
          if (namespace !== 0) table.restored(key, namespace, value)
        }
        await batch.write()
      }
    } finally {
      await rows.close()
      await snapshot.close()
    }
  }

  /** From this pod's disk where a whole copy lies there, else from the object store. */
  async #open(ref: SegmentRef & Required<Pick<SegmentRef, 'index'>>): Promise<OpenSegment> {
    const { objects, copies, restoredFrom } = this.#deps
    const local = (await copies?.find(ref)) ?? null
    restoredFrom?.(local === null ? 'store' : 'local')
    return openSegment(ref, objects, this.#wantedOf(ref), undefined, local)
  }

  async #restoreSegment(ref: SegmentRef, segment: OpenSegment): Promise<void> {
    const { index, chunks } = segment
    this.#versions.continue(ref, index)
    const excluded = excludedBy(ref)
    const tables = index.states.map(([uid, name, split], i) => {
      if (excluded(uid, name)) return null
      const id = stateId(uid, name, split)
      const schema = index.schemas?.[i] ?? null
      this.#migrations.found(id, schema && { name: schema[0], version: schema[1] }, ref.key)
      const table = this.#table(id)
      table.incomplete()
      return table
    })
    if (this.#pending !== null) return this.#keepPending(this.#pending, segment, tables)
    const { db } = this.#deps
    let batch = db.batch()
    let writing: Promise<void> = Promise.resolve()
    const write = async (): Promise<void> => {
      const full = batch
      batch = db.batch()
      await writing // at most one: rows are decoded meanwhile
      writing = full.write()
      writing.catch(() => {})
    }
    for await (const rows of chunks()) {
      for (const { group, state, namespace, key, op, value } of rows) {
        const table = tables[state]!
        if (table === null) continue
        const at = dbKey(group, table.number, namespace, key)
        if (op === DELETE) batch.del(at)
        else if (op === VALUE) batch.put(at, value)
        else batch.put(at, pack(sum(unpack(db.getSync(at)!), op, unpack(value))))
        if (namespace !== 0) table.restored(key, namespace, op === DELETE ? undefined : unpack(value))
        if (batch.length >= ROWS_AT_ONCE) await write()
      }
    }
    await write()
    await writing
  }

  /** What has a namespace is in memory from the beginning; everything else waits to be asked for. */
  async #keepPending(
    pending: PendingGroups,
    { index, range, raw }: OpenSegment,
    tables: readonly (Table<unknown> | null)[],
  ): Promise<void> {
    const chunks: VerifiedChunk[] = []
    for await (const chunk of raw()) {
      chunks.push(chunk)
      if (index.namespaced === false) continue
      for (const { group, state, namespace, key, op, value } of decodeRows(zstdDecompressSync(chunk.bytes), {
        namespaced: true,
      })) {
        if (inRange(range, group)) tables[state]?.restored(key, namespace, op === DELETE ? undefined : unpack(value))
      }
    }
    const nameOf = ({ group, state, namespace, key }: Row): string | null => {
      const table = tables[state]
      return table ? dbKey(group, table.number, namespace, key) : null
    }
    pending.add({ range, chunks, nameOf })
  }

  async #restoreFormat1(ref: SegmentRef): Promise<void> {
    const { db, objects } = this.#deps
    const bytes = await readWhole(ref, objects)
    const excluded = excludedBy(ref)
    let batch = db.batch()
    for (const row of decodeSegment1(bytes, ref.key, this.#wantedOf(ref))) {
      const { group, operatorUid, name, split, namespace, key, value } = row
      if (excluded(operatorUid, name)) continue
      const id = stateId(operatorUid, name, split)
      this.#migrations.found(id, null, ref.key)
      const table = this.#table(id)
      table.incomplete()
      const at = dbKey(group, table.number, namespace, key)
      if (namespace !== 0) table.restored(key, namespace, value)
      if (value === undefined) batch.del(at)
      else batch.put(at, pack(value))
      if (batch.length < ROWS_AT_ONCE) continue
      await batch.write()
      batch = db.batch()
    }
    await batch.write()
  }

  /** What the reference is good for: behind a rescale, less than the object holds. */
  #wantedOf({ keyGroups, only = keyGroups }: SegmentRef): KeyGroupRange {
    return intersection(this.#options.keyGroups, only) ?? NO_GROUPS
  }

  // ---- snapshot -----------------------------------------------------------------------------------------------------

  snapshot(checkpoint: CheckpointId): Promise<readonly SegmentRef[]> {
    // The synchronous part: as many pointer swaps as there are states, whatever their size.
    const layers: ChangedLayer[] = []
    for (const table of this.#tables.values()) {
      const layer = table.cut()
      if (layer !== null) layers.push([table, layer])
    }
    const packed = this.#turn.then(() => this.#packed(layers))
    const stored = packed.then((rows) => this.#store(checkpoint, layers, rows))
    this.#turn = this.#follow(checkpoint, layers, packed, stored).catch(() => {}) // thrown to the next snapshot
    return stored
  }

  dirtyOperators(): ReadonlySet<OperatorUid> {
    const dirty = [...this.#tables.values()].filter(({ isDirty }) => isDirty)
    return new Set(dirty.map(({ id }) => stateNames(id)[0] as OperatorUid))
  }

  /** Resolves when the last snapshot has left nothing to do: LevelDB has its rows, nothing is being folded any more. */
  async folded(): Promise<void> {
    await this.#turn
    await this.#folding
  }

  async close(): Promise<void> {
    this.#closing = true
    await this.#turn
    await this.#folding
    await this.#settled.catch(() => {})
    await this.#deps.db.close()
  }

  /** Behind a snapshot, whatever became of it: LevelDB takes the rows, the chain is folded when it is long. */
  async #follow(
    checkpoint: CheckpointId,
    layers: readonly ChangedLayer[],
    packed: Promise<ChangedRows>,
    stored: Promise<unknown>,
  ): Promise<void> {
    const there = await stored.then(
      () => true,
      () => false,
    )
    if (this.#closing) return
    await this.#flush(layers, await packed)
    if (there) this.#foldWhenDue(checkpoint)
    await this.#lookForStale()
  }

  async #packed(layers: readonly ChangedLayer[]): Promise<ChangedRows> {
    if (this.#broken !== null) throw this.#broken.error
    try {
      return await packedRows(layers, (table, key) => this.#groupOf(table, key))
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** A delta is stored from memory, before LevelDB has its rows: an epoch does not wait for the disk. */
  async #store(
    checkpoint: CheckpointId,
    layers: readonly ChangedLayer[],
    rows: ChangedRows,
  ): Promise<readonly SegmentRef[]> {
    if (layers.length === 0 && !this.#baseNeeded) return this.#chain
    const base = this.#baseNeeded || this.#chain.length === 0
    this.#baseNeeded = true // until the segment is there
    if (base) {
      await this.#flush(layers, rows)
      await this.#settled
      if (this.#pending !== null) throw new Error('the store closes')
    } else await this.#room()
    const uids = new Set(layers.map(([table]) => stateNames(table.id)[0]))
    const { writer } = this.#options
    const from = new Map(this.#versions.of(writer))
    const to = new Map([...uids].map((uid) => [uid, (from.get(uid) ?? 0) + 1]))
    const ref = base
      ? await this.#write(checkpoint, 'base', 'written', new Map([...from, ...to]), (w) => this.#everything(w, false))
      : await this.#write(checkpoint, 'delta', 'written', to, (w) => delta(w, rows), from)
    this.#versions.set(writer, new Map([...from, ...to]))
    this.#baseNeeded = false
    this.#chain = base ? [ref] : [...this.#chain, ref]
    await this.#deps.copies?.retain(this.#chain)
    return this.#chain
  }

  /** Writes the rows of the layers to LevelDB, once. */
  async #flush(layers: readonly ChangedLayer[], groups: ChangedRows): Promise<void> {
    if (layers.every(([, layer]) => layer.flushed)) return
    try {
      const { db } = this.#deps
      let batch = db.batch()
      let inBatch: ChangedRow[] = []
      const write = async (): Promise<void> => {
        await batch.write()
        // Not before: an entry that LevelDB has may be dropped.
        for (const { table, entry, layer, start, end } of inBatch)
          if (entry !== null) table.settle(entry, layer, end - start)
        batch = db.batch()
        inBatch = []
      }
      for (const [group, rows] of groups) {
        if (this.#pending?.has(group)) await this.#settleGroup(group) // else it would overwrite what is newer
        for (const row of rows) {
          const { table, namespace, key, op, piece, start, end } = row
          const at = dbKey(group, table.number, namespace, key)
          if (op === DELETE) batch.del(at)
          else batch.put(at, piece.subarray(start, end))
          if (inBatch.push(row) === ROWS_AT_ONCE) await write()
        }
      }
      await write()
    } catch (error) {
      throw this.#failed(asWeirError(error, 'STATE_UNWRITABLE', 'restart'))
    }
    for (const [, layer] of layers) layer.flushed = true
  }

  #failed(error: unknown): unknown {
    this.#broken ??= { error }
    return error
  }

  async #write(
    checkpoint: CheckpointId,
    kind: SegmentRef['kind'],
    key: 'written' | 'folded',
    versions: Versions,
    rows: (writer: SegmentWriter) => Promise<void>,
    from: Versions = new Map(),
  ): Promise<SegmentRef> {
    const objectKey = this.#deps.segmentKey(checkpoint, key)
    const { copies } = this.#deps
    const sent = this.#deps.upload(objectKey)
    const upload = copies?.keeping(objectKey, sent) ?? sent
    try {
      const writer = new SegmentWriter(this.#options.writer, upload)
      await rows(writer)
      const stored = await writer.finish(
        [...versions].map(([uid, to]) => [uid, from.get(uid) ?? 0, to]),
        (uid, state) => this.#schemaOf(uid, state),
      )
      return { key: objectKey, kind, keyGroups: this.#options.keyGroups, ...stored }
    } catch (error) {
      await upload.abort()
      throw error
    }
  }

  /** LevelDB as it is at the call, in the order of key groups. */
  async #everything(writer: SegmentWriter, background: boolean): Promise<void> {
    const snapshot = this.#deps.db.snapshot()
    const rows = this.#deps.db.iterator({ snapshot })
    try {
      for (;;) {
        const some = await rows.nextv(ROWS_AT_ONCE)
        if (some.length === 0) return
        if (background && this.#closing) throw new Error('the store closes')
        for (const [at, packed] of some) {
          const { group, table: number, namespace, key } = parsedKey(at)
          const table = this.#byNumber[number]!
          if (namespace === 0 && table.looksForStale) table.met(key, packed)
          if (writer.add(group, table.id, namespace, key, VALUE, packed)) await writer.flush()
        }
      }
    } finally {
      await rows.close()
      await snapshot.close()
    }
  }

  // ---- folding ------------------------------------------------------------------------------------------------------

  /** Called where LevelDB holds exactly what the chain restores. */
  #foldWhenDue(checkpoint: CheckpointId): void {
    const [base, ...deltas] = this.#chain
    const { chainLengthMax, chainRatioMax, writer } = this.#options
    const bytes = deltas.reduce((all, { bytes: b }) => all + b, 0)
    const due = this.#chain.length > chainLengthMax || bytes > base!.bytes * chainRatioMax
    if (!due || deltas.length === 0 || this.#pending !== null || this.#folding !== null || this.#closing) return
    const covered = this.#chain
    const versions = new Map(this.#versions.of(writer))
    this.#folding = this.#write(checkpoint, 'base', 'folded', versions, (w) => this.#everything(w, true))
      .then((folded) => {
        this.#foldFailure = null
        // Else a base was written meanwhile, after a failed upload: this one is left to the collection of orphans.
        const continued = covered.every((ref, i) => this.#chain[i] === ref)
        if (continued) this.#chain = [folded, ...this.#chain.slice(covered.length)]
      })
      .catch((error: unknown) => void (this.#foldFailure = error)) // tried again after the next snapshot
      .finally(() => (this.#folding = null))
  }

  /** Waits while folding is far behind. A chain that cannot be folded declines epochs rather than grow without end. */
  async #room(): Promise<void> {
    if (this.#chain.length < this.#options.chainLengthMax * CHAIN_LENGTH_HARD) return
    await this.#folding
    if (this.#chain.length < this.#options.chainLengthMax * CHAIN_LENGTH_HARD) return
    if (this.#foldFailure !== null) throw this.#foldFailure
  }

  // ---- stale rows ---------------------------------------------------------------------------------------------------

  /** Goes on through the rows of states that ask for stale ones, one stretch at a time, once round at most. */
  async #lookForStale(): Promise<void> {
    const asking = this.#byNumber.filter((table) => table.looksForStale)
    const ranges = asking.flatMap((table) => this.#groupsOf(table).map((group) => ({ table, group })))
    let rows = this.#options.lookRowsMax ?? LOOK_ROWS_MAX_DEFAULT
    for (let visited = 0; visited < ranges.length && rows > 0 && !this.#closing; visited++) {
      const { table, group } = ranges[this.#look.range % ranges.length]!
      const from = dbPrefix(group, table.number, 0)
      // A look begun in another range ends there: states come up one after the other.
      const gt = this.#look.after?.startsWith(from) === true ? this.#look.after : from
      const iterator = this.#deps.db.iterator({ gt, lt: `${from}~`, limit: rows })
      try {
        for (;;) {
          const some = await iterator.nextv(ROWS_AT_ONCE)
          if (some.length === 0) break
          rows -= some.length
          this.#look.after = some.at(-1)![0]
          for (const [at, packed] of some) table.met(parsedKey(at).key, packed)
        }
      } finally {
        await iterator.close()
      }
      if (rows > 0) this.#look = { range: (this.#look.range + 1) % ranges.length, after: null }
    }
  }

  #groupsOf({ split }: Table<unknown>): readonly number[] {
    if (split !== undefined) return [split]
    const { keyGroups, maxParallelism } = this.#options
    const { from, to } = { from: keyGroups.from, to: Math.min(keyGroups.to, maxParallelism) }
    return Array.from({ length: Math.max(to - from, 0) }, (_, i) => from + i)
  }

  // -------------------------------------------------------------------------------------------------------------------

  #groupOf(table: Table<unknown>, key: Key): number {
    if (table.split !== undefined) return table.split
    return keyGroupOf(table.hasEntries ? ownerOfEntry(String(key)) : key, this.#options.maxParallelism)
  }

  #schemaOf(operatorUid: string, state: string): StoredSchema | null {
    const schema = this.#options.schemas?.(operatorUid, state) ?? null
    return schema && { name: schema.name, version: schema.version }
  }

  #stored(table: Table<unknown>, key: Key): Uint8Array | undefined {
    const group = this.#groupOf(table, key)
    const at = dbKey(group, table.number, 0, key)
    return this.#pending?.has(group) ? this.#pending.get(group, at) : this.#deps.db.getSync(at)
  }

  #table(id: string): Table<unknown> {
    let table = this.#tables.get(id)
    if (table === undefined) {
      const { freeze } = this.#options
      table = new Table<unknown>(id, this.#byNumber.length, { freeze }, this.#budget, (t, key) => this.#stored(t, key))
      this.#tables.set(id, table)
      this.#byNumber.push(table)
    }
    return table
  }
}

function mayPend(segments: readonly SegmentRef[], entriesMin: number): boolean {
  const entries = segments.reduce((all, ref) => all + ref.entries, 0)
  const bytes = segments.reduce((all, ref) => all + ref.bytes, 0)
  if (entries < entriesMin || entries > PENDING_ENTRIES_MAX || bytes > PENDING_BYTES_MAX) return false
  return segments.every(({ index }) => index !== undefined)
}
