/**
 * Where staged output goes to when its epoch is published. Calls follow each other; `take` is the first. What a call
 * throws with kind `retry` has an outcome that is unknown, and the call may be made again.
 */
import type { PreparedHandle } from '@weir/dataflow'
import type { RecordBatch } from '@weir/model'

/** A prepared transaction that is to be applied. */
export interface StagedTransaction {
  readonly handle: PreparedHandle
  /** Its rows in the order they were written, in runs; read anew by each call. */
  rows(): AsyncIterable<readonly Buffer[]>
}

export interface Destination {
  /** For people: `table "public"."totals"`. Never with a secret in it. */
  readonly name: string
  /** One record of a batch in the destination's own bytes. Throws for a record that cannot be written. After `take`. */
  encode(batch: RecordBatch, index: number): Uint8Array
  /**
   * Checks that output can be written here, and takes the place over: no instance before this one can apply anything any
   * more, and what one of them was about has its outcome. Throws kind `invalid` for what no retry can mend.
   * @returns the sequence applied last; null: nothing of this sink subtask ever was; `unmarked`: this destination keeps no
   * marker, so that whatever is not known to be applied is applied again.
   */
  take(): Promise<number | null | 'unmarked'>
  /** Sets the marker where there is none. */
  initialise(sequence: number): Promise<void>
  /**
   * Applies the transaction and its sequence, both or neither; one that is applied already is left alone (without a marker:
   * applied again with the same names). Throws
   * `COMMIT_REFUSED` (restart) when another instance has taken over.
   */
  apply(transaction: StagedTransaction): Promise<void>
  close(): Promise<void>
}
