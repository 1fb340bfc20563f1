/** The threads of a task-manager are one file each (`tools/bundle.mjs`); what V8 has compiled of it is kept for the next one. */
import { createRequire, getCompileCacheDir } from 'node:module'
import { dirname, join } from 'node:path'
import { Worker, type WorkerOptions } from 'node:worker_threads'

/**
 * For objects that have just been made, in MiB; V8 would take 96. What is alive of a batch is little: a quarter of the room cost no CPU that could be measured
 * in the peers' bench. An eighth saved 18 MiB more for two slots, and windows took a fifth more CPU.
 */
const YOUNG_GENERATION_MIB = { slot: 24, janitor: 3 }
/** Wherever this file was bundled to. */
const THREADS = join(dirname(createRequire(import.meta.url).resolve('@weir/task-manager/package.json')), 'dist/threads')

/**
 * @param dataDir where compiled code is kept if the process cannot keep it beside the code; a thread has to flush it
 *   (`module.flushCompileCache`)
 */
export function startThread(file: keyof typeof YOUNG_GENERATION_MIB, dataDir: string, options: WorkerOptions): Worker {
  const env = { ...process.env, NODE_COMPILE_CACHE: getCompileCacheDir() ?? join(dataDir, 'compiled') }
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB[file] }
  return new Worker(join(THREADS, `${file}.js`), { ...options, env, resourceLimits })
}
