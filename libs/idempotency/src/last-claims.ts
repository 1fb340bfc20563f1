/** The last claims a store has acknowledged, to be looked for where it may have forgotten them. Batches: a record at a time would cost each of them. */
import type { ClaimOutcome } from '@weir/dataflow'

/** Looked for behind a new connection; of a batch that is larger, all of it. */
export const LAST_CLAIMS = 1_000

export interface ClaimedBatch {
  readonly keys: readonly string[]
  readonly texts: readonly string[]
  /** Of each claim: only one that took its key is looked for. */
  readonly outcomes: readonly ClaimOutcome[]
  /** Monotonic: they may be gone by themselves. */
  readonly untilMs: number
}

export interface LastClaim {
  readonly key: string
  readonly text: string
  readonly ttlMs: number
}

export class LastClaims {
  /** Oldest first. */
  readonly #batches: ClaimedBatch[] = []
  #claims = 0

  add(batch: ClaimedBatch): void {
    this.#batches.push(batch)
    this.#claims += batch.keys.length
    for (let first = this.#batches[0]!; this.#claims - first.keys.length >= LAST_CLAIMS; first = this.#batches[0]!) {
      this.#claims -= first.keys.length
      this.#batches.shift()
    }
  }

  /** Of each key the newest, as long as its time is not over. */
  at(nowMs: number): readonly LastClaim[] {
    const claims = new Map<string, LastClaim>()
    for (const { keys, texts, outcomes, untilMs } of this.#batches) {
      const ttlMs = Math.floor(untilMs - nowMs)
      if (ttlMs <= 0) continue
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome !== 'first' && outcome !== 'handed-on') continue
        claims.set(keys[i]!, { key: keys[i]!, text: texts[i]!, ttlMs })
      }
    }
    return [...claims.values()]
  }
}
