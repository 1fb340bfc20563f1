/** Tells of the calls to a store of claims as a remote tier tells of its own: for stores that are asked directly, without copies. */
import type { Claim, ClaimAnswer, ClaimStore } from '@weir/dataflow'
import type { AttemptId, Clock } from '@weir/model'
import { tierEvents, type TierCalled } from './tiers/tier-events.ts'

export class MeasuredClaims implements ClaimStore {
  readonly #namespace: string
  readonly #store: ClaimStore
  readonly #clock: Clock

  constructor(namespace: string, store: ClaimStore, clock: Clock) {
    this.#namespace = namespace
    this.#store = store
    this.#clock = clock
  }

  claim(claims: readonly Claim[], signal: AbortSignal): Promise<readonly ClaimAnswer[]> {
    return this.#measured('claim', claims.length, () => this.#store.claim(claims, signal))
  }

  dead(origins: readonly string[], attempt: AttemptId, signal: AbortSignal): Promise<void> {
    return this.#measured('dead', origins.length, () => this.#store.dead(origins, attempt, signal))
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  /** What fails is told of by whoever decides what becomes of it. */
  async #measured<T>(operation: TierCalled['operation'], keys: number, ask: () => Promise<T>): Promise<T> {
    const began = this.#clock.monotonic()
    const answer = await ask()
    if (keys > 0) {
      const durationMs = this.#clock.monotonic() - began
      tierEvents.called({ namespace: this.#namespace, tier: 'remote', operation, hits: keys, misses: 0, durationMs })
    }
    return answer
  }
}
