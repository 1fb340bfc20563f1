/**
 * Rows of a table. A transaction of the job is one of the database: its rows and its sequence, which stands in a table of
 * markers, one row per sink subtask.
 */
import type { PreparedHandle, SubtaskContext } from '@weir/dataflow'
import { WeirError, assert, type RecordBatch } from '@weir/model'
import { Packr } from 'msgpackr'
import type { Destination, StagedTransaction } from '../staged/destination.ts'
import { COLUMNS_OF, KINDS, columnOf, columnText, type Column } from './columns.ts'
import { pickOf, type Pick } from '../pick.ts'
import { secretOf } from '../secrets.ts'
import { PostgresConnection, type Query, type Row } from './connection.ts'
import type { PostgresSinkOptions } from './options.ts'
import { createMarkers, insertStatement, lockMarker, quotedPath, setMarker, takeMarker } from './statements.ts'

const packr = new Packr({ moreTypes: false, useRecords: false })
/** Two sessions may create the markers at once; one of them is told so. */
const CREATED_MEANWHILE = ['23505', '42P07', 'XX000']

export class PostgresDestination implements Destination {
  readonly name: string
  readonly #options: PostgresSinkOptions
  readonly #context: SubtaskContext
  readonly #connection: PostgresConnection
  /** What identifies the marker: job, sink, subtask. */
  readonly #owner: readonly [string, string, number]
  #columns: readonly { readonly column: Column; readonly pick: Pick }[] = []
  #insert = ''
  #fence = 0

  /** Throws `SECRET_MISSING` (invalid). */
  constructor(options: PostgresSinkOptions, context: SubtaskContext) {
    const { jobId, operatorUid, subtask } = context
    this.name = `table ${options.table}`
    this.#options = options
    this.#context = context
    this.#owner = [jobId, operatorUid, subtask]
    const session = `weir ${jobId} ${operatorUid} ${subtask}`
    this.#connection = new PostgresConnection(secretOf(options.url, operatorUid), session)
  }

  encode(batch: RecordBatch, i: number): Uint8Array {
    return packr.pack(this.#columns.map(({ column, pick }) => columnText(column, pick(batch, i))))
  }

  /** Throws `TABLE_MISSING`, `COLUMN_MISSING`, `COLUMN_UNSUPPORTED`, `KEY_NOT_UNIQUE`, `POSTGRES_NOT_ALLOWED`, `POSTGRES_LOGIN` (invalid). */
  async take(): Promise<number | null> {
    const { table, key, origin, markers } = this.#options
    const found = await this.#connection.query(COLUMNS_OF, [quotedPath(table)])
    this.#columns = this.#mapped(found)
    const columns = this.#columns.map(({ column }) => column)
    this.#insert = insertStatement({ table, columns, key, origin })
    // The server checks columns, key and privileges, and writes nothing.
    await this.#connection.query(`EXPLAIN ${this.#insert}`, this.#parameters([], []))
    await this.#createMarkers()
    const [taken] = await this.#connection.query(takeMarker(markers), this.#owner)
    this.#fence = Number(taken!['fence'])
    return taken!['sequence'] === null ? null : Number(taken!['sequence'])
  }

  async initialise(sequence: number): Promise<void> {
    const values = [...this.#owner, sequence, this.#fence]
    const changed = await this.#connection.query(setMarker(this.#options.markers), values)
    if (changed.length === 0) throw this.#replaced('PRODUCER_FENCED', 'fenced', null)
  }

  async apply({ handle, rows }: StagedTransaction): Promise<void> {
    const { markers } = this.#options
    await this.#connection.transaction(async (query) => {
      const [marker] = await query(lockMarker(markers), this.#owner)
      if (marker === undefined || Number(marker['fence']) !== this.#fence)
        throw this.#replaced('COMMIT_REFUSED', 'restart', handle)
      const written = Number(marker['sequence'])
      if (written >= handle.sequence) return
      assert(written === handle.sequence - 1, `transaction ${handle.sequence} is to follow ${written} in ${this.name}`)
      let ordinal = 0
      for await (const run of rows()) {
        await this.#write(query, handle, run, ordinal)
        ordinal += run.length
      }
      assert(ordinal === handle.records, `${ordinal} of ${handle.records} staged rows of ${this.name} were found`)
      await query(setMarker(markers), [...this.#owner, handle.sequence, this.#fence])
    })
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  async #write(query: Query, handle: PreparedHandle, run: readonly Buffer[], from: number): Promise<void> {
    const rows = run.map((row) => packr.unpack(row) as (string | null)[])
    const origin = [...this.#owner, handle.sequence].join('/')
    const origins = rows.map((_, i) => `${origin}/${from + i}`)
    await query(this.#insert, this.#parameters(rows, origins))
  }

  /** One array per column. */
  #parameters(rows: readonly (readonly (string | null)[])[], origins: readonly string[]): unknown[] {
    const arrays: unknown[] = this.#columns.map((_, c) => rows.map((row) => row[c]))
    return this.#options.origin === null ? arrays : [...arrays, origins]
  }

  #mapped(found: readonly Row[]): readonly { readonly column: Column; readonly pick: Pick }[] {
    const there = new Map(found.map((row) => [row['name'] as string, columnOf(row)]))
    const { table, columns, origin } = this.#options
    const { operatorUid } = this.#context
    for (const column of [...columns.map((c) => c.column), ...(origin === null ? [] : [origin])]) {
      if (there.has(column)) continue
      throw new WeirError(
        { code: 'COLUMN_MISSING', kind: 'invalid', operatorUid, table, column },
        `table ${table} has no column "${column}", which sink "${operatorUid}" writes. It has: ${[...there.keys()].join(', ')}`,
      )
    }
    return columns.map(({ column: name, from }) => {
      const column = there.get(name)!
      if (KINDS.includes(column.kind)) return { column, pick: pickOf(from) }
      throw new WeirError(
        { code: 'COLUMN_UNSUPPORTED', kind: 'invalid', operatorUid, table, column: name, type: column.shown },
        `column "${name}" of ${table} is ${column.shown}, which this sink cannot write. It writes: ${KINDS.join(', ')}. Use text or jsonb, and a generated column for what it is to become`,
      )
    })
  }

  async #createMarkers(): Promise<void> {
    const { markers } = this.#options
    const [there] = await this.#connection.query('SELECT to_regclass($1) IS NOT NULL AS there', [quotedPath(markers)])
    if (there!['there'] === true) return
    const statement = createMarkers(markers)
    try {
      await this.#connection.query(statement)
    } catch (error) {
      const { facts } = error as WeirError
      if (CREATED_MEANWHILE.includes(String(facts['state']))) return
      if (facts.code !== 'POSTGRES_NOT_ALLOWED') throw error
      throw new WeirError(
        { ...facts, code: 'MARKERS_MISSING', kind: 'invalid', table: markers, statement },
        `the table of markers ${markers} is not there, and the user of the sink may not create it. Do it for it: ${statement}; GRANT SELECT, INSERT, UPDATE ON ${quotedPath(markers)} TO the user`,
        { cause: error },
      )
    }
  }

  #replaced(code: string, kind: 'restart' | 'fenced', handle: PreparedHandle | null): WeirError {
    const { sequence, transactionalId } = handle ?? {}
    return new WeirError(
      { code, kind, sequence, transactionalId, fence: this.#fence },
      `another instance of sink ${this.#owner.join('/')} has taken ${this.name} over: this one writes nothing any more`,
    )
  }
}
