/** The last border to user code: what a sink's encoders throw and answer. */
import { WeirError, asWeirError, type Key, type OperatorUid, type RecordBatch } from '@weir/model'
import type { Encode, SinkNode } from './graph.ts'
import type { KeyOf } from './output-record.ts'
import { isThenable, positionOf, whereOf } from './user-code.ts'

/**
 * On an encoder that writes a safe integer as its decimal digits: who has a buffer at hand writes them itself, without a string for
 * each. Named, since a job's bundle and a slot have copies of this file.
 */
const WRITES_DIGITS = Symbol.for('weir.writesDigits')
export const writingDigits = <E extends object>(encode: E): E => Object.assign(encode, { [WRITES_DIGITS]: true })
export const writesDigits = (encode: object): boolean => WRITES_DIGITS in encode

/**
 * The node with encoders that throw `ENCODE_FAILED` (invalid), naming the sink, for whatever goes wrong in them, and for an
 * answer that is neither text nor bytes nor null: a log would take `undefined` for a tombstone and a promise for an object.
 */
export function withCheckedEncoders(node: SinkNode): SinkNode {
  const { uid, keyOf, encodeKey, encodeValue } = node
  return {
    ...node,
    ...(keyOf && { keyOf: checkedKey(uid, keyOf) }),
    encodeKey: checked(uid, 'key', encodeKey),
    encodeValue: checked(uid, 'value', encodeValue),
  }
}

/** What a sink refuses a record with: whatever was thrown while it was written, `ENCODE_FAILED` unless it has a code, and where. */
export function encodeFailed(thrown: unknown, sink: OperatorUid, batch: RecordBatch, index: number): WeirError {
  const error = asWeirError(thrown, 'ENCODE_FAILED', 'invalid')
  // What a restart may mend is not the record's.
  if (error.kind !== 'invalid') return error
  const at = positionOf(sink, batch, index)
  const said = /[.?!]$/.test(error.message) ? error.message : `${error.message}.`
  return new WeirError({ ...error.facts, ...at }, `${whereOf(at)}: ${said}`, { cause: error.cause ?? thrown })
}

function checked(uid: OperatorUid, part: 'key' | 'value', encode: Encode): Encode {
  const call: Encode = (value, record) => {
    let encoded: unknown
    try {
      encoded = encode(value, record)
    } catch (thrown) {
      const { facts, message } = asWeirError(thrown, 'ENCODE_FAILED', 'invalid')
      // A codec of Weir's own has said what to do.
      const remedy =
        thrown instanceof WeirError ? '' : '. Handle the case in it, or filter such records before the sink.'
      const text = `the ${part} encoder of sink "${uid}" threw ${message}${remedy}`
      throw new WeirError({ ...facts, kind: 'invalid', operatorUid: uid }, text, { cause: thrown })
    }
    if (typeof encoded === 'string' || encoded === null || encoded instanceof Uint8Array) return encoded
    throw notBytes(uid, part, encoded)
  }
  return writesDigits(encode) ? writingDigits(call) : call
}

function checkedKey(operatorUid: OperatorUid, keyOf: KeyOf): KeyOf {
  return (value) => {
    let key: unknown
    try {
      key = keyOf(value)
    } catch (thrown) {
      const { facts, message } = asWeirError(thrown, 'ENCODE_FAILED', 'invalid')
      const text = `keyOf of sink "${operatorUid}" threw ${message}. Handle the case in it, or filter such records before the sink.`
      throw new WeirError({ ...facts, kind: 'invalid', operatorUid }, text, { cause: thrown })
    }
    if (typeof key === 'string' || Number.isFinite(key) || key === null) return key as Key | null
    const got = isThenable(key) ? 'a promise' : typeof key
    throw new WeirError(
      { code: 'ENCODE_FAILED', kind: 'invalid', operatorUid, got },
      `keyOf of sink "${operatorUid}" returned ${got}; it returns text, a finite number, or null for no key`,
    )
  }
}

function notBytes(operatorUid: OperatorUid, part: string, got: unknown): WeirError {
  const what = isThenable(got) ? 'a promise' : typeof got
  return new WeirError(
    { code: 'ENCODE_FAILED', kind: 'invalid', operatorUid, got: what },
    `the ${part} encoder of sink "${operatorUid}" returned ${what}; it returns a string, a Uint8Array, or null for none. ` +
      'It is synchronous: make calls in an asyncMap before the sink.',
  )
}
