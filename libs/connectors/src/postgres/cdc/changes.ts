/**
 * The order of changes in a replication stream, and positions in it, without I/O. PostgreSQL sends whole transactions in the
 * order of their commits; a slot that is read again sends them again, the changes of each in the same order. So a position is
 * the end of the last transaction that was read wholly, and how many changes of the next one were.
 *
 * ```
 *   begin C ── change ── change ── commit (ends at E)      C: LSN of the commit record; E: behind it, ≤ the next C
 *   C < lsn                       read before: skipped
 *   C = transaction               its first `changes` were
 * ```
 */
import { WeirError, type RowChange } from '@weir/model'
import type { Pgoutput } from 'pg-logical-replication'

/** JSON. */
export interface ChangePosition {
  /** Transactions that end here or before are read. `0/16B3748`. */
  readonly lsn: string
  /** LSN of the commit of the transaction that is being read; null between two. */
  readonly transaction: string | null
  /** Of it, how many are read. */
  readonly changes: number
  /** Number of the next change: from 0 on since the job began. */
  readonly offset: number
  /** Bounded: the source ends in front of what is committed from here on. */
  readonly end: string | null
}

/** What one message of the stream is for a reader that stands at a position. */
export type Step =
  | { readonly type: 'change'; readonly change: RowChange; readonly position: ChangePosition }
  | { readonly type: 'moved'; readonly position: ChangePosition }
  | { readonly type: 'end' }
  | null

const LSN = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i

/** Throws `POSITION_INVALID` (invalid). */
export function lsnOf(text: unknown): bigint {
  const [, high, low] = typeof text === 'string' ? (LSN.exec(text) ?? []) : []
  if (high !== undefined) return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
  throw new WeirError(
    { code: 'POSITION_INVALID', kind: 'invalid', position: text },
    `${JSON.stringify(text)} is no LSN: the state was not written by this source. Start it without, or under another uid`,
  )
}
export const lsnText = (lsn: bigint): string =>
  `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`

export class ChangeStream {
  #position: ChangePosition
  /** Of the transaction that is being sent. */
  #commit = ''
  #committedAt = 0
  #skip = 0
  #over = false

  constructor(position: ChangePosition) {
    lsnOf(position.lsn)
    this.#position = position
  }

  accept(message: Pgoutput.Message): Step {
    if (this.#over) return null
    switch (message.tag) {
      case 'begin':
        return this.#begin(message)
      case 'insert':
      case 'update':
      case 'delete':
        return this.#change(message)
      case 'commit': {
        this.#commit = ''
        const ends = lsnOf(message.commitEndLsn)
        if (ends <= lsnOf(this.#position.lsn)) return null
        this.#position = { ...this.#position, lsn: lsnText(ends), transaction: null, changes: 0 }
        return { type: 'moved', position: this.#position }
      }
      case 'truncate':
        throw new WeirError(
          { code: 'TRUNCATED', kind: 'invalid', tables: message.relations.map(tableOf) },
          `${message.relations.map(tableOf).join(', ')} was truncated, which is no change of single rows. Publish without it: ALTER PUBLICATION … SET (publish = 'insert, update, delete'), and go on from a savepoint or anew`,
        )
      case 'relation':
        // As text, but for what JSON has: the library would read times in the zone of this process.
        for (const column of message.columns) column.parser = VALUES[column.typeOid] ?? String
        return null
      default:
        return null
    }
  }

  /** The server has sent everything that was committed before `lsn`. */
  heard(lsn: bigint): Step {
    const { end, transaction } = this.#position
    if (this.#over || transaction !== null || this.#commit !== '') return null
    if (end !== null && lsn >= lsnOf(end)) {
      this.#over = true
      return { type: 'end' }
    }
    if (lsn <= lsnOf(this.#position.lsn)) return null
    this.#position = { ...this.#position, lsn: lsnText(lsn) }
    return { type: 'moved', position: this.#position }
  }

  #begin({ commitLsn, commitTime }: Pgoutput.MessageBegin): Step {
    const { end, lsn, transaction, changes } = this.#position
    if (end !== null && lsnOf(commitLsn) >= lsnOf(end)) {
      this.#over = true
      return { type: 'end' }
    }
    this.#commit = lsnText(lsnOf(commitLsn))
    this.#committedAt = Number((commitTime as bigint) / 1_000n)
    this.#skip = lsnOf(commitLsn) < lsnOf(lsn) ? Infinity : this.#commit === transaction ? changes : 0
    return null
  }

  #change(message: Pgoutput.MessageInsert | Pgoutput.MessageUpdate | Pgoutput.MessageDelete): Step {
    if (this.#skip > 0) {
      this.#skip--
      return null
    }
    const { transaction, changes, offset } = this.#position
    const nth = transaction === this.#commit ? changes : 0
    this.#position = { ...this.#position, transaction: this.#commit, changes: nth + 1, offset: offset + 1 }
    const change: RowChange = {
      table: tableOf(message.relation),
      operation: message.tag,
      before: message.tag === 'insert' ? null : rowOf(message.relation, message.old ?? message.key),
      after: message.tag === 'delete' ? null : rowOf(message.relation, message.new),
      transaction: this.#commit,
      committedAt: this.#committedAt,
    }
    return { type: 'change', change, position: this.#position }
  }
}

const tableOf = ({ schema, name }: Pgoutput.MessageRelation): string => `${schema}.${name}`

/** By the oid of a type. */
const VALUES: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't',
  21: Number,
  23: Number,
  700: Number,
  701: Number,
  114: JSON.parse,
  3802: JSON.parse,
}

/** Throws `VALUE_NOT_SENT` (invalid). */
function rowOf(relation: Pgoutput.MessageRelation, row: Record<string, unknown> | null): RowChange['after'] {
  if (row === null) return null
  const missing = Object.keys(row).find((column) => row[column] === undefined)
  if (missing === undefined) return { ...row }
  const table = tableOf(relation)
  throw new WeirError(
    { code: 'VALUE_NOT_SENT', kind: 'invalid', table, column: missing },
    `column "${missing}" of ${table} is stored out of line and was not changed, so PostgreSQL does not send it. ALTER TABLE ${table} REPLICA IDENTITY FULL, or leave the column out of the publication`,
  )
}
