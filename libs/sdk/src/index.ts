export {
  job,
  tumbling,
  type Flow,
  type KeyedStream,
  type Settings,
  type Stream,
  type Tumbling,
  type WindowedStream,
} from './job.ts'
export { json, type Codec, type Schema } from './codec.ts'
export { kafka, type Sink, type Source, type TopicOptions } from './connectors.ts'
export { durationMs, type Duration } from './duration.ts'
