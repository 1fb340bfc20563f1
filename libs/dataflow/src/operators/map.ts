/** One value in, one value out; key and event time stay. Stateless; the function must be pure. */
import type { OperatorUid, RecordBatch, Watermark } from '@weir/model'
import type { MapNode } from '../graph.ts'
import type { Collector, Operator, OperatorContext } from '../operator.ts'
import type { Refuse } from '../ports.ts'
import { withCursor, type RecordCursor } from '../record-context.ts'
import { isThenable, operatorFailed, refuseNone, returnedPromise, withoutRefused } from '../user-code.ts'

export class MapValues implements Operator {
  readonly #map: (value: unknown) => unknown
  /** Of a function that looks at it. */
  readonly #cursor: RecordCursor | null
  #uid: OperatorUid
  #refuse: Refuse = refuseNone

  constructor(options: Pick<MapNode, 'uid' | 'map'>) {
    this.#uid = options.uid
    const { call, cursor } = withCursor(options.map)
    this.#map = call
    this.#cursor = cursor
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#cursor?.open(context)
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    this.#cursor?.begin(batch)
    const { values } = batch
    const map = this.#map
    const count = values.length
    let refused: number[] | null = null
    for (let i = 0; i < count; i++) {
      try {
        for (; i < count; i++) {
          const mapped = map(values[i])
          if (isThenable(mapped)) throw returnedPromise(this.#uid, batch, i)
          values[i] = mapped
        }
      } catch (error) {
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
        ;(refused ??= []).push(i)
      }
    }
    if (refused === null || withoutRefused(batch, refused)) out.emit(batch)
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    if (this.#cursor !== null) this.#cursor.watermark = timestamp
    out.watermark(timestamp)
  }

  onEnd(): void {}
}
