/**
 * The claims of one slot outside of state. Loaded by slots whose plan has some: with the clients of their stores a slot that waits
 * for its slice holds 9 MiB more.
 */
import type { ClaimStore, ClaimsNews, IdempotentNode, SubtaskContext } from '@weir/dataflow'
import { TierSummary, type TierSums } from '@weir/idempotency'
import { systemClock } from '@weir/runtime/system'
import { claimsOf } from './claims.ts'
import { TieredStores } from './tiered-claims.ts'

export class SlotClaims {
  readonly #localDir: string
  readonly #tiered = new TieredStores()
  readonly #told = new TierSummary()

  /** @param localDir of this machine's tiers; outlives processes */
  constructor(localDir: string) {
    this.#localDir = localDir
  }

  /** Throws as `claimsOf`. */
  open(node: IdempotentNode, context: SubtaskContext, told: (news: ClaimsNews) => void): ClaimStore {
    return claimsOf(node, context, { clock: systemClock, localDir: this.#localDir, tiered: this.#tiered }, told)
  }

  /** What tiers told since the last time; null: nothing. */
  take(): TierSums | null {
    return this.#told.take()
  }

  /** Behind a job that has ended. */
  forget(): Promise<void> {
    return this.#tiered.forget()
  }
}
