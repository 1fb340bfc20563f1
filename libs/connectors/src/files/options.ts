/** The descriptor of `files.ndjson` and `files.parquet` as sinks (libs/sdk): plain data, checked again here. */
import type { ConnectorDescriptor, Encode } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import type { FileFormat } from './format.ts'
import { NdjsonFormat } from './ndjson.ts'
import { PARQUET_TYPES, ParquetFormat, type ParquetColumn } from './parquet.ts'

export interface FilesSinkOptions {
  /** `s3://BUCKET/FOLDER/` or `file:///FOLDER/`. */
  readonly folder: string
  readonly format: FileFormat
  /** Bytes of rows, as they are staged, from which on the next file is begun. */
  readonly rollBytes: number
}

/** Throws `DESCRIPTOR_INVALID` (invalid) naming the option. */
export function filesSinkOptions(descriptor: ConnectorDescriptor, encodeValue: Encode): FilesSinkOptions {
  const { folder, format, rollBytes, columns } = descriptor
  const invalid = (option: string): WeirError =>
    new WeirError(
      { code: 'DESCRIPTOR_INVALID', kind: 'invalid', connector: 'files', option, got: descriptor[option] },
      `files: ${option} is ${JSON.stringify(descriptor[option])}. Make the descriptor with files.ndjson() or files.parquet()`,
    )
  if (typeof folder !== 'string' || folder === '') throw invalid('folder')
  if (typeof rollBytes !== 'number' || !(rollBytes >= 1)) throw invalid('rollBytes')
  if (format === 'ndjson') return { folder, rollBytes, format: new NdjsonFormat(encodeValue) }
  if (format !== 'parquet') throw invalid('format')
  const isColumn = ({ column, from, type }: ParquetColumn): boolean =>
    typeof column === 'string' && typeof from === 'string' && PARQUET_TYPES.includes(type)
  if (!Array.isArray(columns) || columns.length === 0 || !columns.every(isColumn)) throw invalid('columns')
  return { folder, rollBytes, format: new ParquetFormat(columns as readonly ParquetColumn[]) }
}
