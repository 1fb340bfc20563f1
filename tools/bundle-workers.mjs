// The threads of a task-manager as one file each, with what both need in files between them: a thread that loads 900 modules
// one by one takes twice as long, and a slot waits for it. Native packages stay where they are; so does msgpackr, of which there
// must be one (its extensions are global).
import { rmSync } from 'node:fs'
import { build } from 'esbuild'

const DIST = 'apps/task-manager/dist'
/** For what esbuild leaves as `require`: Node's own modules, in CommonJS packages. */
const REQUIRE =
  "import { createRequire as __weirCreateRequire } from 'node:module'; const require = __weirCreateRequire(import.meta.url);"

rmSync(`${DIST}/threads`, { recursive: true, force: true })
await build({
  entryPoints: ['slot', 'janitor'].map((name) => `${DIST}/${name}.js`),
  outdir: `${DIST}/threads`,
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  minifyWhitespace: true,
  sourcemap: true,
  sourcesContent: false,
  external: ['@node-rs/crc32', 'classic-level', 'lz4-napi', 'msgpackr', 'snappy'],
  banner: { js: REQUIRE },
  logLevel: 'warning',
})
