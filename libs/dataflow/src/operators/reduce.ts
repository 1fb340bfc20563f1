/**
 * A running fold per key: emits the new accumulator, or its result, for every record, under the record's key and event time.
 * The accumulator is replaced in keyed state, never changed: the barrier's snapshot may be writing the old one.
 */
import type { OperatorUid, RecordBatch, Watermark } from '@weir/model'
import type { ReduceNode } from '../graph.ts'
import { keysOf } from '../operator.ts'
import type { Collector, Operator, OperatorContext } from '../operator.ts'
import type { KeyedState, Refuse } from '../ports.ts'
import { deepFreeze, isThenable, operatorFailed, refuseNone, returnedPromise, withoutRefused } from '../user-code.ts'

export const REDUCE_STATE = 'accumulator'

export class Reduce implements Operator {
  readonly #initial: unknown
  readonly #reduce: ReduceNode['reduce']
  readonly #result: ReduceNode['result']
  #uid: OperatorUid
  #refuse: Refuse = refuseNone
  #state!: KeyedState<unknown>
  #freeze = false

  constructor(options: Pick<ReduceNode, 'uid' | 'initial' | 'reduce' | 'result'>) {
    this.#uid = options.uid
    // One object begins the fold of every key: a function that changes it would mix the keys.
    this.#initial = deepFreeze(options.initial)
    this.#reduce = options.reduce
    this.#result = options.result
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#state = context.state.keyed(context.uid, REDUCE_STATE)
    this.#freeze = context.freeze
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    const keys = keysOf(batch, this.#uid)
    const { values } = batch
    const state = this.#state
    const reduce = this.#reduce
    const result = this.#result
    const count = values.length
    let refused: number[] | null = null
    let readTo = 0
    for (let i = 0; i < count; i++) {
      try {
        for (; i < count; i++) {
          if (i >= readTo) readTo = state.ahead?.(keys, i) ?? count
          const key = keys[i]!
          const accumulator = state.get(key)
          const next = reduce(accumulator === undefined ? this.#initial : accumulator, values[i])
          if (isThenable(next)) throw returnedPromise(this.#uid, batch, i)
          // `undefined` is "no state yet": storing it would begin the fold anew without a word.
          if (next === undefined) throw new TypeError('reduce returned undefined; return the new accumulator')
          if (this.#freeze) deepFreeze(next)
          const value = result === undefined ? next : result(next)
          if (isThenable(value)) throw returnedPromise(this.#uid, batch, i)
          state.put(key, next)
          values[i] = value
        }
      } catch (error) {
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
        ;(refused ??= []).push(i)
      }
    }
    if (refused === null || withoutRefused(batch, refused)) out.emit(batch)
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    out.watermark(timestamp)
  }

  onEnd(): void {}
}
