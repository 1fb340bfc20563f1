/**
 * What a function of map, filter or flatMap is told of its record, when it has a second parameter. One cursor per operator,
 * moved from record to record: a function without that parameter costs nothing for it.
 */
import { WATERMARK_MIN, type Key, type RecordBatch, type Watermark } from '@weir/model'
import { switchOf, type Switch } from './degrade-switch.ts'
import type { OperatorContext } from './operator.ts'
import { originAt, type Origin, type OriginNames } from './origin.ts'

/** One object for the life of the operator: read it during the call, do not keep it. */
export interface RecordContext {
  /** Event time of the record, ms. */
  readonly timestamp: number
  /** Every event with a smaller time has been seen, but for late ones, which come here too. */
  readonly watermark: Watermark
  /** Behind a keyBy; null elsewhere. */
  readonly key: Key | null
  /** Where the record was read; null for what the job has made itself, e.g. the result of a window. */
  readonly origin: Origin | null
  /** How the job's degrade switch stands (`degradable`): the same for all records between two barriers. */
  readonly degraded: boolean
}

/** Does the function look at its second parameter? Optional and rest parameters do not count, as in `Function.length`. */
export const takesContext = ({ length }: { readonly length: number }): boolean => length > 1

export class RecordCursor implements RecordContext {
  watermark: Watermark = WATERMARK_MIN
  #batch!: RecordBatch
  #index = 0
  #names: OriginNames | undefined
  #degraded!: Switch

  open(context: OperatorContext): void {
    this.watermark = context.watermark
    this.#names = context.origins
    this.#degraded = switchOf(context)
  }

  begin(batch: RecordBatch): void {
    this.#batch = batch
    this.#index = -1
  }

  /** To the next record of the batch: each is called for once, in order. */
  next(): this {
    this.#index++
    return this
  }

  get timestamp(): number {
    return this.#batch.timestamps[this.#index]!
  }

  get key(): Key | null {
    return this.#batch.keys === null ? null : this.#batch.keys[this.#index]!
  }

  get origin(): Origin | null {
    return originAt(this.#batch, this.#index, this.#names)
  }

  get degraded(): boolean {
    return this.#degraded()
  }
}

/** The function as its operator calls it; null: it looks at values alone. */
export function withCursor<R>(f: (value: unknown, context: RecordContext) => R): {
  readonly call: (value: unknown) => R
  readonly cursor: RecordCursor | null
} {
  if (!takesContext(f)) return { call: f as (value: unknown) => R, cursor: null }
  const cursor = new RecordCursor()
  return { call: (value) => f(value, cursor.next()), cursor }
}
