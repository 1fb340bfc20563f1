/**
 * Codecs that must know something before they can work, e.g. the schemas of a registry. Decoding and encoding stay synchronous
 * and a graph stays pure: what they need is fetched by the slice, outside of the per-record path.
 *
 *   source:  open ─▶ poll ─▶ prepare(what was polled) ─▶ decode record by record, and poll again
 *   sink:    recover ─▶ open ─▶ encode record by record
 */
import type { Clock, OperatorUid } from '@weir/model'
import type { Decode, Encode } from './graph.ts'
import type { EncodeHeaders } from './output-record.ts'
import type { RawRecords } from './ports.ts'

/** Of the source or sink, in one slice of one attempt. */
export interface CodecContext {
  readonly operatorUid: OperatorUid
  readonly topic: string
  /** Of the record. Absent: its value. */
  readonly part?: 'key' | 'value'
  readonly clock: Clock
  /** Aborted when the attempt ends: every wait must end with it. */
  readonly signal: AbortSignal
  /** `topic-partition` of a place (`placeOf`): the same in every version of a job. */
  readonly placeName: (place: number) => string
  readonly registry: (settings: RegistrySettings) => SchemaRegistry
}

export interface OpenDecoder {
  readonly decode: Decode
  /** Before the records are decoded. A promise: something about them must be fetched first, which is bounded in time. */
  prepare(records: RawRecords): Promise<void> | undefined
}

export interface OpenEncoder {
  readonly encode: Encode
  readonly headers?: EncodeHeaders | undefined
  /** Of the records' keys. Absent: as the sink says. */
  readonly key?: Encode | undefined
}

export type OpenDecoding = (context: CodecContext) => Promise<OpenDecoder>
export type OpenEncoding = (context: CodecContext) => Promise<OpenEncoder>

// ---- schema registry ------------------------------------------------------------------------------------------------

/** By reference: the name of a variable in the environment of the task-managers, or the path of a file they can read. */
export type SecretReference = { readonly env: string } | { readonly file: string }

export interface RegistrySettings {
  /** Of the REST protocol, e.g. `https://registry:8081`, or with a path. */
  readonly url: string
  readonly auth?:
    { readonly username: SecretReference; readonly password: SecretReference } | { readonly token: SecretReference }
}

export type SchemaType = 'AVRO' | 'PROTOBUF' | 'JSON'

/** What a schema imports: under the given name it finds a version of another subject. */
export interface SchemaReference {
  readonly name: string
  readonly subject: string
  readonly version: number
}
export interface RegistrySchema {
  readonly schemaType: SchemaType
  readonly schema: string
  readonly references: readonly SchemaReference[]
}
export interface SchemaVersion extends RegistrySchema {
  readonly id: number
  readonly version: number
}

/**
 * Confluent's REST protocol. Every call is tried again within bounds. They throw WeirError:
 * - `SCHEMA_UNKNOWN` (invalid): no such id, subject or version
 * - `SCHEMA_INCOMPATIBLE`, `SCHEMA_INVALID` (invalid): the registry does not take the schema
 * - `REGISTRY_DENIED`, `REGISTRY_REFUSED` (invalid): credentials, or an answer that is none of a registry
 * - `REGISTRY_UNREACHABLE` (retry): no answer within the tries
 */
export interface SchemaRegistry {
  byId(id: number): Promise<RegistrySchema>
  version(subject: string, version: number | 'latest'): Promise<SchemaVersion>
  /** The version of the subject that has this schema. */
  lookup(subject: string, schema: RegistrySchema): Promise<SchemaVersion>
  /** Adds it to the subject unless it is there. */
  register(subject: string, schema: RegistrySchema): Promise<SchemaVersion>
}
