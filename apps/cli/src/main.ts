#!/usr/bin/env node
/** Runs `weir` (`program.ts`) as `tools/bundle.mjs` made it. V8 keeps what it compiled beside it, where that can be written. */
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

enableCompileCache(join(import.meta.dirname, '../.compiled'))
await import(new URL('./bundled/program.js', import.meta.url).href)
