/**
 * The head of a source stage: turns what a SourceReader polled into a batch, decoding raw bytes and taking event
 * times. Errors name split and offset, so that the record can be found in the log.
 */
import { WeirError, asWeirError } from '@weir/model'
import type { Origins, RecordBatch, RecordHeader } from '@weir/model'
import type { Decode, SourceNode } from '../graph.ts'
import { retryOf } from '../dead-letter.ts'
import { NO_HEADERS } from '../output-record.ts'
import type { RawRecords, SourceBatch } from '../ports.ts'
import { traceOf } from '../trace-context.ts'
import { isThenable, isTimestamp, timestampInvalid } from '../user-code.ts'
import type { WatermarkFold } from '../watermark-fold.ts'

type Node = Pick<SourceNode, 'uid' | 'decode' | 'timestamp'>

/** Batches carry where their records were read. */
export interface SourceOrigins {
  /** `placeOf(source, split)`. */
  readonly place: number
  /** And the trace context in their headers. */
  readonly traces?: boolean | undefined
  /** By index in the poll: the trace context that a sampled record goes on with, in place of that. */
  readonly sampled?: ReadonlyMap<number, string> | undefined
  /** And whose retry they are. */
  readonly retries?: boolean | undefined
  /** Takes bad records out; `index`: of the record in the poll. Null: a bad record stops the job. */
  readonly refuse: ((index: number, error: WeirError) => void) | null
}

/**
 * The batch of a poll; its arrays belong to the caller. A record that cannot be read is refused; where nobody takes it,
 * this throws WeirError, kind `invalid`: `DECODE_FAILED` (also for a record without a value), `TIMESTAMP_INVALID`,
 * `OPERATOR_FAILED` (the timestamp function), and as `WatermarkFold.next`. `SOURCE_WITHOUT_DECODER` is thrown always.
 * @param fold the split's own watermarks: goes along, record by record
 */
export function readBatch(
  node: Node,
  source: SourceBatch,
  carried: SourceOrigins | null = null,
  fold: WatermarkFold | null = null,
): RecordBatch {
  const { timestamps: logTimes, offsets } = source.kind === 'raw' ? source.raw : source
  const count = source.kind === 'raw' ? source.raw.count : source.values.length
  const valueAt = source.kind === 'raw' ? decoding(node, source.raw) : (i: number): unknown => source.values[i]
  const timestampOf = node.timestamp
  const values: unknown[] = []
  const timestamps: number[] = []
  const origins = carried && originsOf(carried)
  if (fold !== null) fold.reached = []
  for (let i = 0; i < count; i++) {
    let decoded = false
    try {
      for (; i < count; i++) {
        decoded = false
        const value = valueAt(i)
        decoded = true
        const timestamp: unknown = timestampOf === null ? logTimes[i] : timestampOf(value)
        if (!isTimestamp(timestamp)) throw timestampInvalid(timestamp, node.uid, i)
        fold?.next(value, timestamp)
        values.push(value)
        timestamps.push(timestamp)
        if (origins === null) continue
        origins.places.push(carried!.place)
        origins.offsets.push(offsets[i]!)
        origins.traces?.push(carried!.sampled?.get(i) ?? (carried!.traces === true ? traceAt(source, i) : null))
        origins.retries?.push(retryAt(source, i))
      }
    } catch (thrown) {
      const at = { operatorUid: node.uid, split: source.split, offset: offsets[i] }
      const { facts, message } = asWeirError(thrown, decoded ? 'OPERATOR_FAILED' : 'DECODE_FAILED', 'invalid')
      const error = new WeirError(
        { ...facts, code: facts.code, kind: 'invalid', ...at },
        `source "${node.uid}", partition ${source.split}, offset ${at.offset}: ${thrown instanceof WeirError ? message : remedyOf(decoded, message)}`,
        { cause: thrown },
      )
      const refuse = carried?.refuse ?? null
      if (refuse === null) throw error
      refuse(i, error)
    }
  }
  return origins === null ? { keys: null, values, timestamps } : { keys: null, values, timestamps, origins }
}

const originsOf = ({ traces, sampled, retries }: SourceOrigins): Origins => ({
  places: [],
  offsets: [],
  ordinals: null,
  ...((traces === true || sampled !== undefined) && { traces: [] }),
  ...(retries === true && { retries: [] }),
})

const traceAt = (source: SourceBatch, index: number): string | null =>
  source.kind === 'raw' && source.raw.headers ? traceOf(source.raw.headers(source.raw, index)) : null

const retryAt = (source: SourceBatch, index: number): string | null =>
  source.kind === 'raw' && source.raw.headers ? retryOf(source.raw.headers(source.raw, index)) : null

const remedyOf = (decoded: boolean, message: string): string =>
  decoded
    ? `the function of its event time threw ${message}. Handle the case in it, or refuse such records in the codec.`
    : `its decoder threw ${message}. Send such records to dead letters (deadLetters in the job's settings), or mend the codec.`

function decoding({ uid, decode }: Node, raw: RawRecords): (index: number) => unknown {
  const { buffer, valueStart, valueEnd } = raw
  if (decode === null) {
    throw new WeirError(
      { code: 'SOURCE_WITHOUT_DECODER', kind: 'invalid', operatorUid: uid },
      `source "${uid}" reads bytes and has no decoder. Give it a value codec, e.g. { value: json() }.`,
    )
  }
  let at = 0
  const headers = (): readonly RecordHeader[] => raw.headers?.(raw, at) ?? NO_HEADERS
  return (i) => {
    const start = valueStart[i]!
    if (start < 0) throw withoutValue()
    at = i
    const value = (decode as Decode)(buffer, start, valueEnd[i]!, headers)
    if (isThenable(value)) throw new TypeError('the decoder returned a promise; decoders are synchronous')
    return value
  }
}

const withoutValue = (): WeirError =>
  new WeirError(
    { code: 'DECODE_FAILED', kind: 'invalid' },
    'the record has no value (a tombstone). Read a topic that is not compacted, or stop writing tombstones to it.',
  )
