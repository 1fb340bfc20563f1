/**
 * Watermarks that a job computes itself: a fold over the records of each split, in their order. Its state is plain JSON and
 * stands in the snapshot beside the split's position, so that a split goes on from where it stood, also in another subtask.
 *
 *     // a marker record says that everything before it has been written
 *     { initial: 0, onEvent: (until, record) => (record.type === 'marker' ? record.until : until), watermark: (until) => until }
 *
 * It looks at nothing but the records of its split: the watermark of a split is a function of them (PROTOCOL A18).
 */
import { WATERMARK_MIN, WeirError, type OperatorUid, type Watermark } from '@weir/model'
import { canonicalJson } from './canonical.ts'
import { TIMESTAMP_MAX, deepFreeze, isThenable } from './user-code.ts'

export interface CustomWatermarks<T, S> {
  /** Plain JSON. */
  readonly initial: S
  /** The state behind a record; `timestamp`: its event time, ms. Pure: a new state, never the old one changed. */
  readonly onEvent: (state: S, value: T, timestamp: number) => S
  /** Events before this time, ms since 1970, have all been seen; null: not known yet. One that goes back counts for nothing. */
  readonly watermark: (state: S) => number | null
}

export class WatermarkFold {
  readonly #uid: OperatorUid
  readonly #of: CustomWatermarks<unknown, unknown>
  #state: unknown
  #watermark: Watermark
  /** Of the batch at hand, record by record: the watermark behind it. */
  reached: Watermark[] = []

  constructor(uid: OperatorUid, of: CustomWatermarks<unknown, unknown>, at: { state: unknown; watermark: Watermark }) {
    this.#uid = uid
    this.#of = of
    this.#state = deepFreeze(at.state)
    this.#watermark = at.watermark
  }

  get state(): unknown {
    return this.#state
  }

  /** To look ahead with. */
  copy(): WatermarkFold {
    return new WatermarkFold(this.#uid, this.#of, { state: this.#state, watermark: this.#watermark })
  }

  /** Throws what user code throws, and `WATERMARK_INVALID` (invalid); then the record has counted for nothing. */
  next(value: unknown, timestamp: number): void {
    const state = this.#of.onEvent(this.#state, value, timestamp)
    if (state === undefined || isThenable(state)) throw this.#invalid(`onEvent returned ${nameOf(state)}`)
    const watermark: unknown = this.#of.watermark(state)
    if (watermark !== null && !isWatermark(watermark)) throw this.#invalid(`the watermark is ${nameOf(watermark)}`)
    this.#state = deepFreeze(state)
    if (watermark !== null && watermark > this.#watermark) this.#watermark = watermark
    this.reached.push(this.#watermark)
  }

  /** For the snapshot. Throws `WATERMARK_INVALID` (invalid) for what JSON would not give back. */
  snapshot(): unknown {
    try {
      canonicalJson(this.#state)
    } catch (cause) {
      throw this.#invalid(`its state cannot be stored: ${(cause as Error).message}`, cause)
    }
    return this.#state
  }

  #invalid(why: string, cause?: unknown): WeirError {
    return new WeirError(
      { code: 'WATERMARK_INVALID', kind: 'invalid', operatorUid: this.#uid },
      `the watermarks of source "${this.#uid}": ${why}. onEvent returns the next state, plain JSON; watermark returns ` +
        `milliseconds since 1970 (0 … ${TIMESTAMP_MAX}), or null while it is not known.`,
      { cause },
    )
  }
}

/** As at a fresh start where nothing is restored. */
export const foldAt = (
  uid: OperatorUid,
  of: CustomWatermarks<unknown, unknown>,
  restored: { readonly state: unknown; readonly watermark: Watermark } | null,
): WatermarkFold =>
  new WatermarkFold(uid, of, {
    state: restored?.state === undefined ? of.initial : restored.state,
    watermark: restored?.watermark ?? WATERMARK_MIN,
  })

/** Less strict than an event time: fractions do no harm. */
const isWatermark = (value: unknown): value is number =>
  typeof value === 'number' && value >= 0 && value <= TIMESTAMP_MAX

const nameOf = (value: unknown): string =>
  isThenable(value) ? 'a promise' : typeof value === 'number' ? String(value) : value === null ? 'null' : typeof value
