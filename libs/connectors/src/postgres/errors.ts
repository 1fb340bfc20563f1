/** What PostgreSQL refuses with, by SQLSTATE, as errors that say what to do. */
import { WeirError, type ErrorKind } from '@weir/model'

/** The fields of pg's DatabaseError that are used; others of its errors have a code of the system, or none. */
interface ServerError {
  readonly code?: string
  readonly message: string
  readonly table?: string
  readonly column?: string
  readonly constraint?: string
}

interface Meaning {
  readonly code: string
  readonly kind: ErrorKind
  readonly remedy: string
}

const AWAY: Meaning = { code: 'POSTGRES_AWAY', kind: 'retry', remedy: '' }
const BY_STATE: Readonly<Record<string, Meaning>> = {
  '28P01': { code: 'POSTGRES_LOGIN', kind: 'invalid', remedy: 'Correct user and password in the connection string.' },
  '28000': { code: 'POSTGRES_LOGIN', kind: 'invalid', remedy: 'Allow this user in pg_hba.conf.' },
  '3D000': {
    code: 'POSTGRES_LOGIN',
    kind: 'invalid',
    remedy: 'Create the database, or correct the connection string.',
  },
  '3F000': { code: 'TABLE_MISSING', kind: 'invalid', remedy: 'Create the schema.' },
  '42P01': {
    code: 'TABLE_MISSING',
    kind: 'invalid',
    remedy: 'Create the table; Weir creates none but that of its markers.',
  },
  '42703': {
    code: 'COLUMN_MISSING',
    kind: 'invalid',
    remedy: 'Add the column, or leave it out of the sink’s columns.',
  },
  '42P10': {
    code: 'KEY_NOT_UNIQUE',
    kind: 'invalid',
    remedy: 'The key of the sink needs a primary key or a unique constraint over exactly its columns.',
  },
  '42501': {
    code: 'POSTGRES_NOT_ALLOWED',
    kind: 'invalid',
    remedy: 'Grant SELECT, INSERT and UPDATE to the user of the sink.',
  },
  '40001': { code: 'POSTGRES_CONFLICT', kind: 'retry', remedy: '' },
  '40P01': { code: 'POSTGRES_CONFLICT', kind: 'retry', remedy: '' },
  '55P03': { code: 'POSTGRES_LOCKED', kind: 'retry', remedy: '' },
  '57014': { code: 'POSTGRES_SLOW', kind: 'retry', remedy: '' },
  '25P03': AWAY,
}
/** Connection, resources, shutdown. */
const AWAY_CLASSES = ['08', '53', '57', '58']
/** Data that does not fit, constraints. */
const OF_ROWS = ['22', '23']
const ROWS: Meaning = {
  code: 'ROWS_REFUSED',
  kind: 'invalid',
  remedy:
    'Its epoch is published, so its rows are not thrown away: change the table so that it takes them, and start the job again.',
}
const OTHER: Meaning = { code: 'POSTGRES_REFUSED', kind: 'restart', remedy: '' }

export function postgresError(thrown: unknown, what: string): WeirError {
  if (thrown instanceof WeirError) return thrown
  const { code: state = '', message, table, column, constraint } = thrown as ServerError
  const { code, kind, remedy } = meaningOf(state)
  return new WeirError(
    { code, kind, state, table, column, constraint },
    `PostgreSQL, ${what}: ${message}${state === '' ? '' : ` (${state})`}. ${remedy}`.trimEnd(),
    { cause: thrown },
  )
}

function meaningOf(state: string): Meaning {
  const known = BY_STATE[state]
  if (known !== undefined) return known
  // No SQLSTATE: the connection, a time-out, the resolver.
  if (!/^[0-9A-Z]{5}$/.test(state) || /^E[A-Z]+$/.test(state)) return AWAY
  const of = state.slice(0, 2)
  return AWAY_CLASSES.includes(of) ? AWAY : OF_ROWS.includes(of) ? ROWS : OTHER
}
