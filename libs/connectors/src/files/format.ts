/** What a file holds. The same rows make the same bytes: a file may be written twice. */
import type { RecordBatch } from '@weir/model'

export interface FileFormat {
  /** With its dot. */
  readonly extension: string
  /** One record as it is staged. Throws for one that cannot be written. */
  encode(batch: RecordBatch, index: number): Uint8Array
  /** A whole file of at least one row. */
  file(rows: readonly Buffer[]): Promise<Uint8Array>
}
