// Runs the examples of docs/GRPC.md with a real grpcurl: those in the clear on a fleet that is there, those with mTLS and a token on
// one of their own. Node of the project, plain JavaScript.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { examplesIn, wrong } from './console-examples.mjs'
import { bin, goBinary } from './install.mjs'
import { root } from './setup.mjs'

const GRPCURL = 'v1.9.3'
const TEXT = 'docs/GRPC.md'

const addresses = ({ manager, taskManagers: [worker] }) => ({
  JOB_MANAGER: manager.ready.grpc,
  TASK_MANAGER: worker.ready.grpc,
})

/** @param plain a fleet that runs the payments example. @returns how many examples failed */
export async function checkGrpc(plain) {
  goBinary('grpcurl', GRPCURL, 'github.com/fullstorydev/grpcurl/cmd/grpcurl')
  const blocks = examplesIn(readFileSync(join(root, TEXT), 'utf8'))
  const inClear = run(
    blocks.filter(({ name }) => name === ''),
    addresses(plain),
  )
  return inClear + (await withTls(blocks.filter(({ name }) => name === 'tls')))
}

async function withTls(blocks) {
  const { TestAuthority } = await import('../libs/wire/dist/tls/testing.js')
  const { EmbeddedFleet } = await import('../apps/cli/dist/embedded-fleet.js')
  const { certificate, key, ca } = new TestAuthority('examples').issue()
  const env = { WEIR_TLS_CERT: certificate, WEIR_TLS_KEY: key, WEIR_TLS_CA: ca, WEIR_FLEET_TOKEN: 'of-the-examples' }
  Object.assign(process.env, env) // its processes inherit it
  const fleet = await EmbeddedFleet.start({ taskManagers: 1, slots: 1 })
  try {
    return run(blocks, addresses(fleet))
  } finally {
    await fleet.stop()
    for (const name of Object.keys(env)) delete process.env[name]
  }
}

function run(blocks, variables) {
  const env = { ...process.env, ...variables, PATH: `${bin}:${process.env.PATH}` }
  const examples = blocks.flatMap((block) => block.examples)
  if (examples.length === 0) throw new Error(`${TEXT} has no examples where some are expected`)
  const failures = examples.map((example) => wrong(example, env)).filter((said) => said !== null)
  for (const failure of failures) console.log(failure)
  console.log(`${TEXT}: ${examples.length - failures.length} of ${examples.length} examples answer as they say`)
  return failures.length
}
