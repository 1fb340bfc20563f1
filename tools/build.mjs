// Generated code, one `tsc -b` over the workspace with the native compiler, the bundles of what is started, then the dashboard. Type errors fail
// the build.
import { execFileSync } from 'node:child_process'
import { ensureInstalled, linkRooms, pinnedNode } from './setup.mjs'

ensureInstalled()
await import('./generate.mjs') // needs what is installed

const TSC = 'node_modules/typescript-native/bin/tsc'
const run = (...args) => execFileSync(pinnedNode(), args, { stdio: 'inherit' })

linkRooms()
try {
  run(TSC, '-b', ...process.argv.slice(2))
  run('tools/bundle.mjs')
  run(TSC, '-p', 'apps/dashboard/tsconfig.json')
  run('node_modules/vite/bin/vite.js', 'build', '-c', 'apps/dashboard/vite.config.ts', '--logLevel', 'warn')
} catch (error) {
  process.exit(error.status ?? 1)
}
