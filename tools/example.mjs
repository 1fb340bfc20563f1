// npm run example -- NN [--kill]: sets itself up, then runs one job of the tour on the pinned Node. Node 20, plain JS.
import { spawn } from 'node:child_process'
import { ensureBuilt, ensureInstalled, pinnedNode, root } from './setup.mjs'

ensureInstalled()
ensureBuilt()
const args = ['apps/cli/dist/example.js', ...process.argv.slice(2)]
const child = spawn(pinnedNode(), args, { cwd: root, stdio: 'inherit' })
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('exit', (code) => process.exit(code ?? 1))
