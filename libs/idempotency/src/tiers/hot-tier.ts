/**
 * The tier in memory: as many texts as it may hold, those most often asked for (W-TinyLFU: a scan does not drive out what is
 * hot). It forgets: what it has is true, what it has not may still be held below. So it is no place for claims by itself.
 */
import type { Clock } from '@weir/model'
import { TinyLfu } from './tiny-lfu.ts'

export interface Kept {
  readonly text: string
  /** Wall clock, ms. */
  readonly until: number
}

export interface HotTierOptions {
  /** Texts, from 2. */
  readonly entriesMax: number
}

export class HotTier {
  readonly #cache: TinyLfu<Kept>
  readonly #clock: Clock

  constructor(options: HotTierOptions, deps: { readonly clock: Clock }) {
    this.#cache = new TinyLfu(options.entriesMax)
    this.#clock = deps.clock
  }

  /** null: not here, which says nothing about elsewhere. */
  look(key: string): string | null {
    const kept = this.#cache.get(key)
    return kept === undefined || kept.until <= this.#clock.now() ? null : kept.text
  }

  keep(key: string, kept: Kept): void {
    this.#cache.set(key, kept)
  }

  forget(key: string): void {
    this.#cache.delete(key)
  }

  get size(): number {
    return this.#cache.size
  }

  clear(): void {
    this.#cache.clear()
  }
}
