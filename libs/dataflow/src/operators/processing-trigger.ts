/** A trigger by the clock: timers of processing time, at multiples of a span, so that a window has one per span at most. */
import type { Key } from '@weir/model'
import { KeyScope } from '../handles/key-scope.ts'
import type { Collector, OperatorContext, ProcessingTimers } from '../operator.ts'
import { Timers } from '../timers.ts'
import { PROCESSING_TIMERS_AT_ONCE } from './keyed-process.ts'

export class ProcessingTrigger implements ProcessingTimers {
  readonly #everyMs: number
  readonly #scope: KeyScope
  readonly #timers: Timers
  readonly #clock: OperatorContext['clock']
  readonly #onFire: (key: Key, name: string, out: Collector) => void
  #nowMs = 0
  #ended = false

  constructor(context: OperatorContext, everyMs: number, onFire: (key: Key, name: string, out: Collector) => void) {
    this.#everyMs = everyMs
    this.#scope = new KeyScope(context.uid, context.freeze, null, context.watermark)
    this.#timers = new Timers(context.state, this.#scope, 'processing')
    this.#clock = context.clock
    this.#onFire = onFire
  }

  /** A record has come. */
  set(key: Key, name: string): void {
    this.#scope.key = key
    this.#timers.set(name, (Math.floor(this.#now() / this.#everyMs) + 1) * this.#everyMs)
  }

  get nextMs(): number {
    return this.#ended ? Number.POSITIVE_INFINITY : this.#timers.nextMs
  }

  fire(out: Collector): void {
    if (this.#ended) return
    const now = this.#now()
    for (let i = 0; i < PROCESSING_TIMERS_AT_ONCE; i++) {
      const timer = this.#timers.take(now)
      if (timer === null) return
      this.#onFire(this.#scope.key, timer.name, out)
    }
  }

  end(): void {
    this.#ended = true
  }

  /** A clock that is set back does not go back here. */
  #now(): number {
    this.#nowMs = Math.max(this.#nowMs, Math.trunc(this.#clock.now()))
    return this.#nowMs
  }
}
