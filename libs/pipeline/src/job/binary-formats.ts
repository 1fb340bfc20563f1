/** Formats that take libraries of their own: they are in the bundle of a pipeline that names one, and in no other. */
import { avro, env, file, messageType, protoJson, schemaRegistry, type AvroSchema } from '@weir/sdk'
import type { ProtobufSpec } from '../schema/formats.ts'
import type { AnyCodec, BinaryFormat } from './formats.ts'
import { StepRefused, problemOf, refuse, type Path } from './problem.ts'

const AVRO_IS =
  'A schema of Avro is the name of a type, or e.g. { type: record, name: Order, fields: [{ name: id, type: string }] }.'

/** Throws StepRefused. */
export function binaryFormats(format: BinaryFormat, path: Path): AnyCodec {
  try {
    return codecOf(format, path)
  } catch (thrown) {
    if (thrown instanceof StepRefused) throw thrown
    const problem = problemOf(thrown, path)
    throw new StepRefused({ ...problem, remedy: problem.remedy === '' ? AVRO_IS : problem.remedy })
  }
}

function codecOf(format: BinaryFormat, path: Path): AnyCodec {
  if ('avro' in format) return avro(format.avro as AvroSchema) as AnyCodec
  if ('protobuf' in format) return protoJson(messageOf(format.protobuf, [...path, 'protobuf'])) as AnyCodec
  const { url, auth, as, schema, ...options } = format.registry
  const registry = schemaRegistry({ url, ...(auth && { auth: authOf(auth) }) })
  switch (as) {
    case 'avro':
      return registry.avro(schema as AvroSchema | undefined, options) as AnyCodec
    case 'json':
      return registry.json(undefined, { ...options, ...(isObject(schema) && { jsonSchema: schema }) }) as AnyCodec
    case 'protobuf': {
      const type = messageOf(protobufIn(schema, path), [...path, 'registry', 'schema'])
      return registry.protoJson(type, options) as AnyCodec
    }
  }
}

function protobufIn(schema: unknown, path: Path): ProtobufSpec {
  const { descriptorSet, message } = (isObject(schema) ? schema : {}) as Partial<Record<string, unknown>>
  if (typeof descriptorSet === 'string' && typeof message === 'string') return { descriptorSet, message }
  return refuse(
    [...path, 'registry', ...(schema === undefined ? [] : ['schema'])],
    'the schema of a Protobuf message is { descriptorSet: BASE64, message: NAME }',
    'Write e.g. schema: { descriptorSet: …, message: shop.Order }, with what buf build -o - | base64 -w0 puts out.',
  )
}

function messageOf({ descriptorSet, message }: ProtobufSpec, path: Path): ReturnType<typeof messageType> {
  const bytes = Buffer.from(descriptorSet, 'base64')
  if (bytes.toString('base64').replaceAll('=', '') !== descriptorSet.replaceAll(/[\s=]/g, ''))
    refuse([...path, 'descriptorSet'], 'descriptorSet is no base64', 'Write: buf build -o - | base64 -w0.')
  return messageType(bytes, message)
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
