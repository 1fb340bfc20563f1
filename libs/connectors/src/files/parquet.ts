/** Parquet with columns of declared types, all of which may be null. Compressed with Snappy. */
import { jsonText } from '@weir/dataflow'
import type { RecordBatch } from '@weir/model'
import { Packr } from 'msgpackr'
import { pickOf, type Pick } from '../pick.ts'
import { unfit } from '../unfit.ts'
import type { FileFormat } from './format.ts'

export const PARQUET_TYPES = ['BOOLEAN', 'INT32', 'INT64', 'DOUBLE', 'STRING', 'JSON', 'TIMESTAMP'] as const
export type ParquetType = (typeof PARQUET_TYPES)[number]
export interface ParquetColumn {
  readonly column: string
  readonly type: ParquetType
  /** As of `pickOf`. */
  readonly from: string
}

type Cell = string | number | bigint | boolean | null
const packr = new Packr({ moreTypes: false, useRecords: false, int64AsType: 'bigint' })
const INT64 = [-(2n ** 63n), 2n ** 63n - 1n] as const
/** What a Date can be. */
const MOMENT_MS_MAX = 8.64e15

/** Undefined: a value of this kind does not fit. */
const CELLS: Readonly<Record<ParquetType, (value: unknown) => Cell | undefined>> = {
  BOOLEAN: (value) => (typeof value === 'boolean' ? value : undefined),
  INT32: (value) => (typeof value === 'number' && value === (value | 0) ? value : undefined),
  INT64: (value) => {
    if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined
    return typeof value === 'bigint' && value >= INT64[0] && value <= INT64[1] ? value : undefined
  },
  DOUBLE: (value) => (typeof value === 'number' ? value : undefined),
  STRING: (value) => (typeof value === 'string' && value.isWellFormed() ? value : undefined),
  JSON: jsonText,
  TIMESTAMP: (value) => {
    const ms = value instanceof Date ? value.getTime() : value
    return typeof ms === 'number' && Number.isInteger(ms) && Math.abs(ms) <= MOMENT_MS_MAX ? ms : undefined
  },
}

export class ParquetFormat implements FileFormat {
  readonly extension = '.parquet'
  readonly #columns: readonly ParquetColumn[]
  readonly #picks: readonly Pick[]

  constructor(columns: readonly ParquetColumn[]) {
    this.#columns = columns
    this.#picks = columns.map(({ from }) => pickOf(from))
  }

  /** Throws `ENCODE_FAILED` (invalid) naming the column. */
  encode(batch: RecordBatch, i: number): Uint8Array {
    return packr.pack(this.#columns.map((column, c) => cellOf(column, this.#picks[c]!(batch, i))))
  }

  async file(rows: readonly Buffer[]): Promise<Uint8Array> {
    // Loaded by those who use it: every slot of a task-manager loads this package.
    const { parquetWriteBuffer } = await import('hyparquet-writer')
    const cells = rows.map((row) => packr.unpack(row) as Cell[])
    const columnData = this.#columns.map(({ column: name, type }, c) => {
      const data = cells.map((row) => typed(type, row[c]!))
      return { name, type, data, nullable: true }
    })
    return new Uint8Array(parquetWriteBuffer({ columnData }))
  }
}

function cellOf({ column, type }: ParquetColumn, value: unknown): Cell {
  if (value === null || value === undefined) return null
  const cell = CELLS[type](value)
  if (cell !== undefined) return cell
  throw unfit(column, type, value, 'it would be refused or changed')
}

/** As the writer takes it. */
function typed(type: ParquetType, cell: Cell): unknown {
  if (cell === null) return null
  switch (type) {
    case 'INT64':
      return BigInt(cell)
    case 'JSON':
      return JSON.parse(cell as string)
    case 'TIMESTAMP':
      return new Date(Number(cell))
    default:
      return cell
  }
}
