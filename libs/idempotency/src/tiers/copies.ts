/**
 * What the remote tier has said, kept above it: in memory and on the local disk. A copy says who wrote it: one of this instance's own
 * writes, in this session, may be certain (tiered-tier.ts); any other one is what was once read, for when nothing better can be had.
 */
import type { Clock, Random } from '@weir/model'
import type { HotTier } from './hot-tier.ts'
import type { Durable, LevelTier, LevelView } from './level-tier.ts'

/** Rows of copies and of decisions (local-decisions.ts) share the local tier. */
const PREFIX = 'c:'
/** Of a session, before the text. */
const SESSION_CHARS = 12
const NOT_OWN = '-'.repeat(SESSION_CHARS)
/** How long something is that was only read, nobody says. */
const READ_TTL_MS = 3_600_000
/** Longer than a call to any remote tier is under way. */
export const DOUBT_MS = 30_000

/** A row that says what is thought to be there, for certain to nobody. */
export const uncertainCopy = (key: string, text: string): { readonly key: string; readonly text: string } => ({
  key: PREFIX + key,
  text: NOT_OWN + text,
})
export const copiedText = (view: LevelView, key: string): string | null =>
  view.get(PREFIX + key)?.slice(SESSION_CHARS) ?? null

export interface Copy {
  readonly key: string
  readonly value: string
  /** As it was asked for. Of what somebody else has written nobody knows how long it stays: it is not taken for certain. */
  readonly ttlMs: number
  readonly own: boolean
}

export interface Known {
  readonly texts: readonly (string | null)[]
  readonly fromMemory: number
  readonly fromDisk: number
}

export class Copies {
  readonly #memory: HotTier
  readonly #local: LevelTier
  readonly #clock: Clock
  readonly #random: Random
  #session: string
  /** Monotonic ms. */
  #doubtUntil = 0

  constructor(deps: {
    readonly memory: HotTier
    readonly local: LevelTier
    readonly clock: Clock
    readonly random: Random
  }) {
    this.#memory = deps.memory
    this.#local = deps.local
    this.#clock = deps.clock
    this.#random = deps.random
    this.#session = this.#newSession()
  }

  /** Of each key the text this instance has written in this session, and how many of them came from where; null: none. */
  own(keys: readonly string[]): Known {
    const known = { texts: new Array<string | null>(keys.length).fill(null), fromMemory: 0, fromDisk: 0 }
    if (this.#isDoubtful()) return known
    keys.forEach((key, i) => {
      const hot = this.#memory.look(key)
      const text = this.#certain(hot ?? this.#fromDisk(key))
      if (text === null) return
      known.texts[i] = text
      if (hot === null) known.fromDisk++
      else known.fromMemory++
    })
    return known
  }

  async keep(copies: readonly Copy[]): Promise<void> {
    if (copies.length === 0) return
    const session = this.#isDoubtful() ? NOT_OWN : this.#session
    const rows = copies.map(({ key, value, ttlMs, own }) => ({ key, text: (own ? session : NOT_OWN) + value, ttlMs }))
    for (const { key, text, ttlMs } of rows) this.#memory.keep(key, { text, until: this.#clock.now() + ttlMs })
    await this.#locally((view) => {
      for (const { key, text, ttlMs } of rows) view.put(PREFIX + key, text, ttlMs)
    })
  }

  /** What the remote tier was seen to hold, null: nothing. Not written to the disk at once: it can be read again. */
  async read(keys: readonly string[], texts: readonly (string | null)[]): Promise<void> {
    const until = this.#clock.now() + READ_TTL_MS
    keys.forEach((key, i) => {
      const text = texts[i]!
      if (text === null) this.#memory.forget(key)
      else this.#memory.keep(key, { text: NOT_OWN + text, until })
    })
    await this.#locally((view) => {
      keys.forEach((key, i) => {
        const text = texts[i]!
        if (text === null) view.delete(PREFIX + key)
        else view.put(PREFIX + key, NOT_OWN + text, READ_TTL_MS)
      })
    }, 'soon')
  }

  /** Nothing is certain of what was written until now, nor of what is written while a call that failed may still arrive. */
  doubt(): void {
    this.#session = this.#newSession()
    this.#doubtUntil = this.#clock.monotonic() + DOUBT_MS
  }

  async range(from: string, to: string): Promise<{ key: string; text: string }[]> {
    const rows = await this.#local.range(PREFIX + from, PREFIX + to)
    return rows.map(({ key, text }) => ({ key: key.slice(PREFIX.length), text: text.slice(SESSION_CHARS) }))
  }

  #certain(copy: string | null): string | null {
    return copy !== null && copy.startsWith(this.#session) ? copy.slice(SESSION_CHARS) : null
  }

  #fromDisk(key: string): string | null {
    const row = this.#local.lookRow(PREFIX + key)
    if (row !== null) this.#memory.keep(key, row)
    return row?.text ?? null
  }

  /** A local disk that fails takes certainty with it, not the claim: the remote tier has decided. */
  async #locally(change: (view: LevelView) => void, durable: Durable = 'now'): Promise<void> {
    await this.#local.decide(new AbortController().signal, change, durable).catch(() => this.doubt())
  }

  #isDoubtful(): boolean {
    return this.#clock.monotonic() < this.#doubtUntil
  }

  #newSession(): string {
    return this.#random.nonce().slice(0, SESSION_CHARS)
  }
}
