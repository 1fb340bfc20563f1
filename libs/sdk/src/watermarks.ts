/** How far event time has come when a record is read: strategies as immutable values, given to a source. */
import type { CustomWatermarks } from '@weir/dataflow'
import { durationMs, type Duration } from './duration.ts'

/** Of records `T`. */
export interface WatermarkStrategy<in T> {
  readonly kind: 'weir.watermarks'
  readonly outOfOrderMs: number
  readonly custom: CustomWatermarks<T, unknown> | null
}

const strategy = <T>(outOfOrderMs: number, custom: CustomWatermarks<T, unknown> | null): WatermarkStrategy<T> =>
  Object.freeze({ kind: 'weir.watermarks' as const, outOfOrderMs, custom })

/** Watermark = highest timestamp of the partition − `bound`: records that are later than that are late. */
export const boundedOutOfOrderness = (bound: Duration): WatermarkStrategy<unknown> =>
  strategy<unknown>(Math.trunc(durationMs(bound)), null)

/** Timestamps of a partition only grow. */
export const monotonous = (): WatermarkStrategy<unknown> => strategy<unknown>(0, null)

/**
 * Your own, where timestamps alone do not say it: a fold over the records of each partition.
 *
 *     customWatermarks({
 *       initial: 0,
 *       onEvent: (until, tick: Tick) => (tick.type === 'marker' ? tick.until : until),
 *       watermark: (until) => until,
 *     })
 *
 * It is a function of the partition's records and nothing else: no clock, no state outside of `onEvent`'s. The state is plain
 * JSON, is stored with the partition's position and restored by every later build of the job. A record for which it throws
 * goes where dead letters go and counts for nothing (`WATERMARK_INVALID` names it).
 */
export const customWatermarks = <T, S>(custom: CustomWatermarks<T, S>): WatermarkStrategy<T> =>
  strategy<T>(0, custom as CustomWatermarks<T, unknown>)
