/** How values are read and written, as codecs of the SDK. */
import type { Decode } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { json, withNamedHeaders, type Codec, type Schema } from '@weir/sdk'
import type { FormatSpec } from '../schema/formats.ts'
import type { Path } from './problem.ts'
import { STRING, mismatch, nullable, recordOf, type ValueType } from './value-type.ts'

export type AnyCodec = Codec<unknown, never>
export type BinaryFormat = Exclude<FormatSpec, 'json'>
/** Makes a codec of what is not JSON (binary-formats.ts). Throws StepRefused. */
export type BinaryFormats = (format: BinaryFormat, path: Path) => AnyCodec

/** Of a job that names none: its bundle goes without. */
export const NO_BINARY_FORMATS: BinaryFormats = () => {
  throw new WeirError(
    { code: 'FORMATS_MISSING', kind: 'invalid' },
    'the pipeline names a format that its bundle was made without: bundle it again with this version of the CLI',
  )
}

/** What a source reads. Values are handed on as they are, checked against the type. Throws StepRefused. */
export function readerOf(format: FormatSpec, type: ValueType, path: Path, binary: BinaryFormats): AnyCodec {
  if (format === 'json') return json(schemaOf(type)) as AnyCodec
  const codec = binary(format, path)
  return type.kind === 'any' ? codec : checked(codec, type)
}

/** What a sink writes. Throws StepRefused. */
export const writerOf = (format: FormatSpec, path: Path, binary: BinaryFormats): AnyCodec =>
  format === 'json' ? (json() as AnyCodec) : binary(format, path)

/** The record beside some of its headers. */
export const besideHeaders = (
  codec: AnyCodec,
  type: ValueType,
  headers: Readonly<Record<string, string>>,
): { readonly codec: AnyCodec; readonly type: ValueType } => ({
  codec: withNamedHeaders(codec, headers) as AnyCodec,
  type: recordOf('Record', {
    value: type,
    headers: recordOf('Headers', Object.fromEntries(Object.keys(headers).map((field) => [field, nullable(STRING)]))),
  }),
})

function schemaOf(type: ValueType): Schema<unknown> | undefined {
  if (type.kind === 'any') return undefined
  return {
    '~standard': {
      validate(value) {
        const wrong = mismatch(type, value, '')
        return wrong === null ? { value } : { issues: [{ message: wrong }] }
      },
    },
  }
}

function checked(codec: AnyCodec, type: ValueType): AnyCodec {
  const check =
    (decode: Decode): Decode =>
    (buffer, start, end, headers) => {
      const value = decode(buffer, start, end, headers)
      const wrong = mismatch(type, value, '')
      if (wrong === null) return value
      throw new WeirError({ code: 'DECODE_FAILED', kind: 'invalid' }, `the record cannot be decoded: ${wrong}`)
    }
  const { openDecoder } = codec
  return {
    ...codec,
    decode: check(codec.decode),
    openDecoder:
      openDecoder &&
      (async (context) => {
        const inner = await openDecoder(context)
        return { decode: check(inner.decode), prepare: (records) => inner.prepare(records) }
      }),
  }
}
