/** The threads of a task-manager are one file each (`tools/bundle-workers.mjs`); what V8 has compiled of it is kept for the next one. */
import { join } from 'node:path'
import { Worker, type WorkerOptions } from 'node:worker_threads'

/**
 * V8 would take 96 MiB per thread for objects that have just been made. What is alive of a batch is little: a quarter of it cost no CPU
 * that could be measured in the peers' bench, and its process had 60 MiB less.
 */
const YOUNG_GENERATION_MIB = 24

/** @param dataDir where compiled code is kept; a thread has to flush it (`module.flushCompileCache`) */
export function startThread(file: 'slot' | 'janitor', dataDir: string, options: WorkerOptions): Worker {
  const env = { ...process.env, NODE_COMPILE_CACHE: join(dataDir, 'compiled') }
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB }
  return new Worker(new URL(`./threads/${file}.js`, import.meta.url), { ...options, env, resourceLimits })
}
