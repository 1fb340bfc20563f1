/** What a store asks of the place its rows are in: memory alone, or LevelDB with a part of them in memory. */
import type { Key } from '@weir/model'
import type { Layer } from './layer.ts'
import type { GroupRows } from './pending.ts'
import type { SegmentWriter } from './segment.ts'
import type { Table } from './table.ts'

/** What one state was at a barrier, and what had changed in it. */
export interface TableCut {
  readonly table: Table<unknown>
  readonly layer: Layer
}

export type GroupOf = (table: Table<unknown>, key: Key) => number

export interface Place {
  /** Throws where rows have been lost on their way here: no epoch may be stored any more. */
  check(): void
  snapshot(cuts: readonly TableCut[]): SnapshotRows
  /** A packed value that is not in memory as an entry. */
  get(table: Table<unknown>, group: number, key: Key): Uint8Array | undefined
  /** Of one key group, older than anything that was changed. */
  takeRestored(group: number, rows: GroupRows): Promise<void>
  /** Goes on through rows of states that ask for stale ones, `rowsMax` at most. */
  lookForStale(tables: readonly Table<unknown>[], rowsMax: number): Promise<void>
}

export interface RowCounts {
  readonly all: number
  readonly changed: number
}

/** The rows of one snapshot. Snapshots of a store follow each other: the methods of one are called between those of two others. */
export interface SnapshotRows {
  /** By it a base may be stored in the place of the delta. Null: few rows, or a base would be read from the disk, or wait for what is restored. */
  readonly rows: RowCounts | null
  /** What changed. Throws what cannot be packed, and what the writer throws. */
  delta(writer: SegmentWriter): Promise<void>
  /** All there is. */
  base(writer: SegmentWriter): Promise<void>
  /** Behind either, whatever became of them: the place has the rows. */
  settle(): Promise<void>
  /** Behind `settle`: all there was at the barrier, to be written while the next snapshots go on; `end` when it is. */
  image(): Promise<Image>
  /** Nothing is asked of it any more, but of its images. */
  end(): void
}

export interface Image {
  write(writer: SegmentWriter): Promise<void>
  end(): void
}
