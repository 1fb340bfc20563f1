// `npm run check:api [-- schemathesis options]`: the REST API of a fleet that runs a job is asked everything its description allows,
// and what it does not allow, by Schemathesis (all checks, stateful); before that, the examples of docs/GRPC.md by grpcurl. What was
// said, and every request with its answer, is kept until the next run; `--seed N` draws the same again, but for what is taken from
// answers (epochs, ids). Needs Python 3, Go and openssl; fetches the rest once. Node 20, plain JS.
import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream, mkdirSync, rmSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { checkGrpc } from './check-grpc.mjs'
import { pythonWith } from './install.mjs'
import { ensureBuilt, ensureInstalled, pinnedNode, root } from './setup.mjs'

const SCHEMATHESIS = '4.32.5'
const EXAMPLES = '40'
/** Keys of state may be anything that fits a path: most of what is drawn does not, and is drawn again. */
const LENIENT = ['--suppress-health-check', 'filter_too_much']
/** Nothing is drawn because a run before drew it. */
const REPEATABLE = ['--generation-database', 'none']
/** Requests and answers as they were. */
const WHOLE = ['--output-sanitize', 'false', '--output-truncate', 'false', '--report', 'vcr']
/** Streams of events do not end, and have tests of their own. */
const ENDLESS = '/events$'
const JOB = 'apps/examples/src/02-payments.ts'
const TOPICS = ['payment-sums', 'payment-counts']
const KEPT = join(root, '.weir/check-api')
const SEED_BOUND = 2 ** 32

rmSync(KEPT, { recursive: true, force: true })
mkdirSync(KEPT, { recursive: true })
const output = createWriteStream(join(KEPT, 'output.txt'))
const write = (text) => {
  process.stdout.write(text)
  output.write(text)
}
const say = (line) => write(`${line}\n`)

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
  const failed = await checkGrpc(fleet, say)
  const asked = process.argv.slice(2)
  // Said first: a run that is ended from outside has no summary.
  const seed = asked.some((option) => option.startsWith('--seed')) ? [] : ['--seed', String(randomInt(SEED_BOUND))]
  say(`asking with ${[...seed, ...asked].join(' ')}`)
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
    ...REPEATABLE,
    ...WHOLE,
    '--report-vcr-path',
    join(KEPT, 'requests.yaml'),
    ...seed,
    ...asked,
  ]
  // Not spawnSync: the fleet's logs must be read, or it stands still when the pipe is full.
  const run = spawn(join(dirname(python), 'schemathesis'), args, { stdio: ['inherit', 'pipe', 'pipe'] })
  run.stdout.setEncoding('utf8').on('data', write)
  run.stderr.setEncoding('utf8').on('data', write)
  const [status] = await once(run, 'close')
  const sound = status === 0 && failed === 0
  say(
    sound
      ? 'api: sound'
      : `api: not what its description says; ${relative(root, KEPT)} has all that was asked and answered`,
  )
  process.exitCode = sound ? 0 : 1
} finally {
  await fleet.stop()
  output.end()
}
