/**
 * What travels through a channel, in order: batches of records, watermarks, barriers and the end of bounded input.
 * Records travel as parallel arrays, not as objects: one batch of 1,000 records is four allocations, not 1,000.
 */
import type { CheckpointId } from './ids.ts'

/** Keys are compared by value across processes, so only types with one encoding are allowed. */
export type Key = string | number

/** Milliseconds since 1970 of an event; all events with a smaller time have been seen. */
export type Watermark = number
export const WATERMARK_MIN: Watermark = Number.MIN_SAFE_INTEGER
/** No more records will come: fires every window. */
export const WATERMARK_MAX: Watermark = Number.MAX_SAFE_INTEGER

/** Parallel arrays of equal length; `keys` is null before the first keyBy. The receiver owns the arrays. */
export interface RecordBatch {
  readonly keys: Key[] | null
  readonly values: unknown[]
  /** Event time, ms since 1970. */
  readonly timestamps: number[]
}

export type StreamElement =
  | { readonly kind: 'records'; readonly batch: RecordBatch }
  | { readonly kind: 'watermark'; readonly timestamp: Watermark }
  | { readonly kind: 'barrier'; readonly checkpoint: CheckpointId }
  /** Bounded input is exhausted. Barriers may still follow: the last epoch commits the last output. */
  | { readonly kind: 'end' }

export const records = (batch: RecordBatch): StreamElement => ({ kind: 'records', batch })
export const watermark = (timestamp: Watermark): StreamElement => ({ kind: 'watermark', timestamp })
export const barrier = (checkpoint: CheckpointId): StreamElement => ({ kind: 'barrier', checkpoint })
export const END: StreamElement = { kind: 'end' }
