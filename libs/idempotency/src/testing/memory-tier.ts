/** The tier as its contract says it, in a map: what the others are compared with, and what tests of claims run on. */
import { WeirError } from '@weir/model'
import type { ClaimTier, TierClaim, TierEntry, TierSwap } from '../tier.ts'

export interface MemoryPlace {
  readonly entries: Map<string, { readonly value: string; readonly until: number }>
  nowMs: number
}

export const memoryPlace = (): MemoryPlace => ({ entries: new Map(), nowMs: 0 })

export class MemoryTier implements ClaimTier {
  readonly #place: MemoryPlace
  #isClosed = false

  constructor(place: MemoryPlace = memoryPlace()) {
    this.#place = place
  }

  async claim(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly TierClaim[]> {
    await this.#turn(signal)
    return entries.map((entry) => {
      const there = this.#at(entry.key)
      if (there !== null && there !== entry.value) return { won: false, there }
      this.#put(entry)
      return { won: true }
    })
  }

  async get(key: string, signal: AbortSignal): Promise<string | null> {
    await this.#turn(signal)
    return this.#at(key)
  }

  async getMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (string | null)[]> {
    await this.#turn(signal)
    return keys.map((key) => this.#at(key))
  }

  async swap(entry: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierSwap> {
    await this.#turn(signal)
    const there = this.#at(entry.key)
    if (there !== expected && there !== entry.value) return { swapped: false, there }
    this.#put(entry)
    return { swapped: true }
  }

  async release(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    await this.#turn(signal)
    if (this.#at(key) === value) this.#place.entries.delete(key)
    return this.#at(key) === null
  }

  async close(): Promise<void> {
    this.#isClosed = true
    return Promise.resolve()
  }

  #at(key: string): string | null {
    const entry = this.#place.entries.get(key)
    return entry === undefined || entry.until <= this.#place.nowMs ? null : entry.value
  }

  #put({ key, value, ttlMs }: TierEntry): void {
    this.#place.entries.set(key, { value, until: this.#place.nowMs + ttlMs })
  }

  /** As a server would: nothing is decided in the caller's turn. */
  async #turn(signal: AbortSignal): Promise<void> {
    await Promise.resolve()
    signal.throwIfAborted()
    if (this.#isClosed) throw new WeirError({ code: 'CLAIM_TIER_CLOSED', kind: 'restart' }, 'the tier was closed')
  }
}
