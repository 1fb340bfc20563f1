/** What turns the bytes of a topic into values and back. A codec is used on both sides, by a source and by a sink. */
import type { Decode } from '@weir/dataflow'
import { WeirError, asWeirError } from '@weir/model'

export interface Codec<T> {
  /** Throws `DECODE_FAILED` (invalid) for bytes that are no value of it. */
  readonly decode: Decode
  /** Null is a tombstone. Throws `ENCODE_FAILED` (invalid) for what it cannot hold. */
  readonly encode: (value: T) => string | Uint8Array | null
  /** Only for the compiler. */
  readonly type?: T
}

export const decodeFailed = (why: string, cause?: unknown): WeirError =>
  new WeirError({ code: 'DECODE_FAILED', kind: 'invalid' }, `the record cannot be decoded: ${why}`, { cause })

/** `format`: its name in the message, e.g. JSON. */
export const encodeFailed = (format: string, why: string, remedy: string, cause?: unknown): WeirError =>
  new WeirError(
    { code: 'ENCODE_FAILED', kind: 'invalid' },
    `the value cannot be written as ${format}: ${why}. ${remedy}`,
    { cause },
  )

/** What a library throws over bytes, as the codec's own error. */
export function decoding<T>(format: string, decode: () => T): T {
  try {
    return decode()
  } catch (cause) {
    throw cause instanceof WeirError ? cause : decodeFailed(`not ${format}: ${messageOf(cause)}`, cause)
  }
}

export const messageOf = (thrown: unknown): string => asWeirError(thrown, '').message
