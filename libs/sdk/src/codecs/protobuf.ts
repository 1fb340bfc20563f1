/** Protobuf messages, as buf and protoc-gen-es describe them, or a FileDescriptorSet does (`buf build -o types.binpb`). */
import { WeirError } from '@weir/model'
import {
  createFileRegistry,
  fromBinary,
  fromJson,
  isMessage,
  toBinary,
  toJson,
  type DescMessage,
  type FileRegistry,
  type JsonValue,
  type MessageShape,
} from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { decoding, encodeFailed, messageOf, type Codec } from './codec.ts'

/**
 * 64-bit integers are bigints (or strings, where the type says so) and exact. Reading throws `DECODE_FAILED` (invalid) for
 * bytes that are cut off or no message; fields the type does not know are kept. Writing throws `ENCODE_FAILED` (invalid)
 * naming the field; null becomes a tombstone.
 */
export const protobuf = <D extends DescMessage>(type: D): Codec<MessageShape<D>> => codecOf(asMessages(type))

/**
 * The same messages as plain values, as ProtoJSON has them: 64-bit integers are texts, bytes base64, enums their names; a field that was
 * not set has its default, one that may be absent is missing. Reading drops fields that the type does not know, writing refuses them.
 */
export const protoJson = <T = unknown>(type: DescMessage): Codec<T> => codecOf(asProtoJson<T>(type))

/** What messages are in a job. */
export interface ProtobufForm<T> {
  readonly read: (buffer: Buffer, start: number, end: number) => T
  readonly write: (value: T) => Uint8Array
}

export const asMessages = <D extends DescMessage>(type: D): ProtobufForm<MessageShape<D>> => ({
  read: (buffer, start, end) => readProtobuf(type, buffer, start, end),
  write: (value) => writeProtobuf(type, value),
})

export const asProtoJson = <T>(type: DescMessage): ProtobufForm<T> => ({
  read: (buffer, start, end) => toJson(type, readProtobuf(type, buffer, start, end), { alwaysEmitImplicit: true }) as T,
  write: (value) => writeProtobuf(type, messageOfJson(type, value as JsonValue)),
})

const codecOf = <T>({ read, write }: ProtobufForm<T>): Codec<T> => ({
  decode: read,
  encode: (value) => (value === null ? null : write(value)),
  contentType: 'application/protobuf',
})

function messageOfJson(type: DescMessage, value: JsonValue): MessageShape<DescMessage> {
  try {
    return fromJson(type, value)
  } catch (cause) {
    throw encodeFailed('Protobuf', messageOf(cause), `Write it as ProtoJSON has ${type.typeName}.`, cause)
  }
}

function readProtobuf<D extends DescMessage>(type: D, buffer: Buffer, start: number, end: number): MessageShape<D> {
  // A copy: fields of bytes, and those that are not known, are views into what they are read from.
  const bytes = new Uint8Array(buffer.subarray(start, end))
  return decoding(`a message ${type.typeName}`, () => fromBinary(type, bytes))
}

function writeProtobuf<D extends DescMessage>(type: D, value: MessageShape<D>): Uint8Array {
  const remedy = `Make it with create(${type.name}Schema, …).`
  if (!isMessage(value, type)) throw encodeFailed('Protobuf', `it is no message ${type.typeName}`, remedy)
  try {
    return toBinary(type, value)
  } catch (cause) {
    throw encodeFailed('Protobuf', messageOf(cause), remedy, cause)
  }
}

/**
 * A message of a FileDescriptorSet, for types that are not generated. Its values are untyped.
 * Throws `SCHEMA_INVALID` (invalid) where the set is none, or has no such message.
 */
export function messageType(fileDescriptorSet: Uint8Array, typeName: string): DescMessage {
  let registry: FileRegistry
  try {
    registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, fileDescriptorSet))
  } catch (cause) {
    throw schemaInvalid(`no FileDescriptorSet: ${messageOf(cause)}`, typeName, cause)
  }
  const message = registry.getMessage(typeName)
  if (message !== undefined) return message
  const known = [...registry].filter(({ kind }) => kind === 'message').map((type) => type.typeName)
  throw schemaInvalid(
    `the FileDescriptorSet has no message ${typeName}; it has: ${known.join(', ') || 'none'}`,
    typeName,
  )
}

const schemaInvalid = (text: string, typeName: string, cause?: unknown): WeirError =>
  new WeirError({ code: 'SCHEMA_INVALID', kind: 'invalid', typeName }, text, { cause })
