export {
  filter,
  flatMap,
  identity,
  keyBy,
  keyedBySource,
  map,
  reduce,
  run,
  stateSchema,
  windowCount,
  windowReduce,
  type FoldOptions,
  type Keyed,
  type StateSchema,
  type Transform,
  type WindowResult,
} from '@weir/dataflow'
export {
  job,
  type Applied,
  tumbling,
  type Flow,
  type KeyedStream,
  type Settings,
  type Stream,
  type Tumbling,
  type WindowedStream,
} from './job.ts'
export { json, type Codec, type Schema } from './codec.ts'
export {
  datagen,
  kafka,
  log,
  type Payment,
  type PaymentsOptions,
  type Sink,
  type SinkOptions,
  type Source,
  type TopicOptions,
} from './connectors.ts'
export { params, type ParamDefaults, type Params } from './params.ts'
export { durationMs, type Duration } from './duration.ts'
