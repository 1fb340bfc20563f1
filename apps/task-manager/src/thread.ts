/** The threads of a task-manager are one file each (`tools/bundle-workers.mjs`); what V8 has compiled of it is kept for the next one. */
import { join } from 'node:path'
import { Worker, type WorkerOptions } from 'node:worker_threads'

/** @param dataDir where compiled code is kept; a thread has to flush it (`module.flushCompileCache`) */
export function startThread(file: 'slot' | 'janitor', dataDir: string, options: WorkerOptions): Worker {
  const env = { ...process.env, NODE_COMPILE_CACHE: join(dataDir, 'compiled') }
  return new Worker(new URL(`./threads/${file}.js`, import.meta.url), { ...options, env })
}
