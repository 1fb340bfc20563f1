/** One JSON text per line. */
import { OutputView, type Encode } from '@weir/dataflow'
import { WeirError, type RecordBatch } from '@weir/model'
import type { FileFormat } from './format.ts'

const NEWLINE = Buffer.from('\n')
const LF = 0x0a

export class NdjsonFormat implements FileFormat {
  readonly extension = '.ndjson'
  readonly #encode: Encode
  readonly #output = new OutputView()

  constructor(encode: Encode) {
    this.#encode = encode
  }

  /** Throws `ENCODE_FAILED` (invalid) for a codec whose bytes would be two lines, or none. */
  encode(batch: RecordBatch, i: number): Uint8Array {
    const encoded = this.#encode(batch.values[i], this.#output.at(batch, i))
    const line = typeof encoded === 'string' ? Buffer.from(encoded) : encoded
    if (line !== null && line !== undefined && line.length > 0 && !line.includes(LF)) return line
    throw new WeirError(
      { code: 'ENCODE_FAILED', kind: 'invalid', format: 'ndjson' },
      'a record of an NDJSON file is one line that is not empty; the codec of the sink makes none, or several. JSON.stringify without indentation makes one',
    )
  }

  file(rows: readonly Buffer[]): Promise<Uint8Array> {
    return Promise.resolve(Buffer.concat(rows.flatMap((row) => [row, NEWLINE])))
  }
}
