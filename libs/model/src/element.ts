/**
 * What travels through a channel, in order: batches of records, watermarks, idleness, barriers, records for other topics
 * (dead letters) and the end of bounded input.
 * Records travel as parallel arrays, not as objects: one batch of 1,000 records is four allocations, not 1,000.
 */
import type { CheckpointId } from './ids.ts'
import type { Origins } from './origins.ts'

/** Keys are compared by value across processes, so only types with one encoding are allowed. */
export type Key = string | number

/** Milliseconds since 1970 of an event; all events with a smaller time have been seen. */
export type Watermark = number
export const WATERMARK_MIN: Watermark = Number.MIN_SAFE_INTEGER
/** No more records will come: fires every window. */
export const WATERMARK_MAX: Watermark = Number.MAX_SAFE_INTEGER

/** How far one subtask's active splits have come, as it tells. */
export interface SourceReach {
  readonly low: Watermark
  readonly high: Watermark
}

/** Parallel arrays of equal length; `keys` is null before the first keyBy. The receiver owns the arrays. */
export interface RecordBatch {
  readonly keys: Key[] | null
  readonly values: unknown[]
  /** Event time, ms since 1970. */
  readonly timestamps: number[]
  /** In jobs that ask for them (dead letters, `traceContext`), and of sampled records; absent behind a window, whose results come from many records. */
  readonly origins?: Origins | undefined
}

const PLACES_PER_SOURCE = 1 << 20
/** `source` is an index in the job's graph. */
export const placeOf = (source: number, split: number): number => source * PLACES_PER_SOURCE + split
export const sourceOf = (place: number): number => Math.floor(place / PLACES_PER_SOURCE)
export const splitOf = (place: number): number => place % PLACES_PER_SOURCE

export type RecordHeader = readonly [name: string, value: Uint8Array | null]

/** A record as it lies in a topic. */
export interface TopicRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** ms since 1970. */
  readonly timestamp: number
  readonly headers: readonly RecordHeader[]
}

/** A finished record on its way to a topic beside the outputs, in the transaction of the sink it reaches. */
export interface AsideRecord extends TopicRecord {
  readonly topic: string
  /** Taken modulo the number of the topic's partitions. */
  readonly partition: number
}

export type StreamElement =
  | { readonly kind: 'records'; readonly batch: RecordBatch }
  | { readonly kind: 'watermark'; readonly timestamp: Watermark }
  /** Nothing may come for long: this input holds nobody's event time back until its next watermark. */
  | { readonly kind: 'idle' }
  | { readonly kind: 'barrier'; readonly checkpoint: CheckpointId }
  | { readonly kind: 'aside'; readonly records: readonly AsideRecord[] }
  /** Bounded input is exhausted. Barriers may still follow: the last epoch commits the last output. */
  | { readonly kind: 'end' }

export const records = (batch: RecordBatch): StreamElement => ({ kind: 'records', batch })
export const watermark = (timestamp: Watermark): StreamElement => ({ kind: 'watermark', timestamp })
export const IDLE: StreamElement = { kind: 'idle' }
export const barrier = (checkpoint: CheckpointId): StreamElement => ({ kind: 'barrier', checkpoint })
export const aside = (of: readonly AsideRecord[]): StreamElement => ({ kind: 'aside', records: of })
export const END: StreamElement = { kind: 'end' }
