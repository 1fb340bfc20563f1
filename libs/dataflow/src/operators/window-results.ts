/**
 * Results of windows on their way out, in bounded batches, under their key, at event time `end − 1`: `{ start, end, value }` of an
 * aggregate; of a function over the whole window what that puts out.
 */
import { WATERMARK_MIN, type Key, type OperatorUid, type RecordBatch, type Watermark } from '@weir/model'
import { FIRING_PART_MAX } from '../firing.ts'
import type { WindowNode } from '../graph.ts'
import type { Collector, OperatorContext, WindowResult } from '../operator.ts'
import type { Refuse } from '../ports.ts'
import {
  OUTPUTS_OF_RECORD_MAX,
  emittedPromise,
  isThenable,
  operatorFailed,
  outputsTooMany,
  returnedPromise,
} from '../user-code.ts'
import type { WindowBounds, WindowContext, WindowOut } from '../window-process.ts'

/** Its parts were refused. */
const FAILED = Symbol('failed')

export class WindowResults {
  readonly #uid: OperatorUid
  readonly #merge: WindowNode['aggregate']['merge']
  readonly #result: WindowNode['aggregate']['result']
  readonly #process: NonNullable<WindowNode['process']> | null
  readonly #refuse: Refuse
  readonly #partMax: number
  readonly #cursor = new Cursor()
  #batch = emptyBatch()
  /** Results since a part ended. */
  #inPart = 0
  /** Outputs of the window at hand. */
  #emitted = 0
  readonly #out: WindowOut<unknown> = { emit: (value) => this.#emit(value) }

  constructor(
    { uid, aggregate, process }: Pick<WindowNode, 'uid' | 'aggregate' | 'process'>,
    { refuse, firingPartMax = FIRING_PART_MAX }: Pick<OperatorContext, 'refuse' | 'firingPartMax'>,
  ) {
    this.#uid = uid
    this.#merge = aggregate.merge
    this.#result = aggregate.result
    this.#process = process ?? null
    this.#refuse = refuse
    this.#partMax = firingPartMax
  }

  /** What the functions are told. */
  set watermark(watermark: Watermark) {
    this.#cursor.watermark = watermark
  }

  /**
   * A result that fails is refused, and the window has fired all the same. `content`: the accumulator, or all elements.
   * @returns a part has left: whoever fires waits for room
   */
  add(key: Key, start: number, end: number, content: unknown, out: Collector): boolean {
    if (content === FAILED) return false
    const before = this.#batch.values.length
    if (this.#process !== null) this.#processed(this.#process, key, start, end, content as readonly unknown[])
    else {
      const value = this.#result === undefined ? content : this.#resultOf(key, start, end, content)
      if (value === FAILED) return false
      const fired: WindowResult<unknown> = { start, end, value }
      this.#push(key, fired, end)
    }
    this.#inPart += this.#batch.values.length - before
    if (this.#inPart < this.#partMax) return false
    this.#inPart = 0
    this.flush(out)
    return true
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

  #resultOf(key: Key, start: number, end: number, accumulator: unknown): unknown {
    try {
      const value = this.#result!(accumulator, this.#cursor.at(key, start, end))
      if (isThenable(value)) throw returnedPromise(this.#uid, oneOf(key, accumulator, end), 0)
      return value
    } catch (error) {
      this.#failed(error, key, accumulator, end)
      return FAILED
    }
  }

  #processed(
    process: NonNullable<WindowNode['process']>,
    key: Key,
    start: number,
    end: number,
    elements: readonly unknown[],
  ): void {
    const { keys, values, timestamps } = this.#batch
    const before = values.length
    this.#emitted = 0
    try {
      const answer: unknown = process(elements, this.#cursor.at(key, start, end), this.#out)
      if (isThenable(answer)) throw returnedPromise(this.#uid, oneOf(key, elements, end), 0)
    } catch (error) {
      keys.length = values.length = timestamps.length = before
      this.#failed(error, key, elements, end)
    }
  }

  #emit(value: unknown): void {
    if (isThenable(value)) throw emittedPromise(this.#uid, {}, 0, this.#cursor.end - 1)
    if (++this.#emitted > OUTPUTS_OF_RECORD_MAX) throw outputsTooMany(this.#uid, 0)
    this.#push(this.#cursor.key, value, this.#cursor.end)
  }

  #push(key: Key, value: unknown, end: number): void {
    const { keys, values, timestamps } = this.#batch
    keys.push(key)
    values.push(value)
    timestamps.push(end - 1)
  }

  #failed(error: unknown, key: Key, content: unknown, end: number): void {
    const batch = oneOf(key, content, end)
    this.#refuse(batch, 0, operatorFailed(error, this.#uid, batch, 0))
  }
}

class Cursor implements WindowContext {
  key: Key = ''
  watermark: Watermark = WATERMARK_MIN
  end = 0
  #start = 0

  at(key: Key, start: number, end: number): this {
    this.key = key
    this.#start = start
    this.end = end
    return this
  }

  get window(): WindowBounds {
    return { start: this.#start, end: this.end }
  }
}

const oneOf = (key: Key, content: unknown, end: number): RecordBatch => ({
  keys: [key],
  values: [content],
  timestamps: [end - 1],
})

const emptyBatch = (): { keys: Key[]; values: unknown[]; timestamps: number[] } => ({
  keys: [],
  values: [],
  timestamps: [],
})
