/** JSON with a schema registry: the id says which JSON Schema the writer promised; the job's own validator checks. */
import type { Decode, RegistrySchema, RegistrySettings } from '@weir/dataflow'
import type { Codec } from '../codec.ts'
import { json, type Schema } from '../json.ts'
import { notOpen } from './not-open.ts'
import { RegistryDecoder, expectType, frameOf } from './wire-format.ts'
import { checkWriter, writerVersion, type Writer, type WriterOptions } from './writer.ts'

export interface RegistryJsonOptions extends WriterOptions {
  /** What the sink registers or looks up, e.g. `z.toJSONSchema(Order)`. Its `title` is the name of the record. */
  readonly jsonSchema?: object
}

export function registryJson<T>(
  settings: RegistrySettings,
  schema: Schema<T> | undefined,
  options: RegistryJsonOptions,
): Codec<T> {
  checkWriter(options)
  const { decode, encode } = json<T>(schema)
  return {
    ...notOpen,
    contentType: 'application/json',
    openDecoder: (context) => {
      const reader = (of: RegistrySchema): Decode => {
        expectType(of, 'JSON')
        return decode
      }
      return Promise.resolve(new RegistryDecoder(context, context.registry(settings), reader))
    },
    openEncoder: async (context) => {
      const { id } = await writerVersion(context, context.registry(settings), writerOf(options), options)
      const head = frameOf(id)
      return {
        encode: (value) => {
          const text = encode(value as T)
          return text === null ? null : Buffer.concat([head, Buffer.from(text as string)])
        },
      }
    },
  }
}

function writerOf({ jsonSchema }: RegistryJsonOptions): Writer | null {
  if (jsonSchema === undefined) return null
  const { title } = jsonSchema as { title?: unknown }
  const schema = { schemaType: 'JSON' as const, schema: JSON.stringify(jsonSchema), references: [] }
  return { name: typeof title === 'string' ? title : null, schema }
}
