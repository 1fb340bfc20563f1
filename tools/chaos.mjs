// npm run chaos -- [--rounds N] [--seed S] [--scenario NAME]: see test/chaos/main.ts. It starts servers of its own.
// npm run chaos -- --tour: every job of the tour through `weir prove`, at every crash point.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ensureBuilt, ensureInstalled, pinnedNode, root } from './setup.mjs'

ensureInstalled()
ensureBuilt()
const flags = ['--conditions=@weir/source', '--disable-warning=ExperimentalWarning']
const TOUR = 'apps/cli/src/prove/tour.fleet.test.ts'
const isTour = process.argv.includes('--tour')
const args = isTour
  ? ['node_modules/vitest/vitest.mjs', 'run', '--project', 'integration', TOUR, '--reporter=verbose']
  : [...flags, join(root, 'test/chaos/main.ts'), ...process.argv.slice(2)]
const env = { ...process.env, ...(isTour && { WEIR_TOUR_POINTS: 'all' }) }
const { status } = spawnSync(pinnedNode(), args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] })
process.exit(status ?? 1)
