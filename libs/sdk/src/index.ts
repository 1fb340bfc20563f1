export {
  aggregate,
  deduplicate,
  everyCount,
  filter,
  flatMap,
  identity,
  keyBy,
  keyedBySource,
  keyedProcess,
  map,
  reduce,
  RestoreHooks,
  run,
  purging,
  sessionize,
  sideOutput,
  stateSchema,
  windowAggregate,
  windowCount,
  windowProcess,
  windowReduce,
  type ExecuteContext,
  type FoldOptions,
  type Keyed,
  type OffsetPolicy,
  type OutputRecord,
  type RegistrySettings,
  type SinkHeader,
  type PrepareContext,
  type RestoreContext,
  type RestoreHook,
  type ResumableOperator,
  type SnapshotContext,
  type StateSchema,
  type AggregatingState,
  type EventTimer,
  type FiredTimer,
  type BroadcastProcess,
  type KeyedConnect,
  type KeyedContext,
  type KeyedProcess,
  type ListState,
  type SideOutput,
  type SideOutputs,
  type MapState,
  type None,
  type Out,
  type ProcessingTimer,
  type Aggregate,
  type JoinLate,
  type Late,
  type MergingAggregate,
  type Session,
  type Transform,
  type Trigger,
  type ValueState,
  type WindowAggregate,
  type WindowBounds,
  type WindowContext,
  type WindowOut,
  type WindowProcess,
  type WindowProcessOptions,
  type MergingWindowAggregate,
  type WindowResult,
  type CustomWatermarks,
  asyncMap,
  type CallContext,
  type Conflict,
  type Origin,
  type RecordContext,
} from '@weir/dataflow'
export {
  job,
  type Applied,
  type Flow,
  type KeyKind,
  type KeyedStream,
  type Settings,
  type SidedStream,
  type Stream,
} from './job.ts'
export { broadcastState } from './joins.ts'
export type {
  BroadcastStream,
  ConnectedStreams,
  IntervalBounds,
  IntervalJoin,
  JoinableWindow,
  JoinedStreams,
  KeyedWithBroadcast,
  WithBroadcastStream,
  WindowedJoin,
} from './joins.ts'
export {
  countWindow,
  everyEventTime,
  everyProcessingTime,
  globalWindow,
  session,
  sliding,
  tumbling,
  type GlobalWindow,
  type GlobalWindowedStream,
  type MergingWindowed,
  type MergingWindowedStream,
  type SessionGap,
  type Sliding,
  type SlidingWindowedStream,
  type Timed,
  type Tumbling,
  type WholeWindowed,
  type WindowFolds,
  type WindowOptions,
  type Windowed,
  type WindowedStream,
} from './windows.ts'
export { aggregatingState, listState, mapState, valueState, type StateOptions } from './state.ts'
export type { Codec } from './codecs/codec.ts'
export { cloudEvents, type CloudEvent, type CloudEventInit, type CloudEventsOptions } from './codecs/cloud-events.ts'
export {
  headerText,
  withHeaders,
  withNamedHeaders,
  type WithHeaders,
  type WithNamedHeaders,
  type WithSinkHeaders,
} from './codecs/headers.ts'
export { json, type Schema } from './codecs/json.ts'
export { jsonFields, type JsonField, type JsonFields } from './codecs/json-fields.ts'
export { avro } from './codecs/avro.ts'
export type { AvroOptions, AvroSchema } from './codecs/avro-type.ts'
export { messageType, protoJson, protobuf } from './codecs/protobuf.ts'
export { env, file, schemaRegistry, type RegistryCodecs } from './codecs/registry/registry.ts'
export type { RegistryAvroOptions } from './codecs/registry/avro.ts'
export type { RegistryJsonOptions } from './codecs/registry/json.ts'
export type { SubjectNameStrategy, WriterOptions } from './codecs/registry/writer.ts'
export {
  datagen,
  kafka,
  type KafkaTopicOptions,
  log,
  type Payment,
  type PaymentsOptions,
  type Sink,
  type SinkOptions,
  type Source,
  type TopicOptions,
} from './connectors.ts'
export { params, type ParamDefaults, type Params } from './params.ts'
export { boundedOutOfOrderness, customWatermarks, monotonous, type WatermarkStrategy } from './watermarks.ts'
export {
  tiered,
  tikv,
  type PostgresClaimsOptions,
  type TieredClaimsOptions,
  type TikvClaimsOptions,
} from './claim-stores.ts'
export type { CallOptions } from './calls.ts'
export {
  fields,
  fieldsAndSecond,
  idempotent,
  redis,
  type Claims,
  type Fingerprint,
  type IdempotentOptions,
  type RedisClaimsOptions,
} from './idempotent.ts'
export { durationMs, type Duration } from './duration.ts'
export { postgres, type PostgresSinkOptions } from './postgres.ts'
export {
  ndjson,
  parquet,
  type FilesSinkOptions,
  type NdjsonFolderOptions,
  type NdjsonSinkOptions,
  type ParquetSinkOptions,
  type ParquetType,
} from './files.ts'
export { http, type HttpSinkOptions } from './http.ts'
export type { Change, ChangesOptions } from './postgres-changes.ts'
