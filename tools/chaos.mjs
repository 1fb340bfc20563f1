// npm run chaos -- [--rounds N] [--seed S] [--scenario NAME]: see test/chaos/main.ts. It starts servers of its own.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ensureBuilt, ensureInstalled, pinnedNode, root } from './setup.mjs'

ensureInstalled()
ensureBuilt()
const flags = ['--conditions=@weir/source', '--disable-warning=ExperimentalWarning']
const args = [...flags, join(root, 'test/chaos/main.ts'), ...process.argv.slice(2)]
const { status } = spawnSync(pinnedNode(), args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
process.exit(status ?? 1)
