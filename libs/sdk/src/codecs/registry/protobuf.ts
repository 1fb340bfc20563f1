/** Protobuf with a schema registry: behind the id stands which message of the writer's file a record is. */
import type { RegistrySchema, RegistrySettings, SchemaReference, SchemaRegistry } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { toBinary, type DescFile, type DescMessage } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { decodeFailed, type Codec } from '../codec.ts'
import type { ProtobufForm } from '../protobuf.ts'
import { notOpen } from './not-open.ts'
import { messageNames } from './proto-names.ts'
import { RegistryDecoder, expectType, frameOf, type ReadPayload } from './wire-format.ts'
import { checkWriter, writerVersion, type Writer, type WriterOptions } from './writer.ts'

/** Levels of nesting a message may have. */
const INDEXES_MAX = 32

export function registryProtobuf<T>(
  settings: RegistrySettings,
  type: DescMessage,
  { read, write }: ProtobufForm<T>,
  options: WriterOptions,
): Codec<T> {
  checkWriter(options)
  return {
    ...notOpen,
    contentType: 'application/protobuf',
    openDecoder: (context) =>
      Promise.resolve(new RegistryDecoder(context, context.registry(settings), (of) => readerOf(of, type, read))),
    openEncoder: async (context) => {
      const registry = context.registry(settings)
      const writer: Writer = { name: type.typeName, schema: await ownSchema(registry, type.file, options) }
      const { id, schema } = await writerVersion(context, registry, writer, options)
      const head = frameOf(id, indexBytes(options.useLatestVersion ? indexesIn(schema, type) : indexesOf(type)))
      return {
        encode: (value) => (value === null ? null : Buffer.concat([head, write(value as T)])),
      }
    },
  }
}

function readerOf(written: RegistrySchema, type: DescMessage, read: ProtobufForm<unknown>['read']): ReadPayload {
  expectType(written, 'PROTOBUF')
  const names = messageNames(written.schema)
  return (buffer, start, end) => {
    const { path, at } = readIndexes(buffer, start, end)
    const name = names.get(path)
    if (name !== type.typeName) {
      throw decodeFailed(
        name === undefined
          ? `it is message ${path} of its schema, which has no such message`
          : `it is a message ${name}, and the source reads ${type.typeName}`,
      )
    }
    return read(buffer, at, end)
  }
}

/** Zig-zag varints: how many, then the index on every level. No more than a 0 for `[0]`, the usual one. */
function readIndexes(buffer: Buffer, start: number, end: number): { path: string; at: number } {
  let at = start
  const next = (): number => {
    let raw = 0
    for (let shift = 0; ; shift += 7) {
      if (at >= end || shift > 28) throw decodeFailed('its message indexes are cut off or too large')
      const byte = buffer[at++]!
      raw += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
  }
  const count = next()
  if (count === 0) return { path: '0', at }
  if (count < 0 || count > INDEXES_MAX) throw decodeFailed(`it has ${count} message indexes`)
  return { path: Array.from({ length: count }, next).join('.'), at }
}

export function indexBytes(indexes: readonly number[]): Uint8Array {
  if (indexes.length === 1 && indexes[0] === 0) return Uint8Array.of(0)
  const bytes: number[] = []
  for (const value of [indexes.length, ...indexes]) {
    let zigzag = value * 2
    for (; zigzag > 0x7f; zigzag = Math.floor(zigzag / 128)) bytes.push((zigzag % 128) | 0x80)
    bytes.push(zigzag)
  }
  return Uint8Array.from(bytes)
}

/** Among its siblings, level by level. */
const indexesOf = (type: DescMessage): number[] =>
  type.parent === undefined
    ? [type.file.messages.indexOf(type)]
    : [...indexesOf(type.parent), type.parent.nestedMessages.indexOf(type)]

/** In the file of another writer. */
function indexesIn(schema: string, type: DescMessage): number[] {
  for (const [path, name] of messageNames(schema)) if (name === type.typeName) return path.split('.').map(Number)
  throw new WeirError(
    { code: 'SCHEMA_INCOMPATIBLE', kind: 'invalid', typeName: type.typeName },
    `the subject's newest schema has no message ${type.typeName}`,
  )
}

/** The file of the type, and what it imports under the names it imports them by. Those of google.protobuf are known everywhere. */
async function ownSchema(registry: SchemaRegistry, file: DescFile, options: WriterOptions): Promise<RegistrySchema> {
  const references: SchemaReference[] = []
  if (!options.useLatestVersion) {
    for (const imported of file.dependencies) {
      const name = `${imported.name}.proto`
      if (name.startsWith('google/protobuf/')) continue
      const schema = await ownSchema(registry, imported, options)
      const { version } = options.autoRegister
        ? await registry.register(name, schema)
        : await registry.lookup(name, schema)
      references.push({ name, subject: name, version })
    }
  }
  const schema = Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)).toString('base64')
  return { schemaType: 'PROTOBUF', schema, references }
}
