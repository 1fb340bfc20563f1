// `npm run check:tikv`: TiKV clients of others on the tests' peer (test/tikv). Needs Go, a JDK with Maven and Python with pip;
// the first run builds them, which takes minutes. Not part of `npm test` for that reason.
import { spawnSync } from 'node:child_process'
import { ensureInstalled, pinnedNode, root } from './setup.mjs'

ensureInstalled()
const args = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'tikv', ...process.argv.slice(2)]
const { status } = spawnSync(pinnedNode(), args, { cwd: root, stdio: 'inherit' })
process.exitCode = status ?? 1
