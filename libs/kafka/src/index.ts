export { KafkaConnections, type KafkaConnectionOptions } from './connections.ts'
export { KafkaSource, type KafkaSourceOptions } from './source.ts'
export { KafkaSink, type KafkaSinkDeps, type KafkaSinkOptions } from './sink.ts'
export { initProducerId, listTransactions } from './wire/apis.ts'
