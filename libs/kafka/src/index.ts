export { KafkaConnections, type KafkaConnectionOptions } from './connections.ts'
export { KafkaSource, type KafkaSourceOptions } from './source.ts'
export { KafkaSink, type KafkaSinkOptions } from './sink.ts'
export { listTransactions } from './wire/apis.ts'
