// `npm run check:api [-- schemathesis options]`: the REST API of a fleet that runs a job is asked everything its description allows,
// and what it does not allow, by Schemathesis (all checks, stateful); before that, the examples of docs/GRPC.md by grpcurl. Needs
// Python 3, Go and openssl; fetches the rest once. Node 20, plain JS.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { checkGrpc } from './check-grpc.mjs'
import { pythonWith } from './install.mjs'
import { ensureBuilt, ensureInstalled, pinnedNode, root } from './setup.mjs'

const SCHEMATHESIS = '4.32.5'
const EXAMPLES = '40'
/** Keys of state may be anything that fits a path: most of what is drawn does not, and is drawn again. */
const LENIENT = ['--suppress-health-check', 'filter_too_much']
/** Streams of events do not end, and have tests of their own. */
const ENDLESS = '/events$'
const JOB = 'apps/examples/src/02-payments.ts'
const TOPICS = ['payment-sums', 'payment-counts']

ensureInstalled()
ensureBuilt()
const python = pythonWith(`schemathesis-${SCHEMATHESIS}`, [`schemathesis==${SCHEMATHESIS}`])
const { LogClient } = await import('@weir/connectors')
const { EmbeddedFleet } = await import('../apps/cli/dist/embedded-fleet.js')
const fleet = await EmbeddedFleet.start({ taskManagers: 2, slots: 4 })
try {
  const { grpc, http } = fleet.manager.ready
  const log = new LogClient(fleet.manager.ready.log)
  for (const topic of TOPICS) await log.createTopic(topic, 4)
  log.close()
  const weir = ['apps/cli/dist/main.js', 'submit', JOB, '--job-manager', grpc]
  const submitted = spawnSync(pinnedNode(), weir, { cwd: root, stdio: 'inherit' })
  if (submitted.status !== 0) throw new Error(`the job could not be submitted: exit code ${submitted.status}`)
  const failed = await checkGrpc(fleet)
  const args = [
    '--config-file',
    'tools/schemathesis.toml',
    'run',
    `http://${http}/docs-json`,
    '--exclude-path-regex',
    ENDLESS,
    '--checks',
    'all',
    '--max-examples',
    EXAMPLES,
    '--no-color',
    ...LENIENT,
  ]
  // Not spawnSync: the fleet's logs must be read, or it stands still when the pipe is full.
  const run = spawn(join(dirname(python), 'schemathesis'), [...args, ...process.argv.slice(2)], { stdio: 'inherit' })
  const [status] = await once(run, 'exit')
  const sound = status === 0 && failed === 0
  console.log(sound ? 'api: sound' : 'api: not what its description says')
  process.exitCode = sound ? 0 : 1
} finally {
  await fleet.stop()
}
