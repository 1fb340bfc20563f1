/**
 * The head of a source stage: turns what a SourceReader polled into a batch, decoding raw bytes and taking event
 * times. Errors name split and offset, so that the record can be found in the log.
 */
import { WeirError, asWeirError } from '@weir/model'
import type { RecordBatch } from '@weir/model'
import type { SourceNode } from '../graph.ts'
import type { SourceBatch } from '../ports.ts'
import { isThenable, isTimestamp, timestampInvalid } from '../user-code.ts'

/**
 * The batch of a poll; its arrays belong to the caller. Throws WeirError, kind `invalid`:
 * `DECODE_FAILED` (also for a record without a value), `TIMESTAMP_INVALID`, `OPERATOR_FAILED` (the timestamp function).
 */
export function readBatch(node: Pick<SourceNode, 'uid' | 'decode' | 'timestamp'>, source: SourceBatch): RecordBatch {
  const values = source.kind === 'raw' ? decodeAll(node, source) : source.values
  return { keys: null, values, timestamps: eventTimes(node, source, values) }
}

function decodeAll(node: Pick<SourceNode, 'uid' | 'decode'>, source: SourceBatch & { kind: 'raw' }): unknown[] {
  const { buffer, count, valueStart, valueEnd, offsets } = source.raw
  const decode = node.decode
  if (decode === null) {
    throw new WeirError(
      { code: 'DECODE_FAILED', kind: 'invalid', operatorUid: node.uid },
      `source "${node.uid}" reads bytes and has no decoder. Give it a value codec, e.g. { value: json() }.`,
    )
  }
  const values: unknown[] = []
  let i = 0
  try {
    for (; i < count; i++) {
      const start = valueStart[i]!
      if (start < 0) throw withoutValue()
      const value = decode(buffer, start, valueEnd[i]!)
      if (isThenable(value)) throw new TypeError('the decoder returned a promise; decoders are synchronous')
      values.push(value)
    }
  } catch (error) {
    const at = { operatorUid: node.uid, split: source.split, offset: offsets[i] }
    const { facts, message } = asWeirError(error, 'DECODE_FAILED', 'invalid')
    throw new WeirError(
      { ...facts, code: facts.code, kind: 'invalid', ...at },
      `source "${node.uid}", partition ${source.split}, offset ${at.offset}: ${message}`,
      { cause: error },
    )
  }
  return values
}

const withoutValue = (): WeirError =>
  new WeirError(
    { code: 'DECODE_FAILED', kind: 'invalid' },
    'the record has no value (a tombstone). Read a topic that is not compacted, or stop writing tombstones to it.',
  )

function eventTimes(
  node: Pick<SourceNode, 'uid' | 'timestamp'>,
  source: SourceBatch,
  values: readonly unknown[],
): number[] {
  const timestampOf = node.timestamp
  const logTimes = source.kind === 'raw' ? source.raw.timestamps : source.timestamps
  const timestamps: number[] = []
  let i = 0
  try {
    for (; i < values.length; i++) {
      const timestamp: unknown = timestampOf === null ? logTimes[i] : timestampOf(values[i])
      if (!isTimestamp(timestamp)) throw timestampInvalid(timestamp, node.uid, i)
      timestamps.push(timestamp)
    }
  } catch (error) {
    const offset = source.kind === 'raw' ? source.raw.offsets[i] : source.offsets[i]
    const at = { operatorUid: node.uid, split: source.split, offset }
    const { facts, message } = asWeirError(error, 'OPERATOR_FAILED', 'invalid')
    throw new WeirError(
      { ...facts, code: facts.code, kind: 'invalid', ...at },
      `source "${node.uid}", partition ${source.split}, offset ${offset}: ${message}`,
      { cause: error },
    )
  }
  return timestamps
}
