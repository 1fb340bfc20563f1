/** `weir dev` watches: a changed job goes on with the state it has, exactly once. Needs `npm run build`. */
import { LogClient } from '@weir/connectors'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readCommitted } from './read-log.ts'

const main = new URL('../dist/main.js', import.meta.url).pathname
const job = (version: string, more = ''): string => `
  import { datagen, job, json, log } from '@weir/sdk'
  export default job('numbered', { parallelism: 2, checkpoint: { intervalMs: 200, minPauseMs: 0 } }, (flow) =>
    flow
      .from(datagen.payments({ users: 5, splits: 2, recordsPerSplit: null, recordsPerSecond: 400 }), 'payments')
      .keyBy((payment) => payment.user, 'by-user')
      .reduce('count', { n: 0 }, (acc) => ({ n: acc.n + 1 }))
      .map(({ n }) => ({ n, version: '${version}' }), 'tag')${more}
      .to(log.sink('out', { value: json() }), 'out'))`

let dir: string
let child: ChildProcess
let said: Readonly<Record<string, unknown>>[] = []
function dev(...more: readonly string[]): void {
  said = []
  const args = ['dev', join(dir, 'job.ts'), '--json', '--data-dir', join(dir, 'data'), ...more]
  child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = said
  createInterface({ input: child.stdout! }).on('line', (line) => lines.push(JSON.parse(line) as never))
}
async function ended(signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
  await once(child, 'exit')
}
type Row = { readonly user: string; readonly n: number; readonly version: string }
async function outputs(log: LogClient): Promise<readonly Row[]> {
  return (await readCommitted(log, 'out')).map(({ key, value }) => ({
    user: Buffer.from(key!).toString(),
    ...(JSON.parse(Buffer.from(value!).toString()) as { n: number; version: string }),
  }))
}
function isEachOnce(rows: readonly Row[]): void {
  const byUser = Map.groupBy(rows, ({ user }) => user)
  expect(byUser.size).toBe(5)
  for (const numbers of byUser.values())
    expect(numbers.map(({ n }) => n).sort((a, b) => a - b)).toEqual(numbers.map((_, i) => i + 1))
}
/** The first line that fits, of those there are or will be. */
async function told(
  fits: (line: Readonly<Record<string, unknown>>) => boolean,
): Promise<Readonly<Record<string, unknown>>> {
  await expect.poll(() => said.some(fits) || child.exitCode !== null, { timeout: 120_000 }).toBe(true)
  return said.find(fits)!
}
const weir = async (...args: readonly string[]): Promise<{ readonly code: number; readonly out: string }> => {
  const of = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  of.stdout.on('data', (data: Buffer) => (out += data.toString()))
  const [code] = (await once(of, 'close')) as [number]
  return { code, out }
}

beforeAll(async () => {
  // Inside of the checkout: a job file finds its packages from where it lies.
  dir = await mkdtemp(join(import.meta.dirname, '.dev-test-'))
  await writeFile(join(dir, 'job.ts'), job('one'))
  dev()
})
afterAll(async () => {
  await ended('SIGINT')
  await rm(dir, { recursive: true })
})

test('a change goes on from the state there is: every number of every user once; a mistake changes nothing', async () => {
  const { grpc, http, log: address } = (await told((line) => 'log' in line)) as Record<'grpc' | 'http' | 'log', string>
  await told((line) => line['state'] === 'RUNNING' && Number(line['finalEpoch']) >= 2)

  await writeFile(join(dir, 'job.ts'), job('one', '.map((('))
  await told((line) => line['code'] === 'BUNDLE_FAILED')
  await writeFile(join(dir, 'job.ts'), job('two'))
  await told((line) => 'graphHash' in line)

  const log = new LogClient(address)
  const of = async (version: string): Promise<number> =>
    (await outputs(log)).filter((one) => one.version === version).length
  await expect.poll(() => of('two'), { timeout: 60_000 }).toBeGreaterThan(100)
  const all = await outputs(log)
  expect(all.some(({ version }) => version === 'one')).toBe(true)
  isEachOnce(all)
  log.close()

  // `weir debug` wants a state from before its record, also of a job that has made epochs since.
  await told((line) => Number(line['finalEpoch']) >= 8)
  expect((await weir('state', 'ls', 'numbered', '--at', '2', '--no-count', '--job-manager', grpc)).code).toBe(0)

  const described = await weir('describe', 'numbered', '--job-manager', grpc)
  expect(described.out).toContain('╘═ by-user (keyBy)')
  expect((await weir('describe', join(dir, 'job.ts'))).out).toBe(described.out)

  const logged = await weir('logs', 'numbered', '--rest', `http://${http}`)
  expect(logged.code).toBe(0)
  expect(logged.out).toMatch(/numbered\tjob:state\tstate STOPPED, previous \w+/)
  expect((await weir('logs', 'nobody', '--rest', `http://${http}`)).code).toBe(2)
}, 240_000)

test('the next time goes on where the last one was ended or killed; --fresh is another job', async () => {
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    await ended(signal)
    // The fleet of one that was killed ends with it, a moment later: until then the folder is in use.
    await expect
      .poll(
        async () => {
          if (child.exitCode !== null || child.signalCode !== null) dev()
          await told((line) => 'from' in line)
          return child.exitCode
        },
        { timeout: 60_000 },
      )
      .toBe(null)
    const { log: address } = await told((line) => 'log' in line)
    const log = new LogClient(String(address))
    const before = (await outputs(log)).length
    await expect.poll(async () => (await outputs(log)).length, { timeout: 60_000 }).toBeGreaterThan(before + 200)
    isEachOnce(await outputs(log))
    log.close()
  }
  await ended('SIGINT')
  dev('--fresh')
  const { jobId } = await told((line) => 'log' in line)
  expect(jobId).toMatch(/^numbered-\w+$/)
}, 240_000)
