/** Files in a folder, local or in S3, as sinks. */
import { WeirError } from '@weir/model'
import type { Codec } from './codecs/codec.ts'
import { encodeJson } from './codecs/json.ts'
import type { Sink } from './connectors.ts'

export interface FilesSinkOptions {
  /** A transaction whose rows have more bytes than this is written as several files. Default 64 MiB. */
  readonly rollBytes?: number
}

export interface NdjsonSinkOptions<T> extends FilesSinkOptions {
  /** Makes one line of a value; JSON where none is given. */
  readonly value?: Codec<T>
}

/** `INT64` takes bigints and whole numbers that are exact, `TIMESTAMP` ms since 1970 or a Date, `JSON` anything. */
export type ParquetType = 'BOOLEAN' | 'INT32' | 'INT64' | 'DOUBLE' | 'STRING' | 'JSON' | 'TIMESTAMP'

export interface ParquetSinkOptions extends FilesSinkOptions {
  /**
   * Types by column. A column is filled by the field of its name; `{ type, from }` names another, as in
   * `PostgresSinkOptions.columns`. Null where there is none.
   */
  readonly columns: Readonly<Record<string, ParquetType | { readonly type: ParquetType; readonly from: string }>>
}

const ROLL_BYTES = 64 << 20
const TYPES = ['BOOLEAN', 'INT32', 'INT64', 'DOUBLE', 'STRING', 'JSON', 'TIMESTAMP']

/** @param folder `s3://BUCKET/FOLDER/` at the cluster's endpoint and with its keys, or `file:///FOLDER/` that every task-manager sees. */
export const ndjson = {
  /**
   * One JSON text per line. Files appear when their epoch is published, whole and under their final names; the manifests
   * in `_manifests/` name those of each transaction. Throws `OPTION_INVALID` (invalid) naming the option.
   */
  sink<T = unknown>(folder: string, options: NdjsonSinkOptions<T> = {}): Sink<T> {
    const descriptor = { connector: 'files', format: 'ndjson', ...placeOf('ndjson', folder, options) }
    const { value } = options
    if (value?.headers !== undefined) throw invalid('ndjson', folder, 'value', 'writes headers, and a file has none')
    return { descriptor, encodeKey: () => null, ...encoderOf(value) }
  },
}

export const parquet = {
  /** As `ndjson.sink`. Throws `OPTION_INVALID` (invalid) naming the option. */
  sink<T = unknown>(folder: string, options: ParquetSinkOptions): Sink<T> {
    const columns = Object.entries(options.columns).map(([column, of]) =>
      typeof of === 'string' ? { column, type: of, from: column } : { column, type: of.type, from: of.from },
    )
    if (columns.length === 0) throw invalid('parquet', folder, 'columns', 'names at least one column')
    for (const { column, type } of columns) {
      if (!TYPES.includes(type)) {
        throw invalid(
          'parquet',
          folder,
          'columns',
          `has ${JSON.stringify(type)} for "${column}"; types are ${TYPES.join(', ')}`,
        )
      }
    }
    const descriptor = { connector: 'files', format: 'parquet', ...placeOf('parquet', folder, options), columns }
    return { descriptor, encodeKey: () => null, encodeValue: () => null }
  },
}

/** What of a codec concerns values. */
export function encoderOf<T>(
  value: Codec<T> | undefined,
): Pick<Sink<T>, 'encodeValue' | 'decode' | 'openEncoder' | 'origins'> {
  if (value === undefined) return { encodeValue: encodeJson }
  const { encode: encodeValue, decode, openEncoder, origins } = value
  return { encodeValue, decode, openEncoder, origins }
}

function placeOf(
  format: string,
  folder: string,
  { rollBytes = ROLL_BYTES }: FilesSinkOptions,
): { folder: string; rollBytes: number } {
  if (!/^(s3:\/\/[^/]+\/(.+\/)?|file:\/\/\/(.+\/)?)$/.test(folder)) {
    throw invalid(format, folder, 'folder', 'is s3://BUCKET/FOLDER/ or file:///FOLDER/, with a slash at its end')
  }
  if (!Number.isSafeInteger(rollBytes) || rollBytes < 1) {
    throw invalid(format, folder, 'rollBytes', 'is a whole number of bytes, at least 1')
  }
  return { folder, rollBytes }
}

const invalid = (format: string, folder: string, option: string, rule: string): WeirError =>
  new WeirError(
    { code: 'OPTION_INVALID', kind: 'invalid', option, folder },
    `${format}.sink("${folder}"): ${option} ${rule}`,
  )
