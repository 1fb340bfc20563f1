/**
 * A tier that is opened by the first call that needs it, and again by the next one if that failed for a while: a store that is away
 * when an attempt starts is waited for like one that goes away later.
 */
import { WeirError } from '@weir/model'
import type { ClaimTier, TierClaim, TierEntry, TierSwap } from '../tier.ts'
import { aborting } from './aborting.ts'

export class OpeningTier implements ClaimTier {
  readonly #open: (signal: AbortSignal) => Promise<ClaimTier>
  readonly #closing = new AbortController()
  #tier: Promise<ClaimTier> | null = null

  /** @param open rejects with the errors of a tier; its signal is that of `close`, since several calls may wait for it */
  constructor(open: (signal: AbortSignal) => Promise<ClaimTier>) {
    this.#open = open
  }

  async claim(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly TierClaim[]> {
    return (await this.#opened(signal)).claim(entries, signal)
  }

  async get(key: string, signal: AbortSignal): Promise<string | null> {
    return (await this.#opened(signal)).get(key, signal)
  }

  async getMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (string | null)[]> {
    return (await this.#opened(signal)).getMany(keys, signal)
  }

  async swap(entry: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierSwap> {
    return (await this.#opened(signal)).swap(entry, expected, signal)
  }

  async release(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#opened(signal)).release(key, value, signal)
  }

  async close(): Promise<void> {
    this.#closing.abort(closed())
    const tier = await this.#tier?.catch(() => null)
    await tier?.close()
  }

  #opened(signal: AbortSignal): Promise<ClaimTier> {
    if (this.#closing.signal.aborted) return Promise.reject(closed())
    if (this.#tier === null) {
      const opening = this.#open(this.#closing.signal)
      this.#tier = opening
      opening.catch(() => {
        if (this.#tier === opening) this.#tier = null
      })
    }
    return aborting(this.#tier, signal)
  }
}

const closed = (): WeirError => new WeirError({ code: 'CLAIM_TIER_CLOSED', kind: 'restart' }, 'the claims are closed')
