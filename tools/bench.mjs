// npm run bench -- NAME [OPTIONS]: runs test/bench/NAME.ts on the real servers; the last line is one JSON object.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ensureBuilt, ensureInstalled, pinnedNode, root } from './setup.mjs'

const [name] = process.argv.slice(2).filter((a) => !a.startsWith('--'))
const folder = join(root, 'test/bench')
const names = readdirSync(folder).flatMap((f) => (/^[a-z-]+\.ts$/.test(f) ? [f.slice(0, -3)] : []))
if (name === undefined || !existsSync(join(folder, `${name}.ts`))) {
  console.error(`usage: npm run bench -- ${names.join('|')}`)
  process.exit(2)
}
ensureInstalled()
ensureBuilt()
const node = pinnedNode()
/** These kill servers: they have servers of their own. */
const PRIVATE = ['peers']
/** These need none. */
const SERVERLESS = ['buffers', 'rate', 'traces']
const stack = (...args) =>
  spawnSync(node, ['tools/stack/stack.mjs', ...args], { cwd: root, stdio: ['ignore', 'pipe', 2] })
const before = JSON.parse(stack('status').stdout.toString())
const shared = !PRIVATE.includes(name) && !SERVERLESS.includes(name)
if (shared && stack('up').status !== 0) process.exit(1)
const flags = ['--conditions=@weir/source', '--disable-warning=ExperimentalWarning']
const args = [...flags, join(folder, `${name}.ts`), ...process.argv.slice(2).filter((a) => a !== name)]
const { status } = spawnSync(node, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
if (shared && Object.values(before).every((server) => server === null)) stack('down')
process.exit(status ?? 1)
