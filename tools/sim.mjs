// npm run sim: the whole fleet in one process, seed by seed (test/simulation).
// npm run sim -- --explore […]: every interleaving of the real machines within small bounds (test/exploration).
// Sets itself up on a fresh clone; plain JavaScript for the Node that is already there.
import { spawnSync } from 'node:child_process'
import { ensureInstalled, pinnedNode, root } from './setup.mjs'

const entries = { '--explore': 'test/exploration/main.ts', '--simulate': 'test/simulation/main.ts' }
const args = process.argv.slice(2)
const mode = Object.keys(entries).find((flag) => args.includes(flag)) ?? '--simulate'
ensureInstalled()
const node = ['--max-old-space-size=8192', '--conditions=@weir/source', '--disable-warning=ExperimentalWarning']
const { status } = spawnSync(pinnedNode(), [...node, entries[mode], ...args.filter((arg) => arg !== mode)], {
  cwd: root,
  stdio: 'inherit',
})
process.exit(status ?? 1)
