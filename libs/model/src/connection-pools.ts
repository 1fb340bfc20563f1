/**
 * What this thread's pools of connections do, for metrics. Whoever owns a pool makes a meter of it; whoever tells of the thread samples all
 * of them, one sampler per thread. A pool is exhausted while somebody waits because all its connections are taken.
 */
import type { Clock } from './ports.ts'

export interface PoolState {
  readonly open: number
  /** Connections in use; where several requests share one, requests that wait for their answers. */
  readonly busy: number
  /** Requests for which there is no connection. */
  readonly waiting: number
  /** Connections there may be. Null: as many as there are servers. */
  readonly max: number | null
}

/** All pools of one name. */
export interface PoolSample extends PoolState {
  readonly pool: string
  /** Since the sample before; pools of one name that are exhausted at a time add up. */
  readonly exhaustedMs: number
}

const meters = new Set<PoolMeter>()

export class PoolMeter {
  readonly pool: string
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #state: () => PoolState
  #wasExhausted = false
  #lookedMs: number
  #exhaustedMs = 0

  /** @param pool a few words for all of their kind, e.g. `postgres-claims`: a label, so no address */
  constructor(pool: string, clock: Pick<Clock, 'monotonic'>, state: () => PoolState) {
    this.pool = pool
    this.#clock = clock
    this.#state = state
    this.#lookedMs = clock.monotonic()
    meters.add(this)
  }

  /** A call that needs a connection. */
  async during<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = call()
      this.look()
      return await answer
    } finally {
      this.look()
    }
  }

  /** Between two looks the pool counts as it was at the first. */
  look(): PoolState {
    const state = this.#state()
    const nowMs = this.#clock.monotonic()
    if (this.#wasExhausted) this.#exhaustedMs += nowMs - this.#lookedMs
    this.#lookedMs = nowMs
    this.#wasExhausted = state.waiting > 0
    return state
  }

  /** Since the last time. */
  take(): PoolSample {
    const sample = { pool: this.pool, ...this.look(), exhaustedMs: this.#exhaustedMs }
    this.#exhaustedMs = 0
    return sample
  }

  /** The pool is no more. */
  close(): void {
    meters.delete(this)
  }
}

/** Of this thread, by name. */
export const samplePools = (): readonly PoolSample[] => sumOfPools([...meters].map((meter) => meter.take()))

/** One of each name. */
export function sumOfPools(samples: readonly PoolSample[]): readonly PoolSample[] {
  const sums = new Map<string, PoolSample>()
  for (const of of samples) {
    const sum = sums.get(of.pool)
    sums.set(of.pool, sum === undefined ? of : added(sum, of))
  }
  return [...sums.values()]
}

const added = (a: PoolSample, b: PoolSample): PoolSample => ({
  pool: a.pool,
  open: a.open + b.open,
  busy: a.busy + b.busy,
  waiting: a.waiting + b.waiting,
  max: a.max === null || b.max === null ? null : a.max + b.max,
  exhaustedMs: a.exhaustedMs + b.exhaustedMs,
})
