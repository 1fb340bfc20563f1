/**
 * Codecs with a schema registry, by Confluent's protocol:
 *
 *     const registry = schemaRegistry({ url: 'https://registry:8081', auth: { token: env('REGISTRY_TOKEN') } })
 *     kafka.topic('orders', { value: registry.avro<Order>(OrderSchema) })
 *     kafka.sink('totals', { value: registry.protobuf(TotalSchema, { autoRegister: true }) })
 *
 * Schemas are fetched when a source or sink starts, and when a source meets an id for the first time: it waits then before it
 * decodes the batch. An id the registry does not know is `SCHEMA_UNKNOWN` (invalid) for its records; a registry that does not
 * answer is `REGISTRY_UNREACHABLE` (retry), and the attempt restarts.
 */
import type { RegistrySettings, SecretReference } from '@weir/dataflow'
import type { DescMessage, MessageShape } from '@bufbuild/protobuf'
import type { AvroSchema } from '../avro-type.ts'
import type { Codec } from '../codec.ts'
import type { Schema } from '../json.ts'
import { asMessages, asProtoJson } from '../protobuf.ts'
import { registryAvro, type RegistryAvroOptions } from './avro.ts'
import { registryJson, type RegistryJsonOptions } from './json.ts'
import { registryProtobuf } from './protobuf.ts'
import type { WriterOptions } from './writer.ts'

/** A variable in the environment of the task-managers: a job holds its name, never its value. */
export const env = (name: string): SecretReference => ({ env: name })

/** A file that the task-managers can read, as Kubernetes mounts secrets: a job holds its path. */
export const file = (path: string): SecretReference => ({ file: path })

export interface RegistryCodecs {
  /**
   * `schema`: what values are in this job; those of other writers are resolved to it by Avro's rules. Left out, a source hands
   * out values as they were written, and a sink needs `useLatestVersion`.
   */
  avro<T = unknown>(schema?: AvroSchema, options?: RegistryAvroOptions): Codec<T>
  /** Records of another message of the writer's file are refused (`DECODE_FAILED`). What the type imports is registered too. */
  protobuf<D extends DescMessage>(type: D, options?: WriterOptions): Codec<MessageShape<D>>
  /** As `protobuf`, with plain values as ProtoJSON has them (`protoJson`). */
  protoJson<T = unknown>(type: DescMessage, options?: WriterOptions): Codec<T>
  /** `schema`: checks values that are read; the JSON Schema a record names is not evaluated. */
  json<T = unknown>(schema?: Schema<T>, options?: RegistryJsonOptions): Codec<T>
}

/** Options that contradict each other throw `OPTION_INVALID` (invalid), schemas that are none `SCHEMA_INVALID`. */
export const schemaRegistry = (settings: RegistrySettings): RegistryCodecs => ({
  avro: (schema, options = {}) => registryAvro(settings, schema, options),
  protobuf: (type, options = {}) => registryProtobuf(settings, type, asMessages(type), options),
  protoJson: (type, options = {}) => registryProtobuf(settings, type, asProtoJson(type), options),
  json: (schema, options = {}) => registryJson(settings, schema, options),
})
