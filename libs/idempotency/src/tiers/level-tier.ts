/**
 * The tier on the local disk (LevelDB), of one process: every write is on the disk before it is answered. Calls that come while
 * a write is under way share the next one, so that many cost as much as one.
 *
 * Decisions are made one behind the other on what is stored and what the running batch adds, and answered when that is durable:
 * nobody is told of a claim that a power cut could take back.
 */
import type { ClassicLevel } from 'classic-level'
import { WeirError, type Clock } from '@weir/model'
import type { ClaimTier, TierClaim, TierEntry, TierSwap } from '../tier.ts'
import { isDamage, LevelDamage, openLevel, setAside } from './level-folder.ts'
import { readRow, writeRow, type Row } from './level-row.ts'
import { tierEvents } from './tier-events.ts'

/** Decisions of one write. */
const BATCH_MAX = 4_096
/** So many writes, and the next rows are looked through for those whose time is over. */
const SWEEP_EVERY = 1_024
const SWEEP_ROWS = 2_048
const RANGE_ROWS_MAX = 1_000

export interface LevelTierOptions {
  readonly folder: string
  /**
   * `fail`: where this is the only place of the claims, nothing may be forgotten. `setAside`: the folder is renamed and the tier
   * begins empty, where another one holds the claims and refills it.
   */
  readonly onDamage: 'fail' | 'setAside'
}

/** What a decision sees and writes. */
export interface LevelView {
  get(key: string): string | null
  put(key: string, text: string, ttlMs: number): void
  delete(key: string): void
}

/** `now`: on the disk before it is answered. `soon`: with the next write that is; a power cut may take it back. */
export type Durable = 'now' | 'soon'

interface Waiting {
  readonly durable: Durable
  readonly decide: (view: LevelView) => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

export class LevelTier implements ClaimTier {
  readonly #options: LevelTierOptions
  readonly #clock: Clock
  #level: ClassicLevel
  #waiting: Waiting[] = []
  #writing: Promise<void> | null = null
  /** What the running batch adds; null: deleted. */
  readonly #added = new Map<string, Row | null>()
  #isClosed = false
  #writes = 0
  #sweptTo = ''

  private constructor(options: LevelTierOptions, clock: Clock, level: ClassicLevel) {
    this.#options = options
    this.#clock = clock
    this.#level = level
  }

  /** Throws `CLAIM_TIER_CORRUPT`, `CLAIM_TIER_LOCKED` (invalid). */
  static async open(options: LevelTierOptions, deps: { readonly clock: Clock }): Promise<LevelTier> {
    const level = await openLevel(options.folder).catch((error: unknown) => {
      if (isDamage(error)) return begunAnew(options, String(error))
      throw error
    })
    return new LevelTier(options, deps.clock, level)
  }

  async claim(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly TierClaim[]> {
    return this.decide(signal, (view) =>
      entries.map(({ key, value, ttlMs }): TierClaim => {
        const there = view.get(key)
        if (there !== null && there !== value) return { won: false, there }
        view.put(key, value, ttlMs)
        return { won: true }
      }),
    )
  }

  async get(key: string, signal: AbortSignal): Promise<string | null> {
    return this.decide(signal, (view) => view.get(key))
  }

  async getMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (string | null)[]> {
    return this.decide(signal, (view) => keys.map((key) => view.get(key)))
  }

  async swap({ key, value, ttlMs }: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierSwap> {
    return this.decide(signal, (view): TierSwap => {
      const there = view.get(key)
      if (there !== expected && there !== value) return { swapped: false, there }
      view.put(key, value, ttlMs)
      return { swapped: true }
    })
  }

  async release(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    return this.decide(signal, (view) => {
      const there = view.get(key)
      if (there === value) view.delete(key)
      return there === null || there === value
    })
  }

  /** Keys from `from` on and before `to`, in order, without those whose time is over: pages of at most 1,000. */
  async range(
    from: string,
    to: string,
    limit = RANGE_ROWS_MAX,
  ): Promise<{ readonly key: string; readonly text: string }[]> {
    this.#open()
    await this.#writing
    try {
      return await this.#rows(from, to, Math.min(limit, RANGE_ROWS_MAX))
    } catch (error) {
      if (!isDamage(error)) throw this.#failure(error)
      await this.#inItsTurn(error)
      return this.#rows(from, to, limit)
    }
  }

  /** What `decide` puts and deletes is stored before its value is returned. It may be called twice; it must not wait. */
  async decide<T>(signal: AbortSignal, decide: (view: LevelView) => T, durable: Durable = 'now'): Promise<T> {
    signal.throwIfAborted()
    this.#open()
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ decide, durable, resolve: resolve as (value: unknown) => void, reject })
      this.#writing ??= this.#write()
    })
  }

  /** As it lies there now, without waiting for a turn. null: nothing, or it cannot be read, which the next turn will say. */
  lookRow(key: string): Row | null {
    this.#open()
    try {
      return this.#readRow(key)
    } catch {
      return null
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#writing
    await this.#level.close()
  }

  // ---- the one writer -----------------------------------------------------------------------------------------------

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH_MAX)
      try {
        const answers = await this.#writeBatch(batch).catch((error: unknown) => {
          if (!isDamage(error) || this.#options.onDamage === 'fail') throw error
          return this.#beginAnew(String(error)).then(() => this.#writeBatch(batch))
        })
        batch.forEach(({ resolve }, i) => resolve(answers[i]))
      } catch (error) {
        const told = this.#failure(error)
        for (const { reject } of batch) reject(told)
      }
      this.#added.clear()
    }
    this.#writing = null
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<unknown[]> {
    this.#added.clear()
    if (this.#writes >= SWEEP_EVERY) await this.#sweep()
    const answers = batch.map(({ decide }) => decide(this.#view))
    await this.#store(batch.some(({ durable }) => durable === 'now'))
    return answers
  }

  async #store(sync: boolean): Promise<void> {
    this.#writes += this.#added.size
    if (this.#added.size === 0) return
    if (this.#added.size === 1)
      for (const [key, row] of this.#added)
        return row === null ? this.#level.del(key, { sync }) : this.#level.put(key, writeRow(key, row), { sync })
    const operations = [...this.#added].map(([key, row]) =>
      row === null ? ({ type: 'del', key } as const) : ({ type: 'put', key, value: writeRow(key, row) } as const),
    )
    return this.#level.batch(operations, { sync })
  }

  /** Rows whose time is over go with the next write, some at a time: no scan of everything, no timer. */
  async #sweep(): Promise<void> {
    this.#writes = 0
    const rows = await this.#level.iterator({ gt: this.#sweptTo, limit: SWEEP_ROWS }).all()
    for (const [key, value] of rows) if (this.#alive(key, value) === null) this.#added.set(key, null)
    this.#sweptTo = rows.length < SWEEP_ROWS ? '' : rows.at(-1)![0]
  }

  readonly #view: LevelView = {
    get: (key) => this.#readRow(key)?.text ?? null,
    put: (key, text, ttlMs) => void this.#added.set(key, { text, until: this.#clock.now() + ttlMs }),
    delete: (key) => void this.#added.set(key, null),
  }

  #readRow(key: string): Row | null {
    const added = this.#added.get(key)
    if (added !== undefined) return added === null || added.until <= this.#clock.now() ? null : added
    const value = this.#level.getSync(key)
    return value === undefined ? null : this.#alive(key, value)
  }

  #alive(key: string, value: string): Row | null {
    const row = readRow(key, value)
    if (row === null) throw new LevelDamage(`the row "${key}" is not as it was written`)
    return row.until <= this.#clock.now() ? null : row
  }

  async #rows(from: string, to: string, limit: number): Promise<{ key: string; text: string }[]> {
    const rows: { key: string; text: string }[] = []
    for await (const [key, value] of this.#level.iterator({ gte: from, lt: to })) {
      const row = this.#alive(key, value)
      if (row !== null) rows.push({ key, text: row.text })
      if (rows.length >= limit) break
    }
    return rows
  }

  /** Damage found outside of the writer is the writer's to deal with: nobody else may open another folder. */
  #inItsTurn(damage: unknown): Promise<void> {
    let told = false
    return this.decide(new AbortController().signal, () => {
      if (told) return
      told = true
      throw damage
    })
  }

  async #beginAnew(why: string): Promise<void> {
    await this.#level.close().catch(() => undefined)
    this.#level = await begunAnew(this.#options, why)
    this.#sweptTo = ''
  }

  #failure(error: unknown): WeirError {
    if (error instanceof WeirError) return error
    const { folder } = this.#options
    if (isDamage(error)) return damaged(folder, String(error))
    return new WeirError(
      { code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry', tier: 'leveldb', folder },
      `LevelDB in ${folder}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }

  #open(): void {
    if (this.#isClosed) throw new WeirError({ code: 'CLAIM_TIER_CLOSED', kind: 'restart' }, 'the tier was closed')
  }
}

async function begunAnew({ folder, onDamage }: LevelTierOptions, why: string): Promise<ClassicLevel> {
  if (onDamage === 'fail') throw damaged(folder, why)
  const aside = await setAside(folder, why)
  tierEvents.setAside({ folder, aside, why })
  return openLevel(folder)
}

const damaged = (folder: string, why: string): WeirError =>
  new WeirError(
    { code: 'CLAIM_TIER_CORRUPT', kind: 'invalid', tier: 'leveldb', folder, why },
    `${folder} is damaged (${why}) and the only place of its claims: restore it from a backup; moving it away forgets all claims`,
  )
