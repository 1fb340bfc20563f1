/** What the operator tests share: a collector that writes down what it gets, and literal batches. */
import { WATERMARK_MIN, WeirError, operatorUid, subtask } from '@weir/model'
import type { Key, RecordBatch, Watermark } from '@weir/model'
import { MemoryKeyedStates } from '../memory-state.ts'
import type { Collector, OperatorContext } from '../operator.ts'
import { refuseNone } from '../user-code.ts'

export const uid = operatorUid('op')

/** [key, value, timestamp] */
export type Row = readonly [Key | null, unknown, number]

export const batchOf = (...rows: readonly Row[]): RecordBatch => ({
  keys: rows.some(([key]) => key !== null) ? rows.map(([key]) => key!) : null,
  values: rows.map(([, value]) => value),
  timestamps: rows.map(([, , timestamp]) => timestamp),
})

/** Everything emitted, in order: rows and `watermark n`. `batches` has the sizes. */
export class Catch implements Collector {
  readonly seen: (Row | string)[] = []
  readonly batches: number[] = []

  emit({ keys, values, timestamps }: RecordBatch): void {
    this.batches.push(values.length)
    for (let i = 0; i < values.length; i++) this.seen.push([keys === null ? null : keys[i]!, values[i], timestamps[i]!])
  }

  watermark(timestamp: Watermark): void {
    this.seen.push(`watermark ${timestamp}`)
  }
}

export const contextOf = (over: Partial<OperatorContext> = {}): OperatorContext => ({
  uid,
  subtask: subtask(0),
  parallelism: 1,
  maxParallelism: 128,
  state: new MemoryKeyedStates(),
  watermark: WATERMARK_MIN,
  counters: { lateRecords: 0 },
  refuse: refuseNone,
  freeze: false,
  clock: { now: () => 0 },
  ...over,
})

/** The WeirError a call throws; fails when it throws none. */
export function thrown(call: () => unknown): WeirError {
  try {
    call()
  } catch (error) {
    if (error instanceof WeirError) return error
    throw error
  }
  throw new Error('expected a WeirError, nothing was thrown')
}
