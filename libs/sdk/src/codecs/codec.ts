/** What turns the bytes of a topic into values and back. A codec is used on both sides, by a source and by a sink. */
import type { Decode, OpenDecoding, OpenEncoder, OpenEncoding, OutputRecord, SinkHeader } from '@weir/dataflow'
import { WeirError, asWeirError } from '@weir/model'

/** `W`: what it writes, where that is more than what it reads. */
export interface Codec<T, W = T> {
  /** Throws `DECODE_FAILED` (invalid) for bytes that are no value of it. */
  readonly decode: Decode
  /** Null is a tombstone. Throws `ENCODE_FAILED` (invalid) for what it cannot hold. */
  readonly encode: (value: W, record?: OutputRecord) => string | Uint8Array | null
  /** Headers of what it writes. */
  readonly headers?: ((value: W, record: OutputRecord) => readonly SinkHeader[]) | undefined
  /** Of what it writes, as a media type. */
  readonly contentType?: string | undefined
  /** Where it must know something before it can work: these make what is used instead. */
  readonly openDecoder?: OpenDecoding | undefined
  readonly openEncoder?: OpenEncoding | undefined
  /** It asks where an output was read (`OutputRecord.origin`): batches carry that then. */
  readonly origins?: boolean | undefined
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

/** What a codec around another one makes of its parts. */
export interface Wrapping {
  decoder(inner: Decode): Decode
  encoder(inner: OpenEncoder): OpenEncoder
}

/** A codec around another one, also where that has to be opened. */
export function wrapped<T, W>(codec: Codec<unknown, never>, { decoder, encoder }: Wrapping): Codec<T, W> {
  const { openDecoder, openEncoder } = codec
  return {
    ...(encoder(partsOf(codec)) as Pick<Codec<T, W>, 'encode' | 'headers'>),
    contentType: codec.contentType,
    origins: codec.origins,
    decode: decoder(codec.decode),
    openDecoder:
      openDecoder &&
      (async (context) => {
        const inner = await openDecoder(context)
        return { decode: decoder(inner.decode), prepare: (records) => inner.prepare(records) }
      }),
    openEncoder: openEncoder && (async (context) => encoder(await openEncoder(context))),
  }
}

/** Behind the encoders of a codec there are no types any more. */
export const partsOf = ({ encode, headers }: Codec<unknown, never>): OpenEncoder =>
  ({ encode, headers }) as unknown as OpenEncoder
