// The layer rule as a table: which rooms a room may import. Imports only point downwards, siblings do not know each
// other (ARCHITECTURE.md). eslint.config.js turns this into rules; layers.test.ts proves that they bite.
const core = ['model', 'dataflow', 'checkpoint']
export const rooms = {
  proto: [],
  model: [],
  dataflow: ['model'],
  checkpoint: ['model'],
  job: core,
  runtime: core,
  state: [...core, 'runtime'],
  kafka: [...core, 'runtime'],
  connectors: [...core, 'runtime', 'proto'],
  idempotency: [...core, 'runtime', 'proto'],
  metadata: [...core, 'runtime'],
  wire: [...core, 'runtime', 'job', 'proto'],
  telemetry: ['model'],
  sdk: ['model', 'dataflow'],
  pipeline: ['model', 'dataflow', 'sdk'],
}
/** Entries of a room that the rest of it must not import. */
export const entries = {
  // The real clock and randomness: slices are given theirs.
  'runtime/system': ['model'],
  // A job in a test: the engine, which a job file must not draw into its bundle.
  'sdk/testing': [...core, 'runtime', 'state'],
}
/** Rooms without I/O, clock or randomness. */
export const pure = ['model', 'dataflow', 'checkpoint', 'job']
export const io = ['node:*', 'kafkajs', 'kafkajs/*', 'etcd3', '@grpc/*', '@aws-sdk/*', 'classic-level', 'ioredis', 'pg']
