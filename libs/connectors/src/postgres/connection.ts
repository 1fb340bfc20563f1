/** One connection, opened when it is needed and again after it broke. Its address never appears in an error. */
import type { Client } from 'pg'
import { postgresError } from './errors.ts'

const CONNECT_MS = 10_000
/** A statement, and a transaction whose client is silent: then the server ends it, and its locks. */
const STATEMENT_MS = 30_000
/** For a row that another transaction holds. */
const LOCK_MS = 10_000
/** Longer than the server's own bounds: it is to say no first. */
const ANSWER_MS = 40_000

export interface Row {
  readonly [column: string]: unknown
}
export type Query = (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>

export class PostgresConnection {
  readonly #url: string
  readonly #name: string
  #client: Client | null = null

  constructor(url: string, name: string) {
    this.#url = url
    this.#name = name
  }

  /** Outside of a transaction. Throws as `postgresError`. */
  query(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return this.#guarded(async (client) => (await client.query<Row>(text, [...values])).rows)
  }

  /** Committed when `work` resolves. Thrown by COMMIT itself its outcome is unknown (`retry`). */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return this.#guarded(async (client) => {
      await client.query('BEGIN')
      try {
        const result = await work(async (text, values = []) => (await client.query<Row>(text, [...values])).rows)
        await client.query('COMMIT')
        return result
      } catch (error) {
        await client.query('ROLLBACK').catch(() => this.#drop(client))
        throw error
      }
    })
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = null
    await client?.end().catch(() => undefined)
  }

  async #guarded<T>(call: (client: Client) => Promise<T>): Promise<T> {
    let client: Client | null = null
    try {
      client = await this.#connected()
      return await call(client)
    } catch (thrown) {
      const error = postgresError(thrown, this.#name)
      // Whatever state it is in, the next call has a new one.
      if (client !== null && error.code === 'POSTGRES_AWAY') this.#drop(client)
      throw error
    }
  }

  async #connected(): Promise<Client> {
    if (this.#client !== null) return this.#client
    // Loaded by those who use it: every slot of a task-manager loads this package.
    const { default: pg } = await import('pg')
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: this.#name,
      connectionTimeoutMillis: CONNECT_MS,
      statement_timeout: STATEMENT_MS,
      lock_timeout: LOCK_MS,
      idle_in_transaction_session_timeout: STATEMENT_MS,
      query_timeout: ANSWER_MS,
      keepAlive: true,
    })
    // Told outside of a call too: when the server ends an idle connection.
    client.on('error', () => this.#drop(client))
    await client.connect()
    // Acknowledged and not durable would be lost output: a server may be set up so, this session is not.
    await client.query(
      `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`,
    )
    this.#client = client
    return client
  }

  #drop(client: Client): void {
    if (this.#client === client) this.#client = null
    client.end().catch(() => undefined)
  }
}
