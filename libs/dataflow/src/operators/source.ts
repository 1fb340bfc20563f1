/**
 * The head of a source stage: turns what a SourceReader polled into a batch, decoding raw bytes and taking event
 * times. Errors name split and offset, so that the record can be found in the log.
 */
import { WeirError, asWeirError } from '@weir/model'
import type { RecordBatch, RecordHeader } from '@weir/model'
import type { Decode, SourceNode } from '../graph.ts'
import { NO_HEADERS } from '../output-record.ts'
import type { RawRecords, SourceBatch } from '../ports.ts'
import { isThenable, isTimestamp, timestampInvalid } from '../user-code.ts'
import type { WatermarkFold } from '../watermark-fold.ts'

type Node = Pick<SourceNode, 'uid' | 'decode' | 'timestamp'>

/** A job with dead letters: batches carry where their records were read, and bad ones are taken out. */
export interface SourceRefusals {
  /** `placeOf(source, split)`. */
  readonly place: number
  /** `index`: of the record in the poll. */
  refuse(index: number, error: WeirError): void
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
  refusals: SourceRefusals | null = null,
  fold: WatermarkFold | null = null,
): RecordBatch {
  const { timestamps: logTimes, offsets } = source.kind === 'raw' ? source.raw : source
  const count = source.kind === 'raw' ? source.raw.count : source.values.length
  const valueAt = source.kind === 'raw' ? decoding(node, source.raw) : (i: number): unknown => source.values[i]
  const timestampOf = node.timestamp
  const values: unknown[] = []
  const timestamps: number[] = []
  const origins = refusals && { places: [] as number[], offsets: [] as number[], ordinals: null }
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
        origins.places.push(refusals!.place)
        origins.offsets.push(offsets[i]!)
      }
    } catch (thrown) {
      const at = { operatorUid: node.uid, split: source.split, offset: offsets[i] }
      const { facts, message } = asWeirError(thrown, decoded ? 'OPERATOR_FAILED' : 'DECODE_FAILED', 'invalid')
      const error = new WeirError(
        { ...facts, code: facts.code, kind: 'invalid', ...at },
        `source "${node.uid}", partition ${source.split}, offset ${at.offset}: ${message}`,
        { cause: thrown },
      )
      if (refusals === null) throw error
      refusals.refuse(i, error)
    }
  }
  return origins === null ? { keys: null, values, timestamps } : { keys: null, values, timestamps, origins }
}

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
