// Runs the examples of docs/GRPC.md with a real grpcurl: those in the clear on a fleet that is there, those with mTLS and a token on
// one of their own. Node of the project, plain JavaScript.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { examplesIn, wrong } from './console-examples.mjs'
import { bin, goBinary } from './install.mjs'
import { root } from './setup.mjs'

const GRPCURL = 'v1.9.3'
const TEXT = 'docs/GRPC.md'
const READY_TIMEOUT_MS = 30_000
const READY_PAUSE_MS = 50

const addresses = ({ manager, taskManagers: [worker] }) => ({
  JOB_MANAGER: manager.ready.grpc,
  TASK_MANAGER: worker.ready.grpc,
})

/** @param plain a fleet that runs the payments example. @param say where to. @returns how many examples failed */
export async function checkGrpc(plain, say) {
  goBinary('grpcurl', GRPCURL, 'github.com/fullstorydev/grpcurl/cmd/grpcurl')
  const blocks = examplesIn(readFileSync(join(root, TEXT), 'utf8'))
  const inClear = await run(
    blocks.filter(({ name }) => name === ''),
    plain,
    say,
  )
  return (
    inClear +
    (await withTls(
      blocks.filter(({ name }) => name === 'tls'),
      say,
    ))
  )
}

/** A process says where it listens before it has joined its fleet: until then it does not serve, as it should. */
export async function untilReady(processes, timeoutMs = READY_TIMEOUT_MS) {
  const signal = AbortSignal.timeout(timeoutMs)
  for (const { ready } of processes) {
    const url = `http://${ready.http}/readyz`
    while (!(await fetch(url, { signal })).ok) await setTimeout(READY_PAUSE_MS, undefined, { signal })
  }
}

async function withTls(blocks, say) {
  const { TestAuthority } = await import('../libs/wire/dist/tls/testing.js')
  const { EmbeddedFleet } = await import('../apps/cli/dist/embedded-fleet.js')
  const { certificate, key, ca } = new TestAuthority('examples').issue()
  const env = { WEIR_TLS_CERT: certificate, WEIR_TLS_KEY: key, WEIR_TLS_CA: ca, WEIR_FLEET_TOKEN: 'of-the-examples' }
  Object.assign(process.env, env) // its processes inherit it
  const fleet = await EmbeddedFleet.start({ taskManagers: 1, slots: 1 })
  try {
    return await run(blocks, fleet, say)
  } finally {
    await fleet.stop()
    for (const name of Object.keys(env)) delete process.env[name]
  }
}

async function run(blocks, fleet, say) {
  await untilReady([fleet.manager, ...fleet.taskManagers])
  const env = { ...process.env, ...addresses(fleet), PATH: `${bin}:${process.env.PATH}` }
  const examples = blocks.flatMap((block) => block.examples)
  if (examples.length === 0) throw new Error(`${TEXT} has no examples where some are expected`)
  const failures = examples.map((example) => wrong(example, env)).filter((said) => said !== null)
  for (const failure of failures) say(failure)
  say(`${TEXT}: ${examples.length - failures.length} of ${examples.length} examples answer as they say`)
  return failures.length
}
