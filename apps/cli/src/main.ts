#!/usr/bin/env node
/**
 * Runs `weir` (`program.ts`) as `tools/bundle.mjs` made it. V8 keeps what it compiled beside it, where that can be written. An older Node is told
 * so here, since it could not load the rest.
 */
import * as module from 'node:module'
import { join } from 'node:path'

const NODE_MIN = 24

if (Number(process.versions.node.split('.')[0]) < NODE_MIN) {
  console.error(
    `weir: Node ${NODE_MIN} or newer is needed, and this is ${process.version}: install it first (nodejs.org, nvm, fnm).`,
  )
  process.exit(2)
}
module.enableCompileCache(join(import.meta.dirname, '../.compiled'))
await import(new URL('./bundled/program.js', import.meta.url).href)
