/**
 * A job-manager and a task-manager in one process, as the peers run: metadata and checkpoints in a folder, the job on real
 * Kafka. The layout of a bench: a fleet has them apart, so that one outlives the other. Started as a bundle, as they are.
 */
import { flushCompileCache } from 'node:module'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'

/** What starts and reads is compiled by then, for the next run. */
const COMPILED_AFTER_MS = 3_000

const [dir, grpcPort] = process.argv.slice(2) as [string, string]
Object.assign(process.env, {
  WEIR_MODE: 'embedded',
  WEIR_DATA_DIR: join(dir, 'manager'),
  WEIR_GRPC_PORT: grpcPort,
  WEIR_HTTP_PORT: '0',
})
await import('../../../apps/job-manager/dist/program.js')
// It keeps its heap small at the price of CPU; here the heap of the slots is behind the same flag.
setFlagsFromString('--heap-growing-percent=0')
Object.assign(process.env, {
  WEIR_GRPC_PORT: '0',
  WEIR_JOB_MANAGERS: `127.0.0.1:${grpcPort}`,
  WEIR_OBJECTS_DIR: join(dir, 'manager', 'objects'),
  WEIR_DATA_DIR: join(dir, 'worker'),
})
await import('../../../apps/task-manager/dist/program.js')
console.log(JSON.stringify({ started: true }))
setTimeout(flushCompileCache, COMPILED_AFTER_MS)
