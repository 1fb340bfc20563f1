/** Results of windows on their way out, in bounded batches: `{ start, end, value }` under their key, at event time `end − 1`. */
import type { Key, OperatorUid, RecordBatch } from '@weir/model'
import type { AggregateFunctions } from '../aggregate.ts'
import type { Collector, WindowResult } from '../operator.ts'
import type { Refuse } from '../ports.ts'
import { isThenable, operatorFailed, returnedPromise } from '../user-code.ts'

/** A fired window with more keys leaves in several batches. */
export const WINDOW_BATCH_RECORDS_MAX = 1_000

/** Its parts were refused. */
const FAILED = Symbol('failed')

export class WindowResults {
  readonly #uid: OperatorUid
  readonly #merge: AggregateFunctions['merge']
  readonly #result: AggregateFunctions['result']
  readonly #refuse: Refuse
  #batch = emptyBatch()

  constructor(uid: OperatorUid, { merge, result }: AggregateFunctions, refuse: Refuse) {
    this.#uid = uid
    this.#merge = merge
    this.#result = result
    this.#refuse = refuse
  }

  /** A result that fails is refused, and the window has fired all the same. */
  add(key: Key, start: number, end: number, accumulator: unknown, out: Collector): void {
    const value = this.#result === undefined ? accumulator : this.#resultOf(key, end, accumulator)
    if (value === FAILED) return
    const fired: WindowResult<unknown> = { start, end, value }
    const { keys, values, timestamps } = this.#batch
    keys.push(key)
    values.push(fired)
    timestamps.push(end - 1)
    if (values.length === WINDOW_BATCH_RECORDS_MAX) this.flush(out)
  }

  /** Of the parts of a window, earlier ones first. Where they cannot be put together the window of this key has no result. */
  merged(key: Key, end: number, earlier: unknown, later: unknown): unknown {
    if (earlier === undefined) return later
    if (earlier === FAILED) return FAILED
    try {
      const merged = this.#merge!(earlier, later)
      if (isThenable(merged)) throw returnedPromise(this.#uid, oneOf(key, earlier, end), 0)
      if (merged === undefined) throw new TypeError('merge returned undefined; return the accumulator of both')
      return merged
    } catch (error) {
      this.#failed(error, key, earlier, end)
      return FAILED
    }
  }

  flush(out: Collector): void {
    if (this.#batch.values.length === 0) return
    const batch = this.#batch
    this.#batch = emptyBatch()
    out.emit(batch)
  }

  #resultOf(key: Key, end: number, accumulator: unknown): unknown {
    if (accumulator === FAILED) return FAILED
    try {
      const value = this.#result!(accumulator)
      if (isThenable(value)) throw returnedPromise(this.#uid, oneOf(key, accumulator, end), 0)
      return value
    } catch (error) {
      this.#failed(error, key, accumulator, end)
      return FAILED
    }
  }

  #failed(error: unknown, key: Key, accumulator: unknown, end: number): void {
    const batch = oneOf(key, accumulator, end)
    this.#refuse(batch, 0, operatorFailed(error, this.#uid, batch, 0))
  }
}

const oneOf = (key: Key, accumulator: unknown, end: number): RecordBatch => ({
  keys: [key],
  values: [accumulator],
  timestamps: [end - 1],
})

const emptyBatch = (): { keys: Key[]; values: unknown[]; timestamps: number[] } => ({
  keys: [],
  values: [],
  timestamps: [],
})
