/**
 * Computes the key of every record; the operators behind it see `keys` set. For `keyBy` it runs on the sending side of
 * an exchange (the runtime partitions by `keyGroupOf(key)` what comes out of it), for `keyedBySource` in the chain.
 */
import type { Key, OperatorUid, RecordBatch, Watermark } from '@weir/model'
import type { KeyByNode } from '../graph.ts'
import type { Collector, Operator, OperatorContext } from '../operator.ts'
import { isKey, keyInvalid, operatorFailed } from '../user-code.ts'

export class KeyBy implements Operator {
  readonly #key: KeyByNode['key']
  #uid: OperatorUid

  constructor(options: Pick<KeyByNode, 'uid' | 'key'>) {
    this.#uid = options.uid
    this.#key = options.key
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    const { values, timestamps } = batch
    const keyOf = this.#key
    const count = values.length
    const keys: Key[] = []
    let i = 0
    try {
      for (; i < count; i++) {
        const key: unknown = keyOf(values[i])
        if (!isKey(key)) throw keyInvalid(key, this.#uid, batch, i)
        keys.push(key)
      }
    } catch (error) {
      throw operatorFailed(error, this.#uid, batch, i)
    }
    out.emit({ keys, values, timestamps })
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    out.watermark(timestamp)
  }

  onEnd(): void {}
}
