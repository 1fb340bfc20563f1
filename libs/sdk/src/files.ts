/** Files in a folder, local or in S3, as sinks. */
import { WeirError } from '@weir/model'
import type { Codec } from './codecs/codec.ts'
import { encodeJson } from './codecs/json.ts'
import type { Sink, Source } from './connectors.ts'
import { durationMs, type Duration } from './duration.ts'

export interface FilesSinkOptions {
  /** A transaction whose rows have more bytes than this is written as several files. Default 64 MiB. */
  readonly rollBytes?: number
}

export interface NdjsonSinkOptions<T> extends FilesSinkOptions {
  /** Makes one line of a value; JSON where none is given. */
  readonly value?: Codec<T>
}

export interface NdjsonFolderOptions<T> {
  readonly value: Codec<T>
  /** Event time in ms: a line has none of its own. */
  readonly timestamp: (value: T) => number
  /** How many files are read at once, over all subtasks. Default 4. It stays what it was when the job began. */
  readonly splits?: number
  readonly outOfOrder?: Duration
  readonly recordsPerSecond?: number
  readonly uid?: string
}

const SPLITS_MAX = 1_024
const FOLDER = /^(s3:\/\/[^/]+\/(.+\/)?|file:\/\/\/(.+\/)?)$/
const FOLDER_RULE = 'is s3://BUCKET/FOLDER/ or file:///FOLDER/, with a slash at its end'

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
   * The `*.ndjson` and `*.jsonl` below a folder, as they are when the job begins: bounded. Names that begin with `.` or `_` are left
   * alone. Files may not be changed afterwards. Throws `OPTION_INVALID` (invalid) naming the option.
   */
  folder<T>(folder: string, options: NdjsonFolderOptions<T>): Source<T> {
    const { value, timestamp, splits = 4, outOfOrder, recordsPerSecond = null, uid } = options
    if (!FOLDER.test(folder)) throw invalid('ndjson.folder', folder, 'folder', FOLDER_RULE)
    if (!Number.isSafeInteger(splits) || splits < 1 || splits > SPLITS_MAX) {
      throw invalid('ndjson.folder', folder, 'splits', `is a whole number from 1 to ${SPLITS_MAX}`)
    }
    return {
      descriptor: { connector: 'files', format: 'ndjson', folder, splits },
      decode: value.decode,
      openDecoder: value.openDecoder,
      timestamp,
      outOfOrderMs: outOfOrder === undefined ? 0 : durationMs(outOfOrder),
      recordsPerSecond,
      ...(uid !== undefined && { uid }),
    }
  },

  /**
   * One JSON text per line. Files appear when their epoch is published, whole and under their final names; the manifests
   * in `_manifests/` name those of each transaction. Throws `OPTION_INVALID` (invalid) naming the option.
   */
  sink<T = unknown>(folder: string, options: NdjsonSinkOptions<T> = {}): Sink<T> {
    const descriptor = { connector: 'files', format: 'ndjson', ...placeOf('ndjson', folder, options) }
    const { value } = options
    if (value?.headers !== undefined)
      throw invalid('ndjson.sink', folder, 'value', 'writes headers, and a file has none')
    return { descriptor, encodeKey: () => null, ...encoderOf(value) }
  },
}

export const parquet = {
  /** As `ndjson.sink`. Throws `OPTION_INVALID` (invalid) naming the option. */
  sink<T = unknown>(folder: string, options: ParquetSinkOptions): Sink<T> {
    const columns = Object.entries(options.columns).map(([column, of]) =>
      typeof of === 'string' ? { column, type: of, from: column } : { column, type: of.type, from: of.from },
    )
    if (columns.length === 0) throw invalid('parquet.sink', folder, 'columns', 'names at least one column')
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
  if (!FOLDER.test(folder)) throw invalid(`${format}.sink`, folder, 'folder', FOLDER_RULE)
  if (!Number.isSafeInteger(rollBytes) || rollBytes < 1) {
    throw invalid(`${format}.sink`, folder, 'rollBytes', 'is a whole number of bytes, at least 1')
  }
  return { folder, rollBytes }
}

const invalid = (of: string, folder: string, option: string, rule: string): WeirError =>
  new WeirError({ code: 'OPTION_INVALID', kind: 'invalid', option, folder }, `${of}("${folder}"): ${option} ${rule}`)
