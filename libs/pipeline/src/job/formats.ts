/** How values are read and written, as codecs of the SDK. */
import type { Decode } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import {
  avro,
  env,
  file,
  json,
  messageType,
  protoJson,
  schemaRegistry,
  withNamedHeaders,
  type AvroSchema,
  type Codec,
  type Schema,
} from '@weir/sdk'
import type { FormatSpec } from '../schema/formats.ts'
import { problemOf, refuse, StepRefused, type Path } from './problem.ts'
import { STRING, mismatch, nullable, recordOf, type ValueType } from './value-type.ts'

type Any = Codec<unknown, never>
const AVRO_IS =
  'A schema of Avro is the name of a type, or e.g. { type: record, name: Order, fields: [{ name: id, type: string }] }.'

/** What a source reads. Values are handed on as they are, checked against the type. Throws StepRefused. */
export function readerOf(format: FormatSpec, type: ValueType, path: Path): Any {
  if (format === 'json') return json(schemaOf(type)) as Any
  const codec = writerOf(format, path)
  return type.kind === 'any' ? codec : checked(codec, type)
}

/** What a sink writes. Throws StepRefused. */
export function writerOf(format: FormatSpec, path: Path): Any {
  if (format === 'json') return json() as Any
  try {
    if ('avro' in format) return avro(format.avro as AvroSchema) as Any
    if ('protobuf' in format) return protobufOf(format.protobuf, path)
    const { url, auth, as, schema, ...options } = format.registry
    const registry = schemaRegistry({ url, ...(auth && { auth: authOf(auth) }) })
    return as === 'avro'
      ? (registry.avro(schema as AvroSchema | undefined, options) as Any)
      : (registry.json(undefined, { ...options, ...(isObject(schema) && { jsonSchema: schema }) }) as Any)
  } catch (thrown) {
    if (thrown instanceof StepRefused) throw thrown
    const problem = problemOf(thrown, path)
    throw new StepRefused({ ...problem, remedy: problem.remedy === '' ? AVRO_IS : problem.remedy })
  }
}

/** The record beside some of its headers. */
export const besideHeaders = (
  codec: Any,
  type: ValueType,
  headers: Readonly<Record<string, string>>,
): { readonly codec: Any; readonly type: ValueType } => ({
  codec: withNamedHeaders(codec, headers) as Any,
  type: recordOf('Record', {
    value: type,
    headers: recordOf('Headers', Object.fromEntries(Object.keys(headers).map((field) => [field, nullable(STRING)]))),
  }),
})

function protobufOf({ descriptorSet, message }: { descriptorSet: string; message: string }, path: Path): Any {
  const bytes = Buffer.from(descriptorSet, 'base64')
  if (bytes.toString('base64').replaceAll('=', '') !== descriptorSet.replaceAll(/[\s=]/g, ''))
    refuse([...path, 'protobuf', 'descriptorSet'], 'descriptorSet is no base64', 'Write: buf build -o - | base64 -w0.')
  return protoJson(messageType(bytes, message)) as Any
}

type SecretText = string
interface Auth {
  readonly token?: SecretText
  readonly username?: SecretText
  readonly password?: SecretText
}
function authOf({ token, username, password }: Auth): NonNullable<Parameters<typeof schemaRegistry>[0]['auth']> {
  return token === undefined
    ? { username: secretOf(username!), password: secretOf(password!) }
    : { token: secretOf(token) }
}
const secretOf = (text: SecretText): ReturnType<typeof env> =>
  text.startsWith('env:') ? env(text.slice('env:'.length)) : file(text.slice('file:'.length))

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

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

function checked(codec: Any, type: ValueType): Any {
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
