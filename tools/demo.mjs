// npm run demo [-- --records N --rate N --exit]: sets itself up, then runs the demo on the pinned Node. Node 20, plain JS.
import { spawn } from 'node:child_process'
import { ensureBuilt, ensureInstalled, pinnedNode, root } from './setup.mjs'

ensureInstalled()
ensureBuilt()
const child = spawn(pinnedNode(), ['apps/cli/dist/demo.js', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' })
// Ctrl-C reaches both; the demo decides when it is over.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('exit', (code) => process.exit(code ?? 1))
