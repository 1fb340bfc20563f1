/**
 * Joins operators by plain calls. `Input` is a Collector that can also be told the end: what the runtime drives, one
 * per stage; the far end is whatever Inputs the runtime puts there (exchange, sink).
 */
import { WATERMARK_MIN, sliceOrigins, type RecordBatch, type Watermark } from '@weir/model'
import type { Collector, Operator } from './operator.ts'
import type { Sample } from './sampled.ts'
import { deepFreeze } from './user-code.ts'

export interface Input extends Collector {
  /** Bounded input is over. The caller has sent `WATERMARK_MAX` before. */
  end(): void
}

/** Calls to the answer go through `operator`, what it emits goes on to `next`. */
export function link(operator: Operator, next: Input): Input {
  return {
    emit: (batch) => operator.onBatch(batch, next),
    watermark: (timestamp) => operator.onWatermark(timestamp, next),
    end: () => {
      operator.onEnd(next)
      next.end()
    },
  }
}

/** First operator first; the answer feeds the first. */
export const chain = (operators: readonly Operator[], tail: Input): Input =>
  operators.reduceRight((next, operator) => link(operator, next), tail)

/**
 * One stream into several: arrays are copied for all but the last, since a receiver may work in the ones it gets. Values are
 * shared: a function that changes one would change it for the other branches. Those of the sample are frozen.
 */
export function fanOut(branches: readonly Input[], sample: Sample | null = null): Input {
  if (branches.length === 1) return branches[0]!
  const last = branches.length - 1
  return {
    emit(batch: RecordBatch): void {
      const count = sample === null ? 0 : sample.of(batch.values.length)
      for (let i = 0; i < count; i++) deepFreeze(batch.values[i])
      for (let i = 0; i < last; i++) branches[i]!.emit(copyOf(batch))
      branches[last]?.emit(batch)
    },
    watermark(timestamp: Watermark): void {
      for (const branch of branches) branch.watermark(timestamp)
    },
    end(): void {
      for (const branch of branches) branch.end()
    },
  }
}

/**
 * Several streams into one, each with an Input of its own: event time is that of the slowest, and the end that of the last.
 * What an input has told before is told again by whoever drives it: all begin at `WATERMARK_MIN`.
 */
export function fanIn(count: number, next: Input): readonly Input[] {
  if (count === 1) return [next]
  const watermarks = Array.from({ length: count }, () => WATERMARK_MIN)
  let lowest = WATERMARK_MIN
  let open = count
  return watermarks.map((_, i) => ({
    emit: (batch: RecordBatch) => next.emit(batch),
    watermark(timestamp: Watermark): void {
      watermarks[i] = timestamp
      const now = Math.min(...watermarks)
      if (now > lowest) next.watermark((lowest = now))
    },
    end(): void {
      if (--open === 0) next.end()
    },
  }))
}

export const copyOf = ({ keys, values, timestamps, origins }: RecordBatch): RecordBatch => ({
  keys: keys === null ? null : keys.slice(),
  values: values.slice(),
  timestamps: timestamps.slice(),
  origins: origins && sliceOrigins(origins),
})
