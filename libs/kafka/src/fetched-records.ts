/**
 * What was fetched of one partition and not polled yet, in order and as it came: a compressed batch is inflated when its first record is asked
 * for, so that one batch at most is there in full. No I/O.
 */
import { rawOf, type RawRecords } from '@weir/dataflow'
import { fetchedBatches, type FetchedBatch } from './wire/read-batches.ts'

export class FetchedRecords {
  /** Exclusive offset; null: none. */
  readonly #end: bigint | null
  readonly #batches: FetchedBatch[] = []
  #opened: { readonly raw: RawRecords; at: number } | null = null
  #bytes = 0

  constructor(end: bigint | null) {
    this.#end = end
  }

  /** Of what is held, as it was fetched. */
  get bytes(): number {
    return this.#bytes
  }

  /** In the middle of a batch. */
  get isOpened(): boolean {
    return this.#opened !== null
  }

  /** @returns the offset behind all that was fetched; null: no whole batch was in it */
  add(...fetched: Parameters<typeof fetchedBatches>): bigint | null {
    const { batches, nextOffset } = fetchedBatches(...fetched)
    for (const batch of batches) {
      if (this.#end !== null && batch.baseOffset >= this.#end) break
      this.#batches.push(batch)
      this.#bytes += batch.bytes
    }
    return nextOffset
  }

  /** The next ones, of one batch; null: there are none. Throws `UNKNOWN_COMPRESSION` (invalid). */
  take(max: number): RawRecords | null {
    const opened = (this.#opened ??= this.#open())
    if (opened === null) return null
    const { raw, at: from } = opened
    const to = Math.min(raw.count, from + max)
    opened.at = to
    if (to === raw.count) {
      this.#opened = null
      this.#drop()
    }
    return from === 0 && to === raw.count ? raw : rawOf(raw, from, to)
  }

  /** The first batch with a record of which is not left out. */
  #open(): { readonly raw: RawRecords; at: number } | null {
    for (let batch = this.#batches[0]; batch !== undefined; batch = this.#batches[0]) {
      const raw = this.#end === null ? batch.open() : below(batch.open(), Number(this.#end))
      if (raw.count > 0) return { raw, at: 0 }
      this.#drop()
    }
    return null
  }

  #drop(): void {
    this.#bytes -= this.#batches.shift()!.bytes
  }
}

function below(raw: RawRecords, end: number): RawRecords {
  let count = raw.count
  while (count > 0 && raw.offsets[count - 1]! >= end) count--
  return count === raw.count ? raw : rawOf(raw, 0, count)
}
