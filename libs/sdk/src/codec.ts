/** JSON values, checked by any Standard Schema validator (zod, valibot, arktype); see standardschema.dev. */
import type { Decode } from '@weir/dataflow'
import { WeirError } from '@weir/model'

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

export interface Codec<T> {
  readonly decode: Decode
  readonly encode: (value: T) => string
  /** Only for the compiler. */
  readonly type?: T
}

/** Throws `DECODE_FAILED` (invalid) for bad JSON and for values the schema refuses, naming the first issue. */
export function json<T = unknown>(schema?: Schema<T>): Codec<T> {
  return {
    decode(buffer, start, end) {
      let value: unknown
      try {
        value = JSON.parse(buffer.toString('utf8', start, end))
      } catch (cause) {
        throw failed(`not JSON: ${(cause as Error).message}`, cause)
      }
      if (schema === undefined) return value
      const result = schema['~standard'].validate(value)
      if (result instanceof Promise) throw failed('the schema validates asynchronously; use a synchronous one')
      if (result.issues === undefined) return result.value
      const [issue] = result.issues
      const path = issue?.path?.map((p) => String(typeof p === 'object' ? p.key : p)).join('.')
      throw failed(`${path ? `${path}: ` : ''}${issue?.message ?? 'refused by the schema'}`)
    },
    encode: (value) => JSON.stringify(value),
  }
}

const failed = (why: string, cause?: unknown): WeirError =>
  new WeirError({ code: 'DECODE_FAILED', kind: 'invalid' }, `the record cannot be decoded: ${why}`, { cause })
