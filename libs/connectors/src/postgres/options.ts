/** The descriptor of `postgres.sink` (libs/sdk): plain data, checked again here. */
import type { ConnectorDescriptor } from '@weir/dataflow'
import { WeirError } from '@weir/model'

export interface PostgresSinkOptions {
  /** A reference to a connection string. */
  readonly url: string
  /** `table` or `schema.table`. */
  readonly table: string
  /** What fills each column: a field of the value, one inside of another (`value.total`), `$value`, `$key`, `$timestamp`. */
  readonly columns: readonly { readonly column: string; readonly from: string }[]
  /** Rows replace those with the same key; empty: they are appended. */
  readonly key: readonly string[]
  /** Column for the name of each row, or null. */
  readonly origin: string | null
  /** Table of the markers. */
  readonly markers: string
}

/** Throws `DESCRIPTOR_INVALID` (invalid) naming the option. */
export function postgresSinkOptions(descriptor: ConnectorDescriptor): PostgresSinkOptions {
  const { url, table, columns, key, origin, markers } = descriptor as ConnectorDescriptor & PostgresSinkOptions
  const texts = (of: unknown): of is readonly string[] =>
    Array.isArray(of) && of.every((o) => typeof o === 'string' && o)
  const invalid = (option: string): WeirError =>
    new WeirError(
      { code: 'DESCRIPTOR_INVALID', kind: 'invalid', connector: 'postgres', option, got: descriptor[option] },
      `postgres: ${option} is ${JSON.stringify(descriptor[option])}. Make the descriptor with postgres.sink()`,
    )
  if (!texts([url])) throw invalid('url')
  if (!texts([table])) throw invalid('table')
  if (!texts([markers])) throw invalid('markers')
  if (!texts(key)) throw invalid('key')
  if (origin !== null && !texts([origin])) throw invalid('origin')
  if (!Array.isArray(columns) || columns.length === 0 || !columns.every((c) => texts([c?.column, c?.from])))
    throw invalid('columns')
  return { url, table, columns, key, origin, markers }
}
