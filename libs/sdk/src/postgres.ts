/** Rows of a PostgreSQL table as a sink. */
import { SECRET_FORM, WeirError, isSecretReference } from '@weir/model'
import type { Sink } from './connectors.ts'
import { postgresClaims } from './claim-stores.ts'
import { changes } from './postgres-changes.ts'

export interface PostgresSinkOptions {
  /** `env:NAME` or `file:/path`: the variable or file of the task-managers that holds the connection string. Never the string itself. */
  readonly url: string
  /**
   * What fills each column: `['id', 'total']` are fields of the value with the column's name; `{ total: 'value.total' }`
   * names them: a field, one inside of another, `$value` (the whole), `$key` (of the stream), `$timestamp` (event time).
   */
  readonly columns: readonly string[] | Readonly<Record<string, string>>
  /** Columns of the primary key, or of a unique constraint: a row replaces the one with the same key. Default: rows are appended. */
  readonly key?: readonly string[]
  /**
   * For appended rows: a text column, unique, for the name of each (`job/sink/subtask/transaction/n`). A row whose name is
   * there already is left alone, also when somebody has set the markers back.
   */
  readonly origin?: string
  /** Table of the markers. Default: `weir_sinks` in the schema of the table. Made when it is missing and the user may. */
  readonly markers?: string
}

const MARKERS = 'weir_sinks'

export const postgres = {
  /**
   * Inserts, updates and deletes of published tables, by logical replication: exactly once, in the order of their commits. One
   * reader, so one split; behind it a `keyBy` spreads. Throws `OPTION_INVALID` (invalid) naming the option.
   */
  changes,

  /** Claims of `.idempotent({ store })`. Throws `OPTION_INVALID` (invalid) naming the option. */
  claims: postgresClaims,

  /**
   * Exactly once: rows become visible when their epoch is published, in one database transaction with its number.
   *
   * @param table `table` or `schema.table`
   * Throws `OPTION_INVALID` (invalid) naming the option.
   */
  sink<T = unknown>(table: string, options: PostgresSinkOptions): Sink<T> {
    const { url, key = [], origin = null } = options
    const columns = Array.isArray(options.columns)
      ? (options.columns as readonly string[]).map((column) => ({ column, from: column }))
      : Object.entries(options.columns as Readonly<Record<string, string>>).map(([column, from]) => ({ column, from }))
    const invalid = (option: string, rule: string): WeirError =>
      new WeirError(
        { code: 'OPTION_INVALID', kind: 'invalid', option, table },
        `postgres.sink("${table}"): ${option} ${rule}`,
      )
    if (!/^[^.]+(\.[^.]+)?$/.test(table)) throw invalid('table', 'is "table" or "schema.table"')
    // The value is not repeated: it may be the secret.
    if (!isSecretReference(url)) throw invalid('url', `is ${SECRET_FORM}: plans are stored and shown`)
    if (columns.length === 0) throw invalid('columns', 'names at least one column')
    const names = columns.map(({ column }) => column)
    const twice = names.find((name, i) => names.indexOf(name) !== i)
    if (twice !== undefined) throw invalid('columns', `names "${twice}" twice`)
    const missing = key.find((name) => !names.includes(name))
    if (missing !== undefined) throw invalid('key', `has "${missing}", which is none of the columns`)
    if (origin !== null && key.length > 0)
      throw invalid('origin', 'is for rows that are appended; with a key leave it out')
    if (origin !== null && names.includes(origin))
      throw invalid('origin', `is filled by the sink; "${origin}" is a column too`)
    const markers = options.markers ?? [...table.split('.').slice(0, -1), MARKERS].join('.')
    return {
      descriptor: { connector: 'postgres', url, table, columns, key, origin, markers },
      // The adapter writes columns of the value, not one text.
      encodeKey: () => null,
      encodeValue: () => null,
    }
  },
}
