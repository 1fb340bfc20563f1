/** Starts processes of the fleet as children and waits until they say that they are ready. */
import { WeirError } from '@weir/model'
import { spawn, type ChildProcess } from 'node:child_process'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { ownModule } from './own-module.ts'

export interface FleetProcess {
  readonly child: ChildProcess
  readonly ready: { readonly grpc?: string; readonly http: string; readonly log?: string }
}

type App = 'job-manager' | 'task-manager'

const READY_TIMEOUT_MS = 30_000

/** As in the image (deploy/images/Dockerfile has why). */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=4']
export const NODE_ENV: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '2' }

/** What Node is started with. */
export const launchOf = (
  app: App,
  env: Readonly<Record<string, string>>,
): { readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv } => ({
  args: [...NODE_FLAGS, '--import', ownModule('with-parent'), createRequire(import.meta.url).resolve(`@weir/${app}`)],
  env: { ...NODE_ENV, ...process.env, ...env },
})

/**
 * Ends with the process that starts it. Ctrl-C is not for it but for that one, which may have something to settle first.
 * Throws `PROCESS_NOT_READY` (retry) with what the process said.
 */
export async function startProcess(app: App, env: Readonly<Record<string, string>>): Promise<FleetProcess> {
  const launch = launchOf(app, env)
  const child = spawn(process.execPath, launch.args, {
    env: launch.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  let said = ''
  child.stderr.on('data', (data: Buffer) => {
    said = (said + data.toString()).slice(-4_000)
    if (process.env['WEIR_LOG_LEVEL']) process.stderr.write(data)
  })
  const ready = await new Promise<FleetProcess['ready']>((resolve, reject) => {
    const fail = (why: string): void => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      reject(new WeirError({ code: 'PROCESS_NOT_READY', kind: 'retry', app }, `the ${app} ${why}: ${said.trim()}`))
    }
    const timer = setTimeout(() => fail(`was not ready within ${READY_TIMEOUT_MS} ms`), READY_TIMEOUT_MS)
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code) => fail(`ended with code ${code}`))
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!line.startsWith('{"ready"')) return
      clearTimeout(timer)
      resolve(JSON.parse(line) as FleetProcess['ready'])
    })
  })
  return { child, ready }
}

/** SIGTERM, and SIGKILL for who does not go. */
export function stopProcess({ child }: FleetProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.kill('SIGTERM')
  })
}
