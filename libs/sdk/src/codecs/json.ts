/**
 * JSON values, checked by any Standard Schema validator (zod, valibot, arktype); see standardschema.dev.
 * JSON.parse rounds whole numbers beyond ±2^53 − 1, as JSON's peers do: a schema such as `z.int()` refuses them; what has to
 * be exact travels as a string, or by Avro or Protobuf.
 */
import { isUtf8 } from 'node:buffer'
import { jsonText, writingDigits } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { decodeFailed, encodeFailed, messageOf, type Codec } from './codec.ts'

/** The part of Standard Schema that is used. */
export interface Schema<T> {
  readonly '~standard': {
    readonly validate: (value: unknown) => SchemaResult<T> | Promise<SchemaResult<T>>
  }
}
type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | {
      readonly issues: readonly {
        readonly message: string
        readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
      }[]
    }

/**
 * Reading throws `DECODE_FAILED` (invalid) for bytes that are not UTF-8, bad JSON and values the schema refuses, naming
 * the first issue. Writing throws `ENCODE_FAILED` (invalid) for what JSON cannot hold; null becomes a tombstone.
 */
export function json<T = unknown>(schema?: Schema<T>): Codec<T> {
  return {
    decode(buffer, start, end) {
      let value: unknown
      try {
        const text = buffer.toString('utf8', start, end)
        // Broken bytes would be read as U+FFFD without a word; the exact check is paid only where one stands.
        if (text.includes('\ufffd') && !isUtf8(buffer.subarray(start, end))) throw decodeFailed('not UTF-8')
        value = JSON.parse(text)
      } catch (cause) {
        throw cause instanceof WeirError ? cause : decodeFailed(`not JSON: ${messageOf(cause)}`, cause)
      }
      return schema === undefined ? value : validated(schema, value)
    },
    encode: encodeJson,
    contentType: 'application/json',
  }
}

function validated<T>(schema: Schema<T>, value: unknown): T {
  let result: SchemaResult<T> | Promise<SchemaResult<T>>
  try {
    result = schema['~standard'].validate(value)
  } catch (cause) {
    throw decodeFailed(`the schema's validation threw: ${messageOf(cause)}`, cause)
  }
  if (result instanceof Promise) {
    result.catch(() => undefined) // nobody waits for it
    throw decodeFailed('the schema validates asynchronously; use a synchronous one')
  }
  if (result.issues === undefined) return result.value
  const [issue] = result.issues
  const path = issue?.path?.map((p) => String(typeof p === 'object' ? p.key : p)).join('.')
  throw decodeFailed(`${path ? `${path}: ` : ''}${issue?.message ?? 'refused by the schema'}`)
}

/** JSON text of a value; null (a tombstone) for null. Throws `ENCODE_FAILED` (invalid). */
export const encodeJson = writingDigits((value: unknown): string | null => {
  if (value === null) return null
  const text = jsonText(value)
  // JSON.stringify answers undefined for these, and a sink would write a tombstone nobody asked for.
  if (text === undefined) throw unwritable(`it is ${typeof value}`)
  return text
})

const unwritable = (why: string, cause?: unknown): WeirError =>
  encodeFailed('JSON', why, 'Map it before the sink, e.g. a bigint to a string.', cause)
