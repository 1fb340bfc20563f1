/**
 * Claims in PostgreSQL (`tier.ts`): one row each, won by `INSERT … ON CONFLICT … WHERE its time is over`. PostgreSQL has no time
 * to live: rows whose time is over are there and do not count, some of them are deleted every so many writes. Time is the server's.
 *
 * Keys and values are bytea: text cannot hold U+0000. What a fail-over to an asynchronous standby loses, the tier forgets.
 */
import type { QueryResult } from 'pg'
import { WeirError } from '@weir/model'
import type { ClaimTier, TierClaim, TierEntry, TierSwap } from '../tier.ts'
import { aborting } from './aborting.ts'
import { sharedPool, type SharedPool } from './postgres-pool.ts'
import { postgresTierError } from './postgres-tier-error.ts'

const DEADLINE_MS = 1_000
/** A key that is lost, and is gone when it is asked who has it, is claimed again. */
const ROUNDS_MAX = 8
const SWEEP_EVERY = 1_024
const SWEEP_ROWS = 2_048
/** Two that create the table at once: one is told that it, or its type, exists. */
const EXISTS: readonly (string | undefined)[] = ['23505', '42P07', '42710']

export interface PostgresTierOptions {
  /** postgres://user:password@host:port/database */
  readonly url: string
  readonly namespace: string
  /** Created when it is not there; default `weir_claims`. */
  readonly table?: string
  /** Longest time of a statement, ms; default 1,000. */
  readonly deadlineMs?: number
}

interface Row {
  readonly key: Buffer
  readonly value: Buffer
}

export class PostgresTier implements ClaimTier {
  readonly #shared: SharedPool
  readonly #namespace: string
  readonly #table: string
  #writes = 0
  #sweeping: Promise<void> | null = null
  #closing: Promise<void> | null = null

  private constructor(shared: SharedPool, namespace: string, table: string) {
    this.#shared = shared
    this.#namespace = namespace
    this.#table = table
  }

  /** Throws `CLAIM_TIER_UNAVAILABLE` (retry), `CLAIM_TIER_REFUSED` (invalid). */
  static async open(options: PostgresTierOptions): Promise<PostgresTier> {
    const { url, namespace, table = 'weir_claims', deadlineMs = DEADLINE_MS } = options
    if (!/^[a-z_][a-z0-9_]{0,40}(\.[a-z_][a-z0-9_]{0,40})?$/.test(table))
      throw new WeirError(
        { code: 'CLAIM_TIER_OPTIONS', kind: 'invalid', table },
        `"${table}" is no table name: lower case letters, digits and _, at most 41, with its schema in front if need be`,
      )
    const shared = await sharedPool(url, deadlineMs)
    const tier = new PostgresTier(shared, namespace, table)
    try {
      await tier.#create()
      return tier
    } catch (error) {
      await shared.release()
      throw postgresTierError(error)
    }
  }

  async claim(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly TierClaim[]> {
    signal.throwIfAborted()
    this.#check()
    const answers = new Map<string, string>()
    let open = firstOfEachKey(entries)
    for (let round = 0; open.length > 0; round++) {
      if (round === ROUNDS_MAX)
        throw postgresTierError(new Error(`keys were won and given up by others ${ROUNDS_MAX} times`))
      for (const { key } of await this.#insert(open, signal))
        answers.set(textOf(key), open.find((e) => e.key === textOf(key))!.value)
      const lost = open.filter(({ key }) => !answers.has(key))
      const held =
        lost.length === 0
          ? []
          : await this.#select(
              lost.map(({ key }) => key),
              signal,
            )
      for (const { key, value } of held) answers.set(textOf(key), textOf(value))
      open = lost.filter(({ key }) => !answers.has(key))
    }
    this.#sweepAfter(entries.length)
    return entries.map(({ key, value }) => {
      const there = answers.get(key)!
      return there === value ? { won: true } : { won: false, there }
    })
  }

  async get(key: string, signal: AbortSignal): Promise<string | null> {
    return (await this.getMany([key], signal))[0]!
  }

  async getMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (string | null)[]> {
    const rows = await this.#select(keys, signal)
    const found = new Map(rows.map(({ key, value }) => [textOf(key), textOf(value)]))
    return keys.map((key) => found.get(key) ?? null)
  }

  async swap(entry: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierSwap> {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (expected === null) {
        const [answer] = await this.claim([entry], signal)
        return answer!.won ? { swapped: true } : { swapped: false, there: answer!.there }
      }
      const { rowCount } = await this.#run(
        signal,
        `UPDATE ${this.#table} SET value = $3, expires_at = clock_timestamp() + $4 * interval '1 ms'
          WHERE namespace = $1 AND key = $2 AND value IN ($3, $5) AND expires_at > clock_timestamp()`,
        [bytes(entry.key), bytes(entry.value), entry.ttlMs, bytes(expected)],
      )
      if (rowCount === 1) return { swapped: true }
      const there = await this.get(entry.key, signal)
      if (there !== expected && there !== entry.value) return { swapped: false, there }
    }
    throw postgresTierError(new Error(`"${entry.key}" was changed by others ${ROUNDS_MAX} times during one write`))
  }

  async release(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    const where = `DELETE FROM ${this.#table} WHERE namespace = $1 AND key = $2 AND value = $3`
    const { rowCount } = await this.#run(signal, where, [bytes(key), bytes(value)])
    return rowCount === 1 || (await this.get(key, signal)) === null
  }

  close(): Promise<void> {
    this.#closing ??= (this.#sweeping ?? Promise.resolve()).then(() => this.#shared.release())
    return this.#closing
  }

  // ---- statements ---------------------------------------------------------------------------------------------------

  /** Sorted, so that two batches with the same keys wait for each other instead of locking each other out. */
  async #insert(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly Row[]> {
    const { rows } = await this.#run<Row>(
      signal,
      `INSERT INTO ${this.#table} AS held (namespace, key, value, expires_at)
       SELECT $1, key, value, clock_timestamp() + ttl_ms * interval '1 ms'
         FROM unnest($2::bytea[], $3::bytea[], $4::float8[]) AS asked (key, value, ttl_ms) ORDER BY key
       ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
         WHERE held.expires_at <= clock_timestamp() OR held.value = excluded.value
       RETURNING key`,
      [
        entries.map(({ key }) => bytes(key)),
        entries.map(({ value }) => bytes(value)),
        entries.map(({ ttlMs }) => ttlMs),
      ],
    )
    return rows
  }

  async #select(keys: readonly string[], signal: AbortSignal): Promise<readonly Row[]> {
    const { rows } = await this.#run<Row>(
      signal,
      `SELECT key, value FROM ${this.#table} WHERE namespace = $1 AND key = ANY ($2::bytea[]) AND expires_at > clock_timestamp()`,
      [keys.map(bytes)],
    )
    return rows
  }

  async #create(): Promise<void> {
    const index = `${this.#table.replace('.', '_')}_expires_at`
    const statement = `CREATE TABLE IF NOT EXISTS ${this.#table} (namespace text NOT NULL, key bytea NOT NULL, value bytea NOT NULL,
        expires_at timestamptz NOT NULL, PRIMARY KEY (namespace, key));
      CREATE INDEX IF NOT EXISTS ${index} ON ${this.#table} (expires_at)`
    await this.#shared.pool.query(statement).catch((error: unknown) => {
      if (!EXISTS.includes((error as { code?: string }).code)) throw error
      return this.#shared.pool.query(statement)
    })
  }

  /** Behind the answer: nobody waits for it, and what it leaves the next one takes. */
  #sweepAfter(writes: number): void {
    this.#writes += writes
    if (this.#writes < SWEEP_EVERY || this.#sweeping !== null) return
    this.#writes = 0
    const statement = `DELETE FROM ${this.#table} WHERE ctid = ANY (ARRAY (
      SELECT ctid FROM ${this.#table} WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT ${SWEEP_ROWS} FOR UPDATE SKIP LOCKED))`
    const { meter, pool } = this.#shared
    this.#sweeping = meter
      .during(() => pool.query(statement))
      .then(
        () => void (this.#sweeping = null),
        () => void (this.#sweeping = null),
      )
  }

  async #run<R extends object = never>(signal: AbortSignal, text: string, values: unknown[]): Promise<QueryResult<R>> {
    signal.throwIfAborted()
    this.#check()
    const { meter, pool } = this.#shared
    const ask = (): Promise<QueryResult<R>> => pool.query<R>(text, [this.#namespace, ...values])
    const query = meter.during(ask).catch((error: unknown) => {
      throw postgresTierError(error)
    })
    return aborting(query, signal)
  }

  #check(): void {
    if (this.#closing !== null)
      throw new WeirError({ code: 'CLAIM_TIER_CLOSED', kind: 'restart' }, 'the tier was closed')
  }
}

const bytes = (text: string): Buffer => Buffer.from(text)
const textOf = (of: Buffer): string => of.toString()

/** One statement cannot write a row twice. */
function firstOfEachKey(entries: readonly TierEntry[]): TierEntry[] {
  const first = new Map<string, TierEntry>()
  for (const entry of entries) if (!first.has(entry.key)) first.set(entry.key, entry)
  return [...first.values()]
}
