/**
 * What tiers told in one thread, for another one that has the metrics: summed up by what becomes a label, told again there.
 *
 *     tiers ──tierEvents──▶ TierSummary ──take()──▶ a message ──▶ tellTierSums ──tierEvents──▶ who listens there
 *        (worker thread)                                              (main thread)
 *
 * There are as many sums as a job has operators that claim, times operations: few.
 */
import { listenToTiers, tierEvents, type TierCalled, type TierCaughtUp } from './tier-events.ts'
import type { TierSetAside, TierUnavailable } from './tier-events.ts'

/** Of one namespace, tier, operation, and one `take`: the times of further calls are dropped, their keys are counted. */
export const TIER_DURATIONS_MAX = 256
/** Of one `take`; a slot opens one local tier per operator. Further ones are dropped. */
export const TIER_SET_ASIDE_MAX = 64

export interface TierCallSum extends Omit<TierCalled, 'durationMs'> {
  /** Of the first calls, from 1 to `TIER_DURATIONS_MAX`. */
  readonly durationsMs: readonly number[]
}

/** Can be cloned to another thread. */
export interface TierSums {
  readonly called: readonly TierCallSum[]
  readonly unavailable: readonly TierUnavailable[]
  readonly caughtUp: readonly TierCaughtUp[]
  readonly setAside: readonly TierSetAside[]
}

/** Listens to the tiers of its thread from its making to `end`. */
export class TierSummary {
  readonly #end: () => void
  #sums = new OpenSums()

  constructor() {
    this.#end = listenToTiers({
      called: (call) => this.#sums.addCall(call),
      unavailable: (of) => this.#sums.addUnavailable(of),
      caughtUp: (of) => this.#sums.addCaughtUp(of),
      setAside: (of) => this.#sums.addSetAside(of),
    })
  }

  /** What was told since the last one; null: nothing. */
  take(): TierSums | null {
    const sums = this.#sums.closed()
    if (sums !== null) this.#sums = new OpenSums()
    return sums
  }

  end(): void {
    this.#end()
  }
}

class OpenSums {
  readonly #called = new Map<string, TierCalled & { durationsMs: number[] }>()
  readonly #unavailable = new Map<string, TierUnavailable>()
  readonly #caughtUp = new Map<string, TierCaughtUp>()
  readonly #setAside: TierSetAside[] = []

  addCall(call: TierCalled): void {
    const label = JSON.stringify([call.namespace, call.tier, call.operation])
    const sum = this.#called.get(label)
    const durationsMs = sum?.durationsMs ?? []
    if (durationsMs.length < TIER_DURATIONS_MAX) durationsMs.push(call.durationMs)
    const hits = call.hits + (sum?.hits ?? 0)
    const misses = call.misses + (sum?.misses ?? 0)
    this.#called.set(label, { ...call, hits, misses, durationsMs })
  }

  addUnavailable(of: TierUnavailable): void {
    const label = JSON.stringify([of.namespace, of.decided])
    const keys = of.keys + (this.#unavailable.get(label)?.keys ?? 0)
    this.#unavailable.set(label, { ...of, keys })
  }

  addCaughtUp(of: TierCaughtUp): void {
    const { keys = 0, conflicts = 0 } = this.#caughtUp.get(of.namespace) ?? {}
    this.#caughtUp.set(of.namespace, { ...of, keys: of.keys + keys, conflicts: of.conflicts + conflicts })
  }

  addSetAside(of: TierSetAside): void {
    if (this.#setAside.length < TIER_SET_ASIDE_MAX) this.#setAside.push(of)
  }

  closed(): TierSums | null {
    const { size } = this.#called
    if (size + this.#unavailable.size + this.#caughtUp.size + this.#setAside.length === 0) return null
    return {
      called: [...this.#called.values()].map(({ durationMs: _, ...sum }) => sum),
      unavailable: [...this.#unavailable.values()],
      caughtUp: [...this.#caughtUp.values()],
      setAside: this.#setAside,
    }
  }
}

/** Tells it in this thread: sums with the first time, then the other times, each as a call of no keys. */
export function tellTierSums({ called, unavailable, caughtUp, setAside }: TierSums): void {
  for (const { durationsMs, ...sum } of called) {
    for (const [i, durationMs] of durationsMs.entries())
      tierEvents.called(i === 0 ? { ...sum, durationMs } : { ...sum, hits: 0, misses: 0, durationMs })
  }
  for (const of of unavailable) tierEvents.unavailable(of)
  for (const of of caughtUp) tierEvents.caughtUp(of)
  for (const of of setAside) tierEvents.setAside(of)
}
