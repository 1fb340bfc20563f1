/**
 * Keyed state of one stage of one slice. While all values fit the budget they are in memory alone (`resident.ts`); from the
 * first barrier at which they no longer do, LevelDB has the rows and memory a part of them (`level.ts`).
 *
 *   put ─▶ dirty layer ──barrier (a pointer swap)──asynchronously──▶ segment in the object store ──▶ settled
 *   get ◀─ entries in memory, else what a restore has left (`restored-groups.ts`), else LevelDB
 *
 * An epoch is stored before its rows are settled, and those of one before those of the next.
 */
import { mkdir, rm } from 'node:fs/promises'
import type { ObjectStore } from '@weir/checkpoint'
import { ownerOfEntry, type KeyedState, type SegmentRef, type StateStore, type StoredSchema } from '@weir/dataflow'
import {
  intersection,
  keyGroupOf,
  keyGroupOfHash,
  type CheckpointId,
  type Key,
  type KeyGroupRange,
  type OperatorUid,
} from '@weir/model'
import { Chain } from './chain.ts'
import { HotBudget } from './hot-budget.ts'
import { Later } from './later.ts'
import { LevelRows, openLevel } from './level.ts'
import type { LocalCopies } from './local-copies.ts'
import { Migrations, type SchemaOf } from './migration.ts'
import { stateId, stateNames } from './pack.ts'
import { PackedTable } from './packed/packed-table.ts'
import type { Place, SnapshotRows, TableCut } from './place.ts'
import { ResidentRows } from './resident.ts'
import { Restore } from './restore.ts'
import { RestoredGroups } from './restored-groups.ts'
import { SegmentWriter, type SegmentUpload, type Versions } from './segment.ts'
import { Table } from './table.ts'

export interface StateStoreOptions {
  /** Wiped at open. */
  readonly dir: string
  readonly keyGroups: KeyGroupRange
  readonly maxParallelism: number
  /** Which subtask of how many: versions are counted by it. */
  readonly writer: string
  /** Values kept in memory over all states; those changed since the last barrier and windows are kept besides. */
  readonly hotEntriesMax?: number
  /** And their bytes, as they are stored. */
  readonly hotBytesMax?: number
  /** Rows looked at for stale ones behind each snapshot; a folding looks at all. */
  readonly lookRowsMax?: number
  /** Segments in a chain before it is folded. At four times as many, snapshots wait for the folding. */
  readonly chainLengthMax: number
  /** Bytes of the deltas over bytes of the base before a chain is folded. */
  readonly chainRatioMax: number
  /** Rows in memory from which on an epoch that changes many of them may be a base (`chain.ts`). Default 1,000. */
  readonly mostRowsMin?: number
  /** Entries restored before the job runs; from as many on it is done behind the running job. Default 20,000. */
  readonly pendingEntriesMin?: number
  /** Freeze stored values, so that a mutation throws where it happens: development. */
  readonly freeze: boolean
  /** What the build knows of its states; absent: they have no schemas. */
  readonly schemas?: SchemaOf
  /** States of small values: from so many on they are kept as rows beside the heap (`packed/`). Null, or absent: never. */
  readonly packed?: (operatorUid: string, state: string) => number | null
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

export const HOT_BYTES_MAX_DEFAULT = 64 * 1024 * 1024
const LOOK_ROWS_MAX_DEFAULT = 10_000
const MOST_ROWS_MIN = 1_000
/** Of bytes in a segment, what they are outside of it: zstd makes order state 5 to 6 times smaller. */
const COMPRESSED_BY = 6

export async function openStateStore(options: StateStoreOptions, deps: StateStoreDeps): Promise<LevelStateStore> {
  await rm(options.dir, { recursive: true, force: true })
  await mkdir(options.dir, { recursive: true })
  return new LevelStateStore(options, { ...deps, db: await openLevel(options.dir) })
}

export class LevelStateStore implements StateStore {
  readonly #options: StateStoreOptions
  readonly #deps: StateStoreDeps & { db: Awaited<ReturnType<typeof openLevel>> }
  readonly #tables = new Map<string, Table<unknown>>()
  readonly #byNumber: Table<unknown>[] = []
  readonly #chain: Chain
  readonly #budget: HotBudget
  readonly #restored: RestoredGroups
  readonly #level: LevelRows
  #place: Place
  #turn: Promise<unknown> = Promise.resolve()
  #newest: CheckpointId | null = null
  readonly #fold = new Later()
  #closing = false

  constructor(options: StateStoreOptions, deps: StateStoreDeps & { db: Awaited<ReturnType<typeof openLevel>> }) {
    this.#options = options
    this.#deps = deps
    this.#chain = new Chain(options)
    const { hotEntriesMax: entriesMax = Infinity, hotBytesMax: bytesMax = HOT_BYTES_MAX_DEFAULT } = options
    this.#budget = new HotBudget({ entriesMax, bytesMax }, () => {
      for (const table of this.#byNumber) table.rotate()
    })
    const groupOf = (table: Table<unknown>, key: Key): number => this.#groupOf(table, key)
    this.#restored = new RestoredGroups((group, rows) => this.#place.takeRestored(group, rows))
    const { keyGroups, maxParallelism } = options
    this.#level = new LevelRows({
      ...{ db: deps.db, groupOf, restored: this.#restored, tables: this.#byNumber },
      keyGroups: { from: keyGroups.from, to: Math.min(keyGroups.to, maxParallelism) },
      isClosing: () => this.#closing,
    })
    this.#place = new ResidentRows({
      mostRowsMin: options.mostRowsMin ?? MOST_ROWS_MIN,
      ...{ groupOf, restored: this.#restored, tables: this.#byNumber },
      isClosing: () => this.#closing,
    })
    if (!this.#budget.fits(1, 1)) this.#leaveMemory()
  }

  keyed<V>(operatorUid: OperatorUid, name: string, split?: number): KeyedState<V> {
    return this.#table(stateId(operatorUid, name, split)) as KeyedState<V>
  }

  /**
   * Throws `SEGMENT_MISSING`, `SEGMENT_CORRUPT`, `SEGMENT_CHAIN_BROKEN`, `STATE_SCHEMA_NEWER`, `STATE_SCHEMA_OTHER`,
   * `STATE_MIGRATION_MISSING`, `STATE_MIGRATION_FAILED` (invalid): the store is of no use then.
   */
  async restore(segments: readonly SegmentRef[]): Promise<void> {
    const { copies, objects, restoredFrom } = this.#deps
    const { keyGroups, pendingEntriesMin, schemas } = this.#options
    if (this.#isResident && !this.#mayFit(segments)) this.#leaveMemory()
    const restore = new Restore({
      ...{ objects, copies, restoredFrom, keyGroups, pendingEntriesMin, versions: this.#chain.versions },
      ...{
        tables: this.#byNumber,
        tableOf: (id) => this.#table(id),
        groupOf: (table, key) => this.#groupOf(table, key),
      },
      migrations: new Migrations((uid, state) => schemas?.(uid, state) ?? null),
      level: this.#isResident ? null : this.#level,
    })
    const pending = await restore.read(segments)
    this.#chain.restored(segments)
    copies?.retain(segments)
    if (pending !== null) {
      this.#restored.begin(pending, () => {
        if (this.#isResident) for (const table of this.#byNumber) table.complete()
      })
    }
    if (!restore.mustMigrate) return
    await this.#restored.whole()
    await restore.migrate()
    this.#chain.needBase() // no chain is of two versions
  }

  /** Resolves when all that was restored is where the rows are. */
  settled(): Promise<void> {
    return this.#restored.settled()
  }

  snapshot(checkpoint: CheckpointId): Promise<readonly SegmentRef[]> {
    this.#newest = checkpoint
    this.#fold.now() // this one waits for it
    // The synchronous part: as many pointer swaps as there are states, whatever their size.
    const cuts = this.#byNumber.map((table): TableCut => ({ table, layer: table.cut() }))
    const rows = this.#turn.then(() => this.#place.snapshot(cuts))
    const stored = rows.then((of) => this.#store(checkpoint, cuts, of))
    this.#turn = this.#follow(checkpoint, cuts, rows, stored).catch(() => {}) // thrown to the next snapshot
    return stored
  }

  dirtyOperators(): ReadonlySet<OperatorUid> {
    const dirty = [...this.#tables.values()].filter(({ isDirty }) => isDirty)
    return new Set(dirty.map(({ id }) => stateNames(id)[0] as OperatorUid))
  }

  /** Resolves when the last snapshot has left nothing to do: its rows are settled, nothing is being folded or deleted any more. */
  async folded(): Promise<void> {
    this.#fold.now()
    await this.#turn
    await this.#chain.folded()
    await this.#deps.copies?.settled()
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#fold.now()
    const restored = this.#restored.close()
    await this.#turn
    await this.#chain.folded()
    await restored
    await this.#deps.copies?.settled()
    await this.#deps.db.close()
  }

  async #store(
    checkpoint: CheckpointId,
    cuts: readonly TableCut[],
    rows: SnapshotRows,
  ): Promise<readonly SegmentRef[]> {
    this.#place.check()
    const changed = new Set(cuts.filter(({ layer }) => !layer.isEmpty).map(({ table }) => stateNames(table.id)[0]))
    if (this.#chain.isCurrent(changed)) return this.#chain.refs
    const chain = await this.#chain.append(changed, rows.rows, (kind, versions, from) => {
      const write = kind === 'base' ? (w: SegmentWriter) => rows.base(w) : (w: SegmentWriter) => rows.delta(w)
      return this.#write({ checkpoint, kind, as: 'written', versions, from }, write)
    })
    this.#deps.copies?.retain(chain)
    return chain
  }

  /** Behind a snapshot, whatever became of it: its rows are settled, the chain is folded when it is long. */
  async #follow(
    checkpoint: CheckpointId,
    cuts: readonly TableCut[],
    made: Promise<SnapshotRows>,
    stored: Promise<unknown>,
  ): Promise<void> {
    const there = await stored.then(
      () => true,
      () => false,
    )
    const rows = await made
    try {
      if (this.#closing) return
      await rows.settle()
      if (this.#isResident && this.#budget.isExceeded) await this.#spill(cuts)
      // What is folded must be exactly what the chain restores: only here it is.
      else if (there && !this.#restored.any && this.#chain.isFoldDue) await this.#foldLater(checkpoint, rows)
    } finally {
      rows.end()
    }
    await this.#place.lookForStale(this.#byNumber, this.#options.lookRowsMax ?? LOOK_ROWS_MAX_DEFAULT)
  }

  /** The rows no longer fit: from this barrier on LevelDB has them. Until it has, epochs wait; the stage does not. */
  async #spill(cuts: readonly TableCut[]): Promise<void> {
    await this.#restored.whole()
    this.#place = this.#level
    await this.#level.takeOver(cuts, () => this.#budget.isHalfFull)
    this.#budget.split()
  }

  async #foldLater(checkpoint: CheckpointId, rows: SnapshotRows): Promise<void> {
    if (checkpoint === this.#newest) await this.#fold.wait()
    if (this.#closing) return
    const image = await rows.image()
    this.#chain.fold((versions) =>
      this.#write({ checkpoint, kind: 'base', as: 'folded', versions, from: NO_VERSIONS }, (w) =>
        image.write(w),
      ).finally(() => image.end()),
    )
  }

  async #write(
    { checkpoint, kind, as, versions, from }: SegmentMade,
    rows: (writer: SegmentWriter) => Promise<void>,
  ): Promise<SegmentRef> {
    const objectKey = this.#deps.segmentKey(checkpoint, as)
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

  get #isResident(): boolean {
    return this.#place !== this.#level
  }

  /** By its bases: what deltas have of other keys may be too much, and spills at the next barrier. */
  #mayFit(segments: readonly SegmentRef[]): boolean {
    const bases = segments.filter(({ kind }) => kind === 'base')
    const mine = bases.map((ref) => shareOf(ref, this.#options.keyGroups))
    const entries = bases.reduce((all, ref, i) => all + ref.entries * mine[i]!, 0)
    const bytes = bases.reduce((all, ref, i) => all + ref.bytes * mine[i]! * COMPRESSED_BY, 0)
    return this.#budget.fits(entries, bytes)
  }

  /** Before there are any rows. */
  #leaveMemory(): void {
    this.#place = this.#level
    this.#budget.split()
  }

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
    if (this.#restored.has(group)) return this.#restored.get(group, table.number, key)
    return this.#place.get(table, group, key)
  }

  #table(id: string): Table<unknown> {
    let table = this.#tables.get(id)
    if (table === undefined) {
      const { freeze, maxParallelism, packed } = this.#options
      const number = this.#byNumber.length
      const stored = (t: Table<unknown>, key: Key): Uint8Array | undefined => this.#stored(t, key)
      const [uid, name, split] = stateNames(id)
      const rowsMin = packed?.(uid, name) ?? null
      const groupOf = (hash: number): number => split ?? keyGroupOfHash(hash, maxParallelism)
      table =
        rowsMin === null
          ? new Table<unknown>(id, number, { freeze }, this.#budget, stored)
          : new PackedTable(id, number, { freeze }, this.#budget, stored, groupOf, rowsMin)
      this.#tables.set(id, table)
      this.#byNumber.push(table)
    }
    return table
  }
}

interface SegmentMade {
  readonly checkpoint: CheckpointId
  readonly kind: SegmentRef['kind']
  readonly as: 'written' | 'folded'
  readonly versions: Versions
  readonly from: Versions
}

const NO_VERSIONS: Versions = new Map()

/** Of the key groups in a segment, the part that is wanted. */
function shareOf({ keyGroups, only = keyGroups }: SegmentRef, wanted: KeyGroupRange): number {
  const mine = intersection(wanted, only)
  return mine === null ? 0 : (mine.to - mine.from) / Math.max(1, keyGroups.to - keyGroups.from)
}
