/** The SQL of the sink. Names are quoted, values are parameters: one array per column, so a statement has any number of rows. */
import type { Column } from './columns.ts'

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
/** `schema.table`, each part quoted. */
export const quotedPath = (path: string): string => path.split('.').map(quoted).join('.')

export interface InsertInto {
  readonly table: string
  /** Types by the catalogue; `$1` is an array of the first, and so on. */
  readonly columns: readonly Column[]
  /** Not empty: rows replace those with the same key; the last of a run counts. */
  readonly key: readonly string[]
  /** A text column with the name of each row, unique: rows that are there are left alone. Its array comes last. */
  readonly origin: string | null
}

export function insertStatement({ table, columns, key, origin }: InsertInto): string {
  const names = columns.map(({ name }) => name)
  const types = columns.map(({ type }) => type)
  if (origin !== null) {
    names.push(origin)
    types.push('pg_catalog.text')
  }
  const fields = names.map((_, i) => `c${i}`)
  const arrays = types.map((type, i) => `$${i + 1}::${type}[]`)
  const target = `INSERT INTO ${quotedPath(table)} (${names.map(quoted).join(', ')})`
  const rows = `FROM unnest(${arrays.join(', ')}) WITH ORDINALITY AS r(${fields.join(', ')}, n)`
  const selected = fields.map((field) => `r.${field}`).join(', ')
  if (key.length === 0) {
    const once = origin === null ? '' : ` ON CONFLICT (${quoted(origin)}) DO NOTHING`
    return `${target} SELECT ${selected} ${rows} ORDER BY r.n${once}`
  }
  // A statement may not touch a row twice. What is equal the server's own types say.
  const keys = key.map((name) => `r.c${names.indexOf(name)}`).join(', ')
  const updates = names
    .filter((name) => !key.includes(name))
    .map((name) => `${quoted(name)} = EXCLUDED.${quoted(name)}`)
  const effect = updates.length === 0 ? 'DO NOTHING' : `DO UPDATE SET ${updates.join(', ')}`
  const conflict = `ON CONFLICT (${key.map(quoted).join(', ')}) ${effect}`
  return `${target} SELECT DISTINCT ON (${keys}) ${selected} ${rows} ORDER BY ${keys}, r.n DESC ${conflict}`
}

/** `fence` grows with every instance that takes over; `sequence` null: taken, and nothing applied ever. */
export const createMarkers = (table: string): string =>
  `CREATE TABLE IF NOT EXISTS ${quotedPath(table)} (job text NOT NULL, sink text NOT NULL, subtask integer NOT NULL, ` +
  `sequence bigint, fence bigint NOT NULL, written_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (job, sink, subtask))`

const OF_SUBTASK = 'job = $1 AND sink = $2 AND subtask = $3'
export const takeMarker = (table: string): string =>
  `INSERT INTO ${quotedPath(table)} AS m (job, sink, subtask, fence) VALUES ($1, $2, $3, 1) ` +
  `ON CONFLICT (job, sink, subtask) DO UPDATE SET fence = m.fence + 1 RETURNING sequence, fence`
export const lockMarker = (table: string): string =>
  `SELECT sequence, fence FROM ${quotedPath(table)} WHERE ${OF_SUBTASK} FOR UPDATE`
/** $4 the sequence, $5 the fence of the one who sets it. */
export const setMarker = (table: string): string =>
  `UPDATE ${quotedPath(table)} SET sequence = $4, written_at = now() WHERE ${OF_SUBTASK} AND fence = $5 RETURNING sequence`
