/** Segments into a store that has nothing yet. */
import { zstdDecompressSync } from 'node:zlib'
import type { ObjectStore } from '@weir/checkpoint'
import type { SegmentRef } from '@weir/dataflow'
import { inRange, intersection, type Key, type KeyGroupRange } from '@weir/model'
import type { ChainVersions } from './chain-versions.ts'
import type { LevelRows } from './level.ts'
import type { LocalCopies } from './local-copies.ts'
import type { Migrations } from './migration.ts'
import { pack, stateId, unpack } from './pack.ts'
import { PendingGroups, type VerifiedChunk } from './pending.ts'
import { parsedKey } from './row-key.ts'
import { decodeSegment1 } from './segment-1.ts'
import { excludedBy, openSegment, readWhole, type OpenSegment } from './segment-reader.ts'
import { DELETE, VALUE, decodeRows, sum, type Op } from './segment.ts'
import type { Table } from './table.ts'

/** Segments of a chain opened before their turn. */
const SEGMENTS_AHEAD = 4
/** Entries restored before the job runs; from as many on it is done behind the running job. */
const PENDING_ENTRIES_MIN = 20_000
/** Above, rows go where they belong before a restore ends: their chunks and rows would have to be in memory besides. */
const PENDING_ENTRIES_MAX = 4_000_000
const PENDING_BYTES_MAX = 256 * 1024 * 1024
const NO_GROUPS: KeyGroupRange = { from: 0, to: 0 }
const MIGRATED_AT_ONCE = 1_000

export interface RestoreDeps {
  readonly objects: ObjectStore
  readonly copies: LocalCopies | undefined
  /** Told of every segment that is read. */
  readonly restoredFrom: ((source: 'local' | 'store') => void) | undefined
  readonly keyGroups: KeyGroupRange
  readonly pendingEntriesMin: number | undefined
  readonly versions: ChainVersions
  readonly migrations: Migrations
  readonly tableOf: (stateId: string) => Table<unknown>
  /** By number. */
  readonly tables: readonly Table<unknown>[]
  readonly groupOf: (table: Table<unknown>, key: Key) => number
  /** Where rows go; null: they become entries. */
  readonly level: LevelRows | null
}

type Add = (at: string, value: Uint8Array | null) => Promise<void> | undefined

export class Restore {
  readonly #deps: RestoreDeps

  constructor(deps: RestoreDeps) {
    this.#deps = deps
  }

  /** What is left for behind the running job; null: nothing. */
  async read(segments: readonly SegmentRef[]): Promise<PendingGroups | null> {
    const opened: Promise<OpenSegment>[] = []
    const ahead = (i: number): void => {
      const ref = segments[i]
      if (ref?.index === undefined) return
      opened[i] = this.#open({ ...ref, index: ref.index })
      opened[i].catch(() => {}) // thrown in its turn
    }
    for (let i = 0; i < SEGMENTS_AHEAD; i++) ahead(i)
    const { pendingEntriesMin = PENDING_ENTRIES_MIN } = this.#deps
    const pending = mayPend(segments, pendingEntriesMin) ? new PendingGroups() : null
    for (const [i, ref] of segments.entries()) {
      if (ref.index === undefined) await this.#readFormat1(ref)
      else {
        const segment = await opened[i]!
        await this.#readSegment(ref, segment, pending).finally(() => segment.close())
      }
      delete opened[i]
      ahead(i + SEGMENTS_AHEAD)
    }
    pending?.begin()
    return pending
  }

  /** A state is stored as an older version. */
  get mustMigrate(): boolean {
    return this.#deps.migrations.due().size > 0
  }

  /** One walk through all rows, when everything is where they are. */
  async migrate(): Promise<void> {
    const due = this.#deps.migrations.due()
    const { level, tables } = this.#deps
    if (level === null) {
      for (const table of tables) this.#migrateEntries(table, due.get(table.id))
      return
    }
    const { db } = level.deps
    const snapshot = db.snapshot()
    const rows = db.iterator({ snapshot })
    try {
      for (;;) {
        const some = await rows.nextv(MIGRATED_AT_ONCE)
        if (some.length === 0) return
        await level.write(async (add) => {
          for (const [at, packed] of some) {
            const { group, table: number, namespace, key } = parsedKey(at)
            const table = tables[number]!
            const migrate = due.get(table.id)
            if (migrate === undefined) continue
            const value = migrate(unpack(packed), { group, key })
            await add(at, pack(value))
            if (namespace !== 0) table.restored(key, namespace, value)
          }
        })
      }
    } finally {
      await rows.close()
      await snapshot.close()
    }
  }

  #migrateEntries(
    table: Table<unknown>,
    migrate: ((value: unknown, at: { group: number; key: Key }) => unknown) | undefined,
  ): void {
    if (migrate === undefined) return
    // Of a copy: a step may change what it is given.
    const migrated = (key: Key, value: unknown): unknown =>
      migrate(unpack(pack(value)), { group: this.#deps.groupOf(table, key), key })
    for (const { key, value } of [...table.residents()]) {
      const next = migrated(key, value)
      table.restoredEntry(key, next, pack(next).length)
    }
    for (const namespace of table.namespaces())
      for (const [key, value] of table.entries(namespace)) table.restored(key, namespace, migrated(key, value))
  }

  /** From this pod's disk where a whole copy lies there, else from the object store. */
  async #open(ref: SegmentRef & Required<Pick<SegmentRef, 'index'>>): Promise<OpenSegment> {
    const { objects, copies, restoredFrom } = this.#deps
    const local = (await copies?.find(ref)) ?? null
    restoredFrom?.(local === null ? 'store' : 'local')
    return openSegment(ref, objects, this.#wantedOf(ref), undefined, local)
  }

  async #readSegment(ref: SegmentRef, segment: OpenSegment, pending: PendingGroups | null): Promise<void> {
    const { index, chunks } = segment
    const { level, migrations, versions } = this.#deps
    versions.continue(ref, index)
    const excluded = excludedBy(ref)
    const tables = index.states.map(([uid, name, split], i) => {
      if (excluded(uid, name)) return null
      const id = stateId(uid, name, split)
      const schema = index.schemas?.[i] ?? null
      migrations.found(id, schema && { name: schema[0], version: schema[1] }, ref.key)
      return this.#table(id, pending !== null)
    })
    if (pending !== null) return this.#keep(pending, segment, tables)
    const read = async (add: Add | null): Promise<void> => {
      let writing: Promise<void> | undefined
      for await (const rows of chunks()) {
        for (const { group, state, namespace, key, op, value } of rows) {
          const table = tables[state]!
          if (table === null) continue
          const written = this.#row(add, table, { group, namespace, key, op, value })
          if (written === undefined) continue
          await writing // at most one more: rows are decoded meanwhile
          writing = written
        }
      }
      await writing
    }
    if (level === null) await read(null)
    else await level.write(read)
  }

  /** What has a namespace is in memory from the beginning; everything else waits to be asked for. */
  async #keep(
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
    pending.add({ range, chunks, tableOf: ({ state }) => tables[state] ?? null })
  }

  async #readFormat1(ref: SegmentRef): Promise<void> {
    const { level, migrations, objects } = this.#deps
    const bytes = await readWhole(ref, objects)
    const excluded = excludedBy(ref)
    const read = async (add: Add | null): Promise<void> => {
      for (const row of decodeSegment1(bytes, ref.key, this.#wantedOf(ref))) {
        const { group, operatorUid, name, split, namespace, key, value } = row
        if (excluded(operatorUid, name)) continue
        const id = stateId(operatorUid, name, split)
        migrations.found(id, null, ref.key)
        const op = value === undefined ? DELETE : VALUE
        const packed = value === undefined ? NOTHING : pack(value)
        await this.#row(add, this.#table(id, false), { group, namespace, key, op, value: packed })
      }
    }
    if (level === null) await read(null)
    else await level.write(read)
  }

  #row(
    add: Add | null,
    table: Table<unknown>,
    { group, namespace, key, op, value }: { group: number; namespace: number; key: Key; op: Op; value: Uint8Array },
  ): Promise<void> | undefined {
    if (namespace !== 0) table.restored(key, namespace, op === DELETE ? undefined : unpack(value))
    if (add === null) {
      if (namespace !== 0) return undefined
      const whole = op === DELETE ? undefined : op === VALUE ? unpack(value) : sum(table.get(key), op, unpack(value))
      return void table.restoredEntry(key, whole, value.length)
    }
    const { deps, keys } = this.#deps.level!
    const at = keys.of(group, table.number, namespace, key)
    if (op === DELETE || op === VALUE) return add(at, op === DELETE ? null : value)
    return add(at, pack(sum(unpack(deps.db.getSync(at)!), op, unpack(value))))
  }

  #table(id: string, isPending: boolean): Table<unknown> {
    const table = this.#deps.tableOf(id)
    if (isPending || this.#deps.level !== null) table.incomplete()
    return table
  }

  /** What the reference is good for: behind a rescale, less than the object holds. */
  #wantedOf({ keyGroups, only = keyGroups }: SegmentRef): KeyGroupRange {
    return intersection(this.#deps.keyGroups, only) ?? NO_GROUPS
  }
}

const NOTHING = new Uint8Array()

function mayPend(segments: readonly SegmentRef[], entriesMin: number): boolean {
  const entries = segments.reduce((all, ref) => all + ref.entries, 0)
  const bytes = segments.reduce((all, ref) => all + ref.bytes, 0)
  if (entries < entriesMin || entries > PENDING_ENTRIES_MAX || bytes > PENDING_BYTES_MAX) return false
  return segments.every(({ index }) => index !== undefined)
}
