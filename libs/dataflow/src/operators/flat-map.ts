/** One value in, any number out, each with the key and event time of the record it came from. Stateless. */
import { WeirError, emptyOrigins, pushOrdinal, truncateOrigins } from '@weir/model'
import type { Key, OperatorUid, Origins, RecordBatch, Watermark } from '@weir/model'
import type { FlatMapNode } from '../graph.ts'
import type { Collector, Operator, OperatorContext } from '../operator.ts'
import type { Refuse } from '../ports.ts'
import { withCursor, type RecordCursor } from '../record-context.ts'
import {
  OUTPUTS_OF_RECORD_MAX,
  isThenable,
  operatorFailed,
  outputsTooMany,
  refuseNone,
  returnedPromise,
} from '../user-code.ts'

/** Outputs are handed on in batches of at most about this many records, however many one input yields. */
export const FLAT_MAP_BATCH_RECORDS_MAX = 1_000

export class FlatMap implements Operator {
  readonly #flatMap: (value: unknown) => Iterable<unknown>
  /** Of a function that looks at it. */
  readonly #cursor: RecordCursor | null
  #uid: OperatorUid
  #refuse: Refuse = refuseNone

  constructor(options: Pick<FlatMapNode, 'uid' | 'flatMap'>) {
    this.#uid = options.uid
    const { call, cursor } = withCursor(options.flatMap)
    this.#flatMap = call
    this.#cursor = cursor
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#cursor?.open(context)
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    this.#cursor?.begin(batch)
    const count = batch.values.length
    for (let i = 0; i < count;) i = this.#fill(batch, i, out)
  }

  /** Emits one output batch made of the records from `from` on; answers the first record that is not in it. */
  #fill(batch: RecordBatch, from: number, out: Collector): number {
    const keys: Key[] | null = batch.keys === null ? null : []
    const values: unknown[] = []
    const timestamps: number[] = []
    const origins: Origins | undefined = batch.origins && emptyOrigins(batch.origins, true)
    let i = from
    for (; i < batch.values.length && values.length < FLAT_MAP_BATCH_RECORDS_MAX; i++) {
      const before = values.length
      try {
        const outputs: unknown = this.#flatMap(batch.values[i])
        if (isThenable(outputs)) throw returnedPromise(this.#uid, batch, i)
        // A string is iterable too, by characters: surely a forgotten pair of brackets.
        if (typeof outputs === 'string' || !isIterable(outputs)) throw notIterable(outputs, this.#uid, i)
        for (const output of outputs) {
          if (isThenable(output)) throw returnedPromise(this.#uid, batch, i)
          values.push(output)
          timestamps.push(batch.timestamps[i]!)
          if (values.length - before > OUTPUTS_OF_RECORD_MAX) throw outputsTooMany(this.#uid, i)
          if (keys !== null) keys.push(batch.keys![i]!)
          if (origins !== undefined) pushOrdinal(origins, batch.origins!, i, values.length - before - 1)
        }
      } catch (error) {
        // Outputs it had yielded before it threw: the record has no effect at all.
        values.length = timestamps.length = before
        if (keys !== null) keys.length = before
        if (origins !== undefined) truncateOrigins(origins, before)
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
      }
    }
    if (values.length > 0) out.emit({ keys, values, timestamps, origins })
    return i
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    if (this.#cursor !== null) this.#cursor.watermark = timestamp
    out.watermark(timestamp)
  }

  onEnd(): void {}
}

const isIterable = (value: unknown): value is Iterable<unknown> =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as { [Symbol.iterator]?: unknown })[Symbol.iterator] === 'function'

const notIterable = (got: unknown, operatorUid: OperatorUid, index: number): WeirError =>
  new WeirError(
    { code: 'OPERATOR_FAILED', kind: 'invalid', operatorUid, index, got: got === null ? 'null' : typeof got },
    `operator "${operatorUid}": flatMap must return an array or another iterable, got ${got === null ? 'null' : typeof got}. ` +
      'Return [] for no output and [value] for one.',
  )
