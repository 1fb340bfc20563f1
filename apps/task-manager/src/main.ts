/** Starts a task-manager (`program.ts`) as `tools/bundle.mjs` made it. V8 keeps what it compiled beside it, where that can be written. */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { join } from 'node:path'

/** What a start and a first job need is compiled by then. */
const COMPILED_AFTER_MS = 20_000

enableCompileCache(join(import.meta.dirname, '../.compiled'))
await import(new URL('./bundled/program.js', import.meta.url).href)
setTimeout(flushCompileCache, COMPILED_AFTER_MS).unref()
