/** Drives the token bucket of one source in one subtask, which has none while the source is not limited. */
import { shareOf, type RateLimit, type SourceRate } from '@weir/dataflow'
import type { OperatorUid } from '@weir/model'
import { bucketFor, bucketWaitMs, stepBucket, type BucketEvent, type BucketState } from './token-bucket.ts'

/** Undefined: no source is limited, or none has changed while they need not be told. */
export function ratesOf(
  stages: readonly { readonly source: { readonly pace: SourcePace } | null }[],
  isDue: boolean,
): readonly SourceRate[] | undefined {
  let [rates, hasChanged]: [SourceRate[] | undefined, boolean] = [undefined, isDue]
  for (const { source } of stages) {
    const shown = source?.pace.shown
    if (!shown) continue
    ;(rates ??= []).push(shown)
    if (source!.pace.hasChanged) hasChanged = true
  }
  return hasChanged ? rates : undefined
}

const UNLIMITED: RateLimit = { recordsPerSecond: null, minRecordsPerSecond: null }

export class SourcePace {
  readonly #source: OperatorUid
  readonly #parallelism: number
  readonly #nowMs: () => number
  #limit: RateLimit
  #bucket: BucketState | null = null
  #isShown: boolean
  #hasChanged = false

  /** `limit` is that of all subtasks together. */
  constructor(source: OperatorUid, limit: RateLimit, parallelism: number, nowMs: () => number) {
    this.#source = source
    this.#parallelism = parallelism
    this.#nowMs = nowMs
    this.#limit = shareOf(limit, parallelism)
    this.#isShown = limit.recordsPerSecond !== null
  }

  /** The loop begins: so far nothing is saved up. */
  begin(): void {
    this.#bucket = this.#limit.recordsPerSecond === null ? null : bucketFor(this.#limit, this.#nowMs())
  }

  /** How long what lies behind takes for records is worth a look at the clock. */
  get isAdaptive(): boolean {
    return this.#bucket !== null && this.#bucket.least !== null
  }

  /** @returns how many records may be read now, ≤ `records`; they are taken. */
  take(records: number): number {
    if (this.#bucket === null) return records
    const { state, effects } = stepBucket(this.#bucket, { type: 'reserve', records, nowMs: this.#nowMs() })
    this.#bucket = state
    let granted = 0
    for (const effect of effects) {
      if (effect.type === 'grant') granted = effect.records
      else this.#hasChanged = true
    }
    return granted
  }

  giveBack(records: number): void {
    if (records !== 0) this.#step({ type: 'give-back', records })
  }

  /** Since `sinceMs` what lies behind was busy with them. */
  taken(records: number, sinceMs: number): void {
    const nowMs = this.#nowMs()
    this.#step({ type: 'taken', records, tookMs: nowMs - sinceMs, nowMs })
  }

  /** The event loop came to a timer that was to fire at `dueMs`. */
  looked(dueMs: number): void {
    const nowMs = this.#nowMs()
    this.#step({ type: 'looked', lagMs: nowMs - dueMs, nowMs })
  }

  waitMs(): number {
    return this.#bucket === null ? 0 : bucketWaitMs(this.#bucket, this.#nowMs())
  }

  /** From now on, of all subtasks together. */
  adjust(limit: RateLimit): void {
    this.#limit = shareOf(limit, this.#parallelism)
    this.#isShown = true
    this.#hasChanged = true
    if (this.#limit.recordsPerSecond === null) this.#bucket = null
    else if (this.#bucket === null) this.begin()
    else this.#step({ type: 'adjust', limit: this.#limit, nowMs: this.#nowMs() })
  }

  /** Null: neither limited nor ever asked to be. */
  get shown(): SourceRate | null {
    if (!this.#isShown) return null
    const { rate: current = null, reason = null } = this.#bucket ?? {}
    return { source: this.#source, limit: this.#bucket === null ? UNLIMITED : this.#limit, current, reason }
  }

  /** Since it was asked for last. */
  get hasChanged(): boolean {
    const changed = this.#hasChanged
    this.#hasChanged = false
    return changed
  }

  #step(event: BucketEvent): void {
    if (this.#bucket === null) return
    const { state, effects } = stepBucket(this.#bucket, event)
    this.#bucket = state
    if (effects.length > 0) this.#hasChanged = true
  }
}
