/**
 * Claims decided without the remote tier, by what was known of it: on the local disk before they are answered, and told to the
 * remote tier when it is back. Each key has one row: what the remote tier is thought to hold, and what it is to hold.
 */
import { WeirError } from '@weir/model'
import type { ClaimTier, TierClaim, TierEntry, TierSwap } from '../tier.ts'
import { aborting } from './aborting.ts'
import { copiedText, uncertainCopy } from './copies.ts'
import type { LevelTier, LevelView } from './level-tier.ts'

const DECISION = 'd:'
const BEHIND = 'd;'
/** Told in one call. */
const TELL_MAX = 500
/** Beyond it claims fail as if nothing were decided locally: the disk is not to fill up behind an outage. */
const DECISIONS_MAX = 1_000_000
/** Of one key, during one outage. */
const CHANGES_MAX = 64
/** Somebody else changes the key at the same time, each time. */
const TELL_ROUNDS_MAX = 16
/** Longer than any outage that is not looked at. */
const DECISION_TTL_MS = 30 * 86_400_000

interface Decision {
  /** What the remote tier may hold (null: nothing): what was known, and each of ours that may have reached it unanswered. */
  readonly before: readonly (string | null)[]
  /** What it is to hold; null: nothing. */
  readonly after: string | null
  readonly ttlMs: number
}

export interface Told {
  readonly keys: number
  /** Where somebody else was there. */
  readonly conflicts: number
}

export class LocalDecisions {
  readonly #local: LevelTier
  readonly #remote: ClaimTier
  readonly #told: (told: Told) => void
  #count: number | null = null
  #decided = 0
  #telling: Promise<void> | null = null
  readonly #closed = new AbortController()

  /** `told`: hears of it once, whoever waited. */
  constructor(deps: { readonly local: LevelTier; readonly remote: ClaimTier; readonly told: (told: Told) => void }) {
    this.#local = deps.local
    this.#remote = deps.remote
    this.#told = deps.told
  }

  /** There are some the remote tier does not know of. Until the first `tell` nobody has looked: those of an earlier process count. */
  get pending(): boolean {
    return this.#count !== 0
  }

  claim(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly TierClaim[]> {
    return this.#decide(signal, (view) =>
      entries.map((entry): TierClaim => {
        const there = this.#there(view, entry.key)
        if (there !== null && there !== entry.value) return { won: false, there }
        this.#put(view, entry.key, entry.value, entry.ttlMs)
        return { won: true }
      }),
    )
  }

  getMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (string | null)[]> {
    return this.#decide(signal, (view) => keys.map((key) => this.#there(view, key)))
  }

  swap(entry: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierSwap> {
    return this.#decide(signal, (view): TierSwap => {
      const there = this.#there(view, entry.key)
      if (there !== expected && there !== entry.value) return { swapped: false, there }
      this.#put(view, entry.key, entry.value, entry.ttlMs)
      return { swapped: true }
    })
  }

  release(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    return this.#decide(signal, (view) => {
      const there = this.#there(view, key)
      if (there === value) this.#put(view, key, null, DECISION_TTL_MS)
      return there === null || there === value
    })
  }

  /**
   * Tells the remote tier, in order of keys, until it knows them all. Throws what it throws. All who wait share it: it ends with
   * the tier, not with one of their signals.
   */
  tell(signal: AbortSignal): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    this.#telling ??= this.#tellAll(this.#closed.signal).finally(() => (this.#telling = null))
    return aborting(this.#telling, signal)
  }

  close(): void {
    this.#closed.abort(new WeirError({ code: 'CLAIM_TIER_CLOSED', kind: 'restart' }, 'the tier was closed'))
  }

  async #tellAll(signal: AbortSignal): Promise<void> {
    const told = { keys: 0, conflicts: 0 }
    for (;;) {
      const decided = this.#decided
      const rows = await this.#local.range(DECISION, BEHIND, TELL_MAX)
      if (rows.length === 0 && decided === this.#decided) {
        this.#count = 0
        if (told.keys > 0) this.#told(told)
        return
      }
      for (const { key: row, text } of rows) {
        const key = row.slice(DECISION.length)
        const decision = JSON.parse(text) as Decision
        const holds = await this.#tellOne(key, decision, signal)
        told.keys++
        if (holds !== decision.after) told.conflicts++
        await this.#settle(key, text, holds, decision.ttlMs, signal)
      }
    }
  }

  /** @returns what the remote tier holds now: where that is somebody else's, it stays, being the authority. */
  async #tellOne(key: string, { before, after, ttlMs }: Decision, signal: AbortSignal): Promise<string | null> {
    let there: string | null = before[0]!
    for (let round = 0; round < TELL_ROUNDS_MAX; round++) {
      if (after === null) {
        there = await this.#remote.get(key, signal)
        if (there === null || !before.includes(there) || (await this.#remote.release(key, there, signal))) break
      } else {
        const answer = await this.#remote.swap({ key, value: after, ttlMs }, there, signal)
        if (answer.swapped) return after
        there = answer.there
        // Nothing: its time was over meanwhile, and nothing speaks against the later one.
        if (there !== null && !before.includes(there)) break
      }
    }
    return after === null && (there === null || before.includes(there)) ? null : there
  }

  /** What was decided meanwhile is decided on what the remote tier holds now. */
  #settle(key: string, text: string, holds: string | null, ttlMs: number, signal: AbortSignal): Promise<void> {
    return this.#local.decide(signal, (view) => {
      const now = view.get(DECISION + key)
      if (now === text) view.delete(DECISION + key)
      else if (now !== null)
        view.put(DECISION + key, JSON.stringify({ ...(JSON.parse(now) as Decision), before: [holds] }), DECISION_TTL_MS)
      const copy = uncertainCopy(key, holds ?? '')
      if (holds === null) view.delete(copy.key)
      else view.put(copy.key, copy.text, ttlMs)
    })
  }

  #there(view: LevelView, key: string): string | null {
    const decided = view.get(DECISION + key)
    if (decided !== null) return (JSON.parse(decided) as Decision).after
    return copiedText(view, key)
  }

  #put(view: LevelView, key: string, after: string | null, ttlMs: number): void {
    const decided = view.get(DECISION + key)
    const { before, after: last } =
      decided === null ? { before: [], after: this.#there(view, key) } : (JSON.parse(decided) as Decision)
    const all = [...new Set([...before, last])]
    if (all.length > CHANGES_MAX) throw tooMany(`"${key}" was changed ${CHANGES_MAX} times`)
    view.put(DECISION + key, JSON.stringify({ before: all, after, ttlMs } satisfies Decision), DECISION_TTL_MS)
    this.#count = (this.#count ?? 0) + 1
    this.#decided++
  }

  async #decide<T>(signal: AbortSignal, decide: (view: LevelView) => T): Promise<T> {
    if ((this.#count ?? 0) > DECISIONS_MAX) throw tooMany(`${DECISIONS_MAX} claims were decided`)
    return this.#local.decide(signal, decide)
  }
}

const tooMany = (what: string): WeirError =>
  new WeirError(
    { code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry', tier: 'leveldb' },
    `the remote tier of claims is away, and ${what} without it: no more until it has been told`,
  )
