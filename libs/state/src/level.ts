/**
 * The rows of a store that is larger than its memory: LevelDB has all of them, entries in memory those that were read or
 * changed lately. It is written by snapshots only, one after the other, and has the rows of one before the next: then it
 * holds exactly the state of a barrier, which is what a base is read from. It is scratch: wiped at every open, never restored
 * from (PROTOCOL A21).
 */
import { asWeirError, type Key, type KeyGroupRange } from '@weir/model'
import { ClassicLevel } from 'classic-level'
import { packedRows, writeDelta, type ChangedRow, type ChangedRows } from './changed-rows.ts'
import { collectAll } from './groups.ts'
import { DELETED } from './layer.ts'
import { pack, unpack } from './pack.ts'
import { Pace } from './pace.ts'
import { changesIn } from './packed/packed-table.ts'
import type { RowCursor } from './packed/row-cursor.ts'
import type { GroupRows } from './pending.ts'
import type { GroupOf, Image, Place, SnapshotRows, TableCut } from './place.ts'
import type { RestoredGroups } from './restored-groups.ts'
import { RowKeys, parsedKey } from './row-key.ts'
import { DELETE, VALUE, type SegmentWriter } from './segment.ts'
import type { Table } from './table.ts'

type Db = ClassicLevel<string, Uint8Array>
type Batch = ReturnType<Db['batch']>
/** Rows written to, or read from, LevelDB in one call; between two the slot does other work. */
export const ROWS_AT_ONCE = 1_000
/** LevelDB's memory before it writes a table. Its content is scratch and compressed in the segments. */
const WRITE_BUFFER_BYTES = 16 * 1024 * 1024

export async function openLevel(dir: string): Promise<Db> {
  const db: Db = new ClassicLevel(dir, {
    valueEncoding: 'view',
    compression: false,
    writeBufferSize: WRITE_BUFFER_BYTES,
  })
  await db.open()
  return db
}

export interface LevelRowsDeps {
  readonly db: Db
  readonly groupOf: GroupOf
  readonly restored: RestoredGroups
  /** By number. */
  readonly tables: readonly Table<unknown>[]
  /** Of a state that is not kept by split. */
  readonly keyGroups: KeyGroupRange
  readonly isClosing: () => boolean
}

export class LevelRows implements Place {
  readonly deps: LevelRowsDeps
  readonly keys = new RowKeys()
  /** LevelDB lacks changes that a layer in memory has: nothing is stored from it any more. */
  #broken: { readonly error: unknown } | null = null
  /** Where the look for stale rows goes on: which range of rows, and behind which of them. */
  #look: { range: number; after: string | null } = { range: 0, after: null }

  constructor(deps: LevelRowsDeps) {
    this.deps = deps
  }

  snapshot(cuts: readonly TableCut[]): SnapshotRows {
    return new LevelSnapshot(cuts, this)
  }

  get(table: Table<unknown>, group: number, key: Key): Uint8Array | undefined {
    return this.deps.db.getSync(this.keys.of(group, table.number, 0, key))
  }

  /** One of these to be called at a time: what it has not written when it throws, LevelDB never gets. */
  async write(
    fill: (add: (at: string, value: Uint8Array | null) => Promise<void> | undefined) => Promise<void>,
  ): Promise<void> {
    const { db } = this.deps
    let batch: Batch = db.batch()
    await fill((at, value) => {
      if (value === null) batch.del(at)
      else batch.put(at, value)
      if (batch.length < ROWS_AT_ONCE) return undefined
      const full = batch
      batch = db.batch()
      return full.write()
    })
    await batch.write()
  }

  /** LevelDB has nothing of the group yet. */
  takeRestored(group: number, rows: GroupRows): Promise<void> {
    return this.write(async (add) => {
      for (const { table, namespace, key, piece, start, end } of rows)
        await add(this.keys.of(group, table, namespace, key), piece.subarray(start, end))
    })
  }

  check(): void {
    if (this.#broken !== null) throw this.#broken.error
  }

  failed(error: unknown): unknown {
    this.#broken ??= { error }
    return error
  }

  /**
   * From a store that was resident until this barrier: LevelDB takes every row, in bounded turns, and entries leave memory
   * until half the budget is free. Behind it every change since is in layers, as if LevelDB had always been there.
   */
  async takeOver(cuts: readonly TableCut[], isCrowded: () => boolean): Promise<void> {
    try {
      const { groupOf, isClosing } = this.deps
      const pace = new Pace()
      const groups = await collectAll(cuts, groupOf, pace)
      for (const [group, parts] of groups) {
        for (const { table, layer, entries, windows, packed } of parts) {
          table.incomplete()
          if (packed !== null) await this.#take(table, group, packed, pace)
          for (let from = 0; from < entries.length; from += ROWS_AT_ONCE) {
            const some = entries.slice(from, from + ROWS_AT_ONCE)
            await this.write(async (add) => {
              for (const entry of some) {
                const { value } = layer.cutOf(entry)
                if (value !== undefined && value !== DELETED)
                  await add(this.keys.of(group, table.number, 0, entry.key), pack(value))
              }
            })
            if (isClosing()) throw new Error('the store closes')
            for (const entry of some) if (isCrowded()) table.evict(entry)
            if (pace.due()) await pace.rest()
          }
          await this.write(async (add) => {
            for (const { namespace, key, value } of windows)
              await add(this.keys.of(group, table.number, namespace, key), pack(value))
          })
        }
      }
      for (const { table, layer } of cuts) {
        layer.packed?.settled()
        table.evictSettled(isCrowded)
      }
    } catch (error) {
      throw this.failed(asWeirError(error, 'STATE_UNWRITABLE', 'restart'))
    }
  }

  async #take(table: Table<unknown>, group: number, rows: RowCursor, pace: Pace): Promise<void> {
    await this.write(async (add) => {
      while (rows.next()) {
        if (rows.op === DELETE) continue
        const writing = add(this.keys.of(group, table.number, 0, rows.key), rows.value)
        if (writing !== undefined) await writing
        if (pace.due()) await pace.rest()
      }
    })
    if (this.deps.isClosing()) throw new Error('the store closes')
  }

  /** LevelDB as it is at the call, in the order of key groups. */
  async everything(writer: SegmentWriter, background: boolean): Promise<void> {
    const { db, isClosing, tables } = this.deps
    const snapshot = db.snapshot()
    const rows = db.iterator({ snapshot })
    try {
      for (;;) {
        const some = await rows.nextv(ROWS_AT_ONCE)
        if (some.length === 0) return
        if (background && isClosing()) throw new Error('the store closes')
        for (const [at, packed] of some) {
          const { group, table: number, namespace, key } = parsedKey(at)
          const table = tables[number]!
          if (namespace === 0 && table.looksForStale) table.met(key, unpack(packed))
          writer.add(group, table.id, namespace, key, VALUE, packed)
          if (writer.isFull) await writer.flush()
        }
      }
    } finally {
      await rows.close()
      await snapshot.close()
    }
  }

  /** Once round at most. */
  async lookForStale(tables: readonly Table<unknown>[], rowsMax: number): Promise<void> {
    const { db, isClosing } = this.deps
    const asking = tables.filter((table) => table.looksForStale)
    const ranges = asking.flatMap((table) => this.#groupsOf(table).map((group) => ({ table, group })))
    let rows = rowsMax
    for (let visited = 0; visited < ranges.length && rows > 0 && !isClosing(); visited++) {
      const { table, group } = ranges[this.#look.range % ranges.length]!
      const from = this.keys.prefix(group, table.number, 0)
      // A look begun in another range ends there: states come up one after the other.
      const gt = this.#look.after?.startsWith(from) === true ? this.#look.after : from
      const iterator = db.iterator({ gt, lt: `${from}~`, limit: rows })
      try {
        for (;;) {
          const some = await iterator.nextv(ROWS_AT_ONCE)
          if (some.length === 0) break
          rows -= some.length
          this.#look.after = some.at(-1)![0]
          for (const [at, packed] of some) table.met(parsedKey(at).key, unpack(packed))
        }
      } finally {
        await iterator.close()
      }
      if (rows > 0) this.#look = { range: (this.#look.range + 1) % ranges.length, after: null }
    }
  }

  #groupsOf({ split }: Table<unknown>): readonly number[] {
    if (split !== undefined) return [split]
    const { from, to } = this.deps.keyGroups
    return Array.from({ length: Math.max(to - from, 0) }, (_, i) => from + i)
  }
}

class LevelSnapshot implements SnapshotRows {
  readonly rows = null
  readonly #cuts: readonly TableCut[]
  readonly #rows: LevelRows
  readonly #changed: readonly TableCut[]
  #packing: Promise<ChangedRows> | null = null
  #flushed = false
  #ended = false

  constructor(cuts: readonly TableCut[], rows: LevelRows) {
    this.#cuts = cuts
    this.#rows = rows
    this.#changed = cuts.filter(({ layer }) => !layer.isEmpty)
  }

  async delta(writer: SegmentWriter): Promise<void> {
    await writeDelta(writer, await this.#packed())
  }

  async base(writer: SegmentWriter): Promise<void> {
    await this.settle()
    await this.#rows.deps.restored.whole()
    await this.#rows.everything(writer, false)
  }

  /** Writes the rows to LevelDB, once. */
  async settle(): Promise<void> {
    if (this.#flushed) return
    const groups = await this.#packed()
    const { restored } = this.#rows.deps
    let inBatch: ChangedRow[] = []
    const written = (): void => {
      // Not before: an entry that LevelDB has may be dropped.
      for (const { table, entry, layer, start, end } of inBatch)
        if (entry !== null) table.settle(entry, layer, end - start)
      inBatch = []
    }
    try {
      await this.#rows.write(async (add) => {
        for (const [group, { rows, slices }] of groups) {
          await restored.settleGroup(group) // else it would overwrite what is newer
          for (const { table, layer, slice } of slices)
            for (const row = changesIn(slice, layer.number); row.next();) {
              const writing = add(
                this.#rows.keys.of(group, table.number, 0, row.key),
                row.op === DELETE ? null : row.value,
              )
              if (writing !== undefined) await writing
            }
          for (const row of rows) {
            const { table, namespace, key, op, piece, start, end } = row
            inBatch.push(row)
            const writing = add(
              this.#rows.keys.of(group, table.number, namespace, key),
              op === DELETE ? null : piece.subarray(start, end),
            )
            if (writing === undefined) continue
            await writing
            written()
          }
        }
      })
      written()
      for (const { layer } of this.#changed) layer.packed?.settled()
    } catch (error) {
      throw this.#rows.failed(asWeirError(error, 'STATE_UNWRITABLE', 'restart'))
    }
    this.#flushed = true
  }

  image(): Promise<Image> {
    const rows = this.#rows // and nothing of this snapshot is held while it is written
    // LevelDB is written by nobody until `write` has taken a snapshot of it.
    return Promise.resolve({ write: (writer) => rows.everything(writer, true), end: () => {} })
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    for (const { table } of this.#cuts) table.release()
  }

  #packed(): Promise<ChangedRows> {
    return (this.#packing ??= this.#pack().finally(() => this.end()))
  }

  async #pack(): Promise<ChangedRows> {
    this.#rows.check()
    try {
      return await packedRows(this.#changed, this.#rows.deps.groupOf)
    } catch (error) {
      throw this.#rows.failed(error)
    }
  }
}
