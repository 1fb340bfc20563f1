/**
 * What functions of windows are told of theirs, and functions over all elements of a window. An aggregate keeps one accumulator
 * per key and pane; such a function keeps every record until the last window it is in is gone: where an aggregate does, take one.
 */
import type { Key, Watermark } from '@weir/model'
import type { Aggregate } from './aggregate.ts'
import type { StateSchema } from './state-schema.ts'

/** `start` inclusive, `end` exclusive, ms since 1970. */
export interface WindowBounds {
  readonly start: number
  readonly end: number
}

/** One object for the life of the operator: read it during the call, do not keep it. */
export interface WindowContext {
  readonly key: Key
  /** Of a global window: from the lowest event time of its records to behind the highest. */
  readonly window: WindowBounds
  /** How far event time has come: below `window.end` the window fires early, and will fire again. */
  readonly watermark: Watermark
}

/** As `Aggregate`; its `result` is told of the window. */
export interface WindowAggregate<T, A, O> extends Omit<Aggregate<T, A, O>, 'result'> {
  result?(accumulator: A, context: WindowContext): O
}
export interface MergingWindowAggregate<T, A, O> extends WindowAggregate<T, A, O> {
  merge(earlier: A, later: A): A
}

/** Where a function over a window puts out: any number of values under the window's key, at event time `end − 1`. */
export interface WindowOut<R> {
  emit(value: R): void
}

/**
 * Called whenever the window fires, with all its records: panes in the order of time, those of a pane as they came. Pure: what it
 * is given may be shared with other windows.
 */
export type WindowProcess<T, R> = (elements: readonly T[], context: WindowContext, out: WindowOut<R>) => void

export interface WindowProcessOptions<T> {
  /** Of the records. */
  readonly schema?: StateSchema<T>
}
