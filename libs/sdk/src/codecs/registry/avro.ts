/** Avro with a schema registry: the writer's schema comes with the record, the reader's is the job's. */
import type { CodecContext, RegistrySchema, RegistrySettings, SchemaRegistry } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import type { Type } from 'avsc'
import { avroType, avroWriter, readAvro, type AvroOptions, type AvroResolver, type AvroSchema } from '../avro-type.ts'
import { messageOf, type Codec } from '../codec.ts'
import { notOpen } from './not-open.ts'
import { referencedSchemas } from './references.ts'
import { RegistryDecoder, expectType, frameOf, type ReadPayload } from './wire-format.ts'
import { checkWriter, writerVersion, type Writer, type WriterOptions } from './writer.ts'

export type RegistryAvroOptions = AvroOptions & WriterOptions

export function registryAvro<T>(
  settings: RegistrySettings,
  schema: AvroSchema | undefined,
  options: RegistryAvroOptions,
): Codec<T> {
  checkWriter(options)
  const own = schema === undefined ? null : avroType(schema, options)
  return {
    ...notOpen,
    contentType: 'application/avro',
    openDecoder: (context) => {
      const registry = context.registry(settings)
      const reader = (of: RegistrySchema): Promise<ReadPayload> => readerOf(registry, of, own, options)
      return Promise.resolve(new RegistryDecoder(context, registry, reader))
    },
    openEncoder: async (context) => {
      const { id, type } = await openWriter(context, context.registry(settings), schema, own, options)
      const head = frameOf(id)
      const write = avroWriter(type)
      return {
        encode: (value) => (value === null ? null : Buffer.concat([head, write(value)])),
      }
    },
  }
}

/** Values as the job's schema has them, by Avro's rules of resolution; without one, as they were written. */
async function readerOf(
  registry: SchemaRegistry,
  written: RegistrySchema,
  own: Type | null,
  options: RegistryAvroOptions,
): Promise<ReadPayload> {
  expectType(written, 'AVRO')
  const writer = await resolvedType(registry, written, options)
  if (own === null) return (buffer, start, end) => readAvro(writer, buffer.subarray(start, end))
  const resolver = resolverOf(own, writer)
  return (buffer, start, end) => readAvro(own, buffer.subarray(start, end), resolver)
}

function resolverOf(own: Type, writer: Type): AvroResolver {
  try {
    return own.createResolver(writer)
  } catch (cause) {
    throw new WeirError(
      { code: 'SCHEMA_INCOMPATIBLE', kind: 'invalid' },
      `what it writes cannot be read as the source's schema: ${messageOf(cause)}. Give the fields that are missing a default.`,
      { cause },
    )
  }
}

async function resolvedType(registry: SchemaRegistry, of: RegistrySchema, options: AvroOptions): Promise<Type> {
  const known: Record<string, Type> = {}
  for (const { schema } of await referencedSchemas(registry, of)) avroType(schema, options, known)
  return avroType(of.schema, options, known)
}

async function openWriter(
  context: CodecContext,
  registry: SchemaRegistry,
  schema: AvroSchema | undefined,
  own: Type | null,
  options: RegistryAvroOptions,
): Promise<{ readonly id: number; readonly type: Type }> {
  const writer: Writer | null = own && {
    name: own.name ?? null,
    schema: {
      schemaType: 'AVRO',
      schema: typeof schema === 'string' ? schema : JSON.stringify(schema),
      references: [],
    },
  }
  const version = await writerVersion(context, registry, writer, options)
  return {
    id: version.id,
    type: own !== null && !options.useLatestVersion ? own : await resolvedType(registry, version, options),
  }
}
