/**
 * Columns as the catalogue has them, and values as the text PostgreSQL reads. What a column would refuse, round or change
 * is found here, before anything is prepared: a row that is refused later belongs to an epoch that is published.
 */
import { jsonText } from '@weir/dataflow'
import { unfit } from '../unfit.ts'

export interface Column {
  readonly name: string
  /** Schema and name, quoted, without array: for casts. */
  readonly type: string
  /** As people write it: `numeric(10,2)`. */
  readonly shown: string
  readonly kind: string
  readonly notNull: boolean
  /** varchar(n), char(n); of numeric its precision. */
  readonly length: number | null
  readonly scale: number | null
  readonly labels: readonly string[] | null
}

/** $1 the table as in SQL. One row per column, in the table's order. */
export const COLUMNS_OF = `
  SELECT a.attname AS name, quote_ident(n.nspname) || '.' || quote_ident(t.typname) AS type,
         format_type(a.atttypid, a.atttypmod) AS shown, a.attnotnull AS not_null,
         CASE WHEN t.typtype = 'e' THEN 'enum' ELSE t.typname END AS kind, a.atttypmod AS modifier,
         (SELECT array_agg(e.enumlabel::text) FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

export function columnOf(row: Readonly<Record<string, unknown>>): Column {
  const {
    name,
    type,
    shown,
    kind,
    not_null: notNull,
    modifier,
    labels,
  } = row as unknown as Column & {
    not_null: boolean
    modifier: number
  }
  // A modifier is stored 4 higher; numeric packs precision and scale into one.
  const limit = modifier < 0 ? null : modifier - 4
  const of = { name, type, shown, kind, notNull, labels: labels ?? null }
  if (kind === 'numeric' && limit !== null) return { ...of, length: limit >> 16, scale: limit & 0x7ff }
  return { ...of, length: kind === 'varchar' || kind === 'bpchar' ? limit : null, scale: null }
}

type ToText = (value: unknown, column: Column) => string | null

/** Null: this kind of value does not fit. */
const TO_TEXT: Readonly<Record<string, ToText>> = {
  bool: (value) => (typeof value === 'boolean' ? String(value) : null),
  int2: whole(-(2n ** 15n), 2n ** 15n - 1n),
  int4: whole(-(2n ** 31n), 2n ** 31n - 1n),
  int8: whole(-(2n ** 63n), 2n ** 63n - 1n),
  float8: (value) => (typeof value === 'number' ? String(value) : null),
  // Most doubles are none of its values: what is not would be changed.
  float4: (value) => (typeof value === 'number' && Object.is(Math.fround(value), value) ? String(value) : null),
  numeric: decimal,
  text: characters,
  varchar: characters,
  bpchar: characters,
  uuid: (value) => (typeof value === 'string' && UUID.test(value) ? value : null),
  json: (value) => jsonText(value) ?? null,
  jsonb: (value) => {
    const text = jsonText(value) ?? null
    return text === null || /(^|[^\\])(\\\\)*\\u0000/.test(text) ? null : text
  },
  bytea: (value) => (value instanceof Uint8Array ? `\\x${Buffer.from(value).toString('hex')}` : null),
  date: (value) => (typeof value === 'string' && isDate(value) ? value : null),
  timestamptz: moment,
  timestamp: moment,
  enum: (value, { labels }) => (typeof value === 'string' && labels!.includes(value) ? value : null),
}
export const KINDS: readonly string[] = Object.keys(TO_TEXT)
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Null is SQL's. Throws `ENCODE_FAILED` (invalid) naming the column. */
export function columnText(column: Column, value: unknown): string | null {
  const { name, shown, kind, notNull } = column
  if (value === null || value === undefined) {
    if (!notNull) return null
    throw unfit(name, shown, value, 'it is NOT NULL')
  }
  const text = TO_TEXT[kind]!(value, column)
  if (text !== null) return text
  throw unfit(name, shown, value, 'it would be refused or changed')
}

function whole(min: bigint, max: bigint): ToText {
  return (value) => {
    if (typeof value === 'number' && !Number.isSafeInteger(value)) return null
    if (typeof value === 'string' && !/^-?\d{1,19}$/.test(value)) return null
    if (typeof value !== 'number' && typeof value !== 'bigint' && typeof value !== 'string') return null
    const n = BigInt(value)
    return n >= min && n <= max ? String(n) : null
  }
}

/** Digits in front of the point and behind it, as PostgreSQL keeps them: it would round what is longer. */
function decimal(value: unknown, { length, scale }: Column): string | null {
  if (typeof value !== 'number' && typeof value !== 'bigint' && typeof value !== 'string') return null
  const text = String(value)
  const [, front, behind = ''] = /^-?0*(\d*?)(?:\.(\d*?)0*)?$/.exec(/^-?\d+(\.\d+)?$/.test(text) ? text : 'no') ?? []
  if (front === undefined) return null
  if (length === null) return text
  return behind.length <= scale! && front.length <= length - scale! ? text : null
}

function characters(value: unknown, { length }: Column): string | null {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint' && typeof value !== 'boolean')
    return null
  const text = String(value)
  if (text.includes('\0') || !text.isWellFormed()) return null
  return length === null || text.length <= length || [...text].length <= length ? text : null
}

/** ms since 1970, a Date, or ISO text with its zone. */
function moment(value: unknown, { kind }: Column): string | null {
  if (typeof value === 'string' && !/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)$/.test(value))
    return null
  if (typeof value !== 'number' && typeof value !== 'string' && !(value instanceof Date)) return null
  // Without a zone of its own the type ignores the one of the text.
  if (kind === 'timestamp' && typeof value === 'string' && !value.endsWith('Z')) return null
  const date = new Date(value)
  const year = date.getUTCFullYear()
  if (!(year >= 1 && year <= 9_999) || (typeof value === 'number' && !Number.isInteger(value))) return null
  return typeof value === 'string' ? value : date.toISOString()
}

const isDate = (text: string): boolean =>
  /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) && new Date(text).toISOString().startsWith(text)
