/** What a sink knows of a record beside its value, and the headers it is written with. */
import { NOWHERE, WeirError, type Key, type RecordBatch, type RecordHeader } from '@weir/model'
import { withTrace } from './trace-context.ts'
import { isThenable } from './user-code.ts'

/** Valid inside the call it is given to. */
export interface OutputRecord {
  /** As it is written, before it is encoded. */
  readonly key: Key | null
  /** Event time, ms since 1970. */
  readonly timestamp: number
  /** Where it was read: source and split in one number (`placeOf`), and offset. Null: the job has made it, or does not carry origins. */
  readonly origin: { readonly place: number; readonly offset: number; readonly ordinal: string | null } | null
}

/** Text is written as UTF-8. */
export type SinkHeader = readonly [name: string, value: string | Uint8Array | null]
/** The key an output is written with, of its value; null: none. */
export type KeyOf = (value: unknown) => Key | null
export type EncodeHeaders = (value: unknown, record: OutputRecord) => readonly SinkHeader[]

export const NO_HEADERS: readonly RecordHeader[] = []

/** One per sink, moved from record to record: nothing is made for each. */
export class OutputView implements OutputRecord {
  readonly #keyOf: KeyOf | null
  #batch: RecordBatch = { keys: null, values: [], timestamps: [] }
  #index = 0
  /** What `keyOf` has said of the record; undefined: it was not asked. */
  #key: Key | null | undefined = undefined

  /** @param keyOf absent: the key that the stream has */
  constructor(keyOf: KeyOf | null = null) {
    this.#keyOf = keyOf
  }

  at(batch: RecordBatch, index: number): this {
    this.#batch = batch
    this.#index = index
    if (this.#keyOf !== null) this.#key = undefined
    return this
  }

  get key(): Key | null {
    if (this.#keyOf !== null) {
      if (this.#key === undefined) this.#key = this.#keyOf(this.#batch.values[this.#index])
      return this.#key
    }
    return this.#batch.keys === null ? null : this.#batch.keys[this.#index]!
  }

  get timestamp(): number {
    return this.#batch.timestamps[this.#index]!
  }

  /** Where batches carry it: see `traceOf`. */
  get trace(): string | null {
    return this.#batch.origins?.traces?.[this.#index] ?? null
  }

  get origin(): OutputRecord['origin'] {
    const { origins } = this.#batch
    if (origins === undefined || origins.places[this.#index] === NOWHERE) return null
    const ordinal = origins.ordinals === null ? null : origins.ordinals[this.#index]!
    return { place: origins.places[this.#index]!, offset: origins.offsets[this.#index]!, ordinal }
  }
}

/** Those of a sink's node, and the trace context the record carries. Throws as `recordHeaders`. */
export function outputHeaders(
  encode: EncodeHeaders | undefined,
  value: unknown,
  output: OutputView,
): readonly RecordHeader[] {
  const headers = encode === undefined ? NO_HEADERS : recordHeaders(encoded(encode, value, output))
  const { trace } = output
  return trace === null ? headers : withTrace(headers, trace)
}

function encoded(encode: EncodeHeaders, value: unknown, output: OutputView): readonly SinkHeader[] {
  try {
    return encode(value, output)
  } catch (cause) {
    if (cause instanceof WeirError) throw cause // a codec has said what to do
    const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
    throw badHeader(`your function threw ${why}. Handle the case in it, or filter such records before the sink`, cause)
  }
}

/** As they are written. Throws `ENCODE_FAILED` (invalid) for what is no header. */
export function recordHeaders(headers: readonly SinkHeader[]): readonly RecordHeader[] {
  if (isThenable(headers))
    throw badHeader(
      'a promise was returned. Give an array of [name, value], and make calls in an asyncMap before the sink',
    )
  if (!Array.isArray(headers)) throw badHeader('give an array of [name, value]')
  return headers.length === 0 ? NO_HEADERS : headers.map(recordHeader)
}

function recordHeader(header: SinkHeader): RecordHeader {
  if (!Array.isArray(header)) throw badHeader('give each as [name, value]')
  const [name, value] = header
  if (typeof name !== 'string' || !name.isWellFormed()) throw badHeader('a name is a well-formed string')
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw badHeader(`"${name}" is a string with half a surrogate pair`)
    return [name, Buffer.from(value)]
  }
  if (value === null || value instanceof Uint8Array) return [name, value]
  throw badHeader(`"${name}" is ${isThenable(value) ? 'a promise' : typeof value}; a value is a string, bytes or null`)
}

const badHeader = (why: string, cause?: unknown): WeirError =>
  new WeirError({ code: 'ENCODE_FAILED', kind: 'invalid' }, `the headers of a record cannot be written: ${why}.`, {
    cause,
  })
