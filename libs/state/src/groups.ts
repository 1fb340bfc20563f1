/** Rows in memory by key group, which is the order of a segment. Of an entry only where it is: what it was is asked for when it is written. */
import type { Key } from '@weir/model'
import type { Entry, Layer } from './layer.ts'
import { Pace } from './pace.ts'
import { allIn, changesIn } from './packed/packed-table.ts'
import type { RowCursor } from './packed/row-cursor.ts'
import type { GroupOf, TableCut } from './place.ts'
import type { Table } from './table.ts'

export interface WindowRow {
  readonly namespace: number
  readonly key: Key
  /** DELETED: there is none. */
  readonly value: unknown
}

/** Of one state and one key group. */
export interface Part {
  readonly table: Table<unknown>
  readonly layer: Layer
  readonly entries: Entry[]
  readonly windows: WindowRow[]
  /**
   * Where its rows are packed: a way through those that are meant; no entries then. It was begun when they were collected: an image is
   * written while the next snapshots go on, and blocks may leave memory behind a spill.
   */
  packed: RowCursor | null
}

/** In their order. */
export type Groups = ReadonlyMap<number, readonly Part[]>

/** What changed between the barriers. */
export async function collectChanged(cuts: readonly TableCut[], groupOf: GroupOf): Promise<Groups> {
  const pace = new Pace()
  const collected = new Collected(groupOf)
  for (const cut of cuts) {
    const { layer } = cut
    const of = collected.of(cut)
    for (const slice of layer.packed?.slices ?? [])
      if (slice.changed > 0) of.group(slice.rows.group).packed = changesIn(slice, layer.number)
    for (const entry of layer.entries) {
      of.entry(entry).entries.push(entry)
      if (pace.due()) await pace.rest()
    }
    for (const [namespace, keys] of layer.windows) {
      for (const [key, value] of keys) {
        of.key(key).windows.push({ namespace, key, value })
        if (pace.due()) await pace.rest()
      }
    }
  }
  return collected.inOrder()
}

/**
 * All there was at the barrier. No entry may be settled meanwhile, since one that is deleted is forgotten then; new and changed
 * ones are found as they were.
 */
export async function collectAll(cuts: readonly TableCut[], groupOf: GroupOf, pace: Pace): Promise<Groups> {
  const collected = new Collected(groupOf)
  for (const cut of cuts) {
    const { table, layer } = cut
    const of = collected.of(cut)
    for (const slice of layer.packed?.all() ?? []) of.group(slice.rows.group).packed = allIn(slice, layer.number)
    for (const entry of layer.packed === null ? table.residents() : []) {
      of.entry(entry).entries.push(entry)
      if (table.looksForStale) table.met(entry.key, entry.value)
      if (pace.due()) await pace.rest()
    }
    // By namespace: keys that are done with, whether from where they are or from where they were.
    const seen = new Map<number, Set<Key>>()
    const isNew = (namespace: number, key: Key): boolean => {
      let keys = seen.get(namespace)
      if (keys === undefined) seen.set(namespace, (keys = new Set()))
      return keys.size !== keys.add(key).size
    }
    for (const namespace of table.namespaces()) {
      for (const [key, value] of table.entries(namespace)) {
        // What has changed since comes below, unless it was met here before it changed.
        if (!layer.hasChanged(namespace, key) && isNew(namespace, key))
          of.key(key).windows.push({ namespace, key, value })
        if (pace.due()) await pace.rest()
      }
    }
    for (const [namespace, key, value] of layer.changedWindows()) {
      if (isNew(namespace, key) && value !== undefined) of.key(key).windows.push({ namespace, key, value })
      if (pace.due()) await pace.rest()
    }
  }
  return collected.inOrder()
}

interface Parts {
  entry(entry: Entry): Part
  key(key: Key): Part
  group(group: number): Part
}

class Collected {
  readonly #groupOf: GroupOf
  readonly #groups = new Map<number, Part[]>()

  constructor(groupOf: GroupOf) {
    this.#groupOf = groupOf
  }

  /** The parts of one state. */
  of({ table, layer }: TableCut): Parts {
    const parts = new Map<number, Part>()
    const partOf = (group: number): Part => {
      let part = parts.get(group)
      if (part === undefined) {
        part = { table, layer, entries: [], windows: [], packed: null }
        parts.set(group, part)
        const all = this.#groups.get(group)
        if (all === undefined) this.#groups.set(group, [part])
        else all.push(part)
      }
      return part
    }
    return {
      entry: (entry) => {
        if (entry.group < 0) entry.group = this.#groupOf(table, entry.key)
        return partOf(entry.group)
      },
      key: (key) => partOf(this.#groupOf(table, key)),
      group: partOf,
    }
  }

  inOrder(): Groups {
    return new Map([...this.#groups].sort(([a], [b]) => a - b))
  }
}
