/**
 * A store whose values are all in memory: nothing of it is on the disk. Rows go from entries into segments without being
 * kept; what was at a barrier is told by the layers behind it (`Layer`). When it no longer fits, LevelDB takes it over
 * (`LevelRows.takeOver`).
 */
import type { Key } from '@weir/model'
import { DELETED } from './layer.ts'
import { collectAll, collectChanged, type Groups } from './groups.ts'
import { Pace, backgroundPace } from './pace.ts'
import type { GroupOf, Image, Place, RowCounts, SnapshotRows, TableCut } from './place.ts'
import { EntryWriter } from './entry-writer.ts'
import type { GroupRows } from './pending.ts'
import type { RestoredGroups } from './restored-groups.ts'
import type { SegmentWriter } from './segment.ts'
import type { Table } from './table.ts'

export interface ResidentRowsDeps {
  /** With fewer rows a delta is a delta. */
  readonly mostRowsMin: number
  readonly groupOf: GroupOf
  readonly restored: RestoredGroups
  /** By number. */
  readonly tables: readonly Table<unknown>[]
  readonly isClosing: () => boolean
}

export class ResidentRows implements Place {
  readonly #deps: ResidentRowsDeps
  /** Where the look for stale rows goes on. */
  #look: { table: number; rows: Iterator<void> } | null = null

  constructor(deps: ResidentRowsDeps) {
    this.#deps = deps
  }

  check(): void {}

  snapshot(cuts: readonly TableCut[]): SnapshotRows {
    return new ResidentSnapshot(cuts, this.#deps)
  }

  async takeRestored(_group: number, rows: GroupRows): Promise<void> {
    const pace = backgroundPace()
    for (const { table, namespace, key, piece, start, end } of rows) {
      if (namespace === 0) this.#deps.tables[table]!.adopt(key, piece, start, end)
      if (pace.due()) await pace.rest()
    }
  }

  /** All there is, is an entry. */
  get(_table: Table<unknown>, _group: number, _key: Key): undefined {
    return undefined
  }

  async lookForStale(tables: readonly Table<unknown>[], rowsMax: number): Promise<void> {
    const asking = tables.filter((table) => table.looksForStale)
    const pace = backgroundPace()
    let rows = rowsMax
    for (let visited = 0; visited < asking.length && rows > 0; visited++) {
      const at = (this.#look?.table ?? 0) % asking.length
      const table = asking[at]!
      const meeting = this.#look?.rows ?? table.meeting()
      this.#look = { table: at, rows: meeting }
      for (;;) {
        if (meeting.next().done === true) {
          this.#look = { table: at + 1, rows: asking[(at + 1) % asking.length]!.meeting() }
          break
        }
        if (--rows === 0) break
        if (pace.due()) await pace.rest()
      }
    }
  }
}

class ResidentSnapshot implements SnapshotRows {
  readonly #cuts: readonly TableCut[]
  readonly #deps: ResidentRowsDeps
  readonly #changed: readonly TableCut[]

  constructor(cuts: readonly TableCut[], deps: ResidentRowsDeps) {
    this.#cuts = cuts
    this.#deps = deps
    this.#changed = cuts.filter(({ layer }) => !layer.isEmpty)
  }

  get rows(): RowCounts | null {
    if (this.#deps.restored.any) return null
    const all = this.#cuts.reduce((sum, { table }) => sum + table.residentCount, 0)
    const changed = this.#changed.reduce((sum, { layer }) => sum + layer.changedRows, 0)
    return all < this.#deps.mostRowsMin ? null : { all, changed }
  }

  async delta(writer: SegmentWriter): Promise<void> {
    const entries = new EntryWriter(writer, new Pace())
    for (const [group, parts] of await collectChanged(this.#changed, this.#deps.groupOf))
      for (const part of parts) await entries.changes(group, part)
  }

  async base(writer: SegmentWriter): Promise<void> {
    await this.#deps.restored.whole()
    await writeAll(writer, await collectAll(this.#cuts, this.#deps.groupOf, new Pace()), new Pace())
  }

  /** What a segment did not come to: it is in memory, and the next base has it. */
  async settle(): Promise<void> {
    const { groupOf, restored } = this.#deps
    const pace = new Pace()
    for (const { table, layer } of this.#changed) {
      for (const entry of layer.entries) {
        if (entry.layer !== layer) continue
        // It is forgotten: what was restored must not come back.
        if (restored.any && entry.value === DELETED) await restored.settleGroup(groupOf(table, entry.key))
        table.settle(entry, layer, 0)
        if (pace.due()) await pace.rest()
      }
      if (layer.packed === null) continue
      for (const { rows } of restored.any ? layer.packed.slices : [])
        if (rows.deletions > 0) await restored.settleGroup(rows.group)
      layer.packed.settled()
    }
  }

  async image(): Promise<Image> {
    for (const { table } of this.#cuts) table.watch()
    const groups = await collectAll(this.#cuts, this.#deps.groupOf, backgroundPace())
    return {
      write: (writer) => writeAll(writer, groups, backgroundPace(), this.#deps.isClosing),
      end: () => this.#release(),
    }
  }

  end(): void {
    this.#release()
  }

  #release(): void {
    for (const { table } of this.#cuts) table.release()
  }
}

async function writeAll(
  writer: SegmentWriter,
  groups: Groups,
  pace: Pace,
  isOver = (): boolean => false,
): Promise<void> {
  const entries = new EntryWriter(writer, pace)
  for (const [group, parts] of groups) {
    if (isOver()) throw new Error('the store closes')
    for (const part of parts) await entries.all(group, part)
  }
}
