/**
 * Computes the key of every record; the operators behind it see `keys` set. For `keyBy` it runs on the sending side of
 * an exchange (the runtime partitions by `keyGroupOf(key)` what comes out of it), for `keyedBySource` in the chain.
 */
import type { Key, OperatorUid, RecordBatch, Watermark } from '@weir/model'
import type { KeyByNode } from '../graph.ts'
import type { Collector, Operator, OperatorContext } from '../operator.ts'
import type { Refuse } from '../ports.ts'
import { isKey, keyInvalid, operatorFailed, refuseNone, withoutRefused } from '../user-code.ts'

export class KeyBy implements Operator {
  readonly #key: KeyByNode['key']
  #uid: OperatorUid
  #refuse: Refuse = refuseNone

  constructor(options: Pick<KeyByNode, 'uid' | 'key'>) {
    this.#uid = options.uid
    this.#key = options.key
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    const { values, timestamps, origins } = batch
    const keyOf = this.#key
    const count = values.length
    const keys: Key[] = []
    let refused: number[] | null = null
    for (let i = 0; i < count; i++) {
      try {
        for (; i < count; i++) {
          const key: unknown = keyOf(values[i])
          if (!isKey(key)) throw keyInvalid(key, this.#uid, batch, i)
          keys.push(key)
        }
      } catch (error) {
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
        ;(refused ??= []).push(i)
        keys.push('') // goes with the record
      }
    }
    const keyed = { keys, values, timestamps, origins }
    if (refused === null || withoutRefused(keyed, refused)) out.emit(keyed)
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    out.watermark(timestamp)
  }

  onEnd(): void {}
}
