/** A row of a table that was inserted, updated or deleted. Values are as JSON has them; what it has not (int8, numeric, times …) is text. */
export interface RowChange {
  /** `schema.table` */
  readonly table: string
  readonly operation: 'insert' | 'update' | 'delete'
  /** The row before, or what the table's REPLICA IDENTITY says of it; null: nothing (an insert, or an update that kept its key). */
  readonly before: Readonly<Record<string, unknown>> | null
  /** Null for a delete. */
  readonly after: Readonly<Record<string, unknown>> | null
  /** LSN of its commit. */
  readonly transaction: string
  /** ms since 1970: the event time, where no other is given. */
  readonly committedAt: number
}
