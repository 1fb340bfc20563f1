/** Keeps the records a predicate says `true` to. Stateless; the predicate must be pure. Works in the given arrays. */
import { moveOrigin, truncateOrigins, type OperatorUid, type RecordBatch, type Watermark } from '@weir/model'
import type { FilterNode } from '../graph.ts'
import type { Collector, Operator, OperatorContext } from '../operator.ts'
import type { Refuse } from '../ports.ts'
import { withCursor, type RecordCursor } from '../record-context.ts'
import { isThenable, operatorFailed, refuseNone, returnedPromise } from '../user-code.ts'

export class Filter implements Operator {
  readonly #test: (value: unknown) => boolean
  /** Of a function that looks at it. */
  readonly #cursor: RecordCursor | null
  #uid: OperatorUid
  #refuse: Refuse = refuseNone

  constructor(options: Pick<FilterNode, 'uid' | 'test'>) {
    this.#uid = options.uid
    const { call, cursor } = withCursor(options.test)
    this.#test = call
    this.#cursor = cursor
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#cursor?.open(context)
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    this.#cursor?.begin(batch)
    const { keys, values, timestamps, origins } = batch
    const test = this.#test
    const count = values.length
    let kept = 0
    for (let i = 0; i < count; i++) {
      try {
        for (; i < count; i++) {
          const value = values[i]
          const verdict: unknown = test(value)
          if (verdict === false) continue
          // Any other truthy or falsy value is taken as JavaScript takes it; a promise would always be truthy.
          if (verdict !== true) {
            if (isThenable(verdict)) throw returnedPromise(this.#uid, batch, i)
            if (!verdict) continue
          }
          if (kept !== i) {
            values[kept] = value
            timestamps[kept] = timestamps[i]!
            if (keys !== null) keys[kept] = keys[i]!
            if (origins !== undefined) moveOrigin(origins, i, kept)
          }
          kept++
        }
      } catch (error) {
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
      }
    }
    if (kept === 0) return
    if (kept !== count) {
      values.length = timestamps.length = kept
      if (keys !== null) keys.length = kept
      if (origins !== undefined) truncateOrigins(origins, kept)
    }
    out.emit(batch)
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    if (this.#cursor !== null) this.#cursor.watermark = timestamp
    out.watermark(timestamp)
  }

  onEnd(): void {}
}
