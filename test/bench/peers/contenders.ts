/** Who takes part: how each is started, killed and started again. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { NODE_ENV, NODE_FLAGS, startProcess, stopProcess, type FleetProcess } from '../../../apps/cli/src/fleet.ts'
import { bundle } from '../../../tools/bundle.mjs'
import { freePorts } from '../../../tools/stack/servers.mjs'
import { clusterEnv } from '../lib/cluster.ts'
import { newestCheckpoint, startJvm, type JvmPeer } from './jvm.ts'
import { USUAL, type Orders, type Work } from './works.ts'

/** One run of one contender. */
export interface Site {
  readonly brokers: string
  readonly input: string
  readonly output: string
  readonly work: Work
  readonly intervalMs: number
  /** Of this run alone. */
  readonly dir: string
  /** For ids and names. */
  readonly run: string
}

/** Of its input; its output has as many partitions. */
export type Shape = Omit<Orders, 'count'>

export interface Contender {
  readonly name: string
  readonly engine: JvmPeer | 'weir' | 'loop'
  readonly works: readonly Work[]
  readonly shape: Shape
  start(site: Site): Promise<Running>
}

export interface Running {
  pids(): readonly number[]
  /** performance.now() when the job was handed over; null: the program is the job. */
  readonly submittedAt: number | null
  /** kill -9 of what does the work, and what an operator's supervisor would start in its place. */
  crash(): Promise<void>
  stop(): Promise<void>
  /** What it has to say when it failed. */
  log(): Promise<string>
}

const run = promisify(execFile)
const TRANSACTION_TIMEOUT_MS = 60_000
/** Its own default: nothing it has committed waits for another commit. */
const STREAMS_TRANSACTION_TIMEOUT_MS = 10_000
const LOG_TAIL = 600
const here = (file: string): string => new URL(file, import.meta.url).pathname
const ALL: readonly Work[] = ['sum', 'filter', 'window']

const alive = new Set<ChildProcess>()
process.on('exit', () => alive.forEach((child) => child.kill('SIGKILL')))
function kept(child: ChildProcess): ChildProcess {
  alive.add(child)
  child.once('exit', () => alive.delete(child))
  return child
}
async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
const tail = async (file: string): Promise<string> => (await readFile(file, 'utf8').catch(() => '')).slice(-LOG_TAIL)

/** One process that is the job. */
function single(start: () => Promise<ChildProcess>, log: string): Promise<Running> {
  return start().then((first) => {
    let child = kept(first)
    return {
      pids: () => [child.pid!],
      submittedAt: null,
      async crash() {
        await killed(child)
        child = kept(await start())
      },
      stop: () => killed(child),
      log: () => tail(log),
    }
  })
}

interface PeerOptions {
  readonly tuned?: boolean
  readonly sessionMs?: number
  readonly shape?: Shape
  readonly store?: 'memory' | 'rocksdb'
}
/** What the consumer group waits for its dead: the client's default. */
const SESSION_MS = 45_000

export const kafkaStreams = (
  name: string,
  { tuned = false, sessionMs = SESSION_MS, store = 'memory', shape = USUAL }: PeerOptions = {},
): Contender => ({
  name,
  engine: 'kafka-streams',
  works: ALL,
  shape,
  start: (site) => {
    const log = join(site.dir, 'log')
    const options = {
      ...jvmOptions(site, tuned, store),
      ...{ folder: join(site.dir, 'state'), sessionMs: String(sessionMs) },
      transactionTimeoutMs: String(STREAMS_TRANSACTION_TIMEOUT_MS),
    }
    return single(() => Promise.resolve(startJvm('kafka-streams', options, log)), log)
  },
})

export const flink = (
  name: string,
  { tuned = false, store = 'memory', shape = USUAL }: PeerOptions = {},
): Contender => ({
  name,
  engine: 'flink',
  works: ALL,
  shape,
  start: (site) => {
    const log = join(site.dir, 'log')
    const folder = join(site.dir, 'checkpoints')
    const start = async (): Promise<ChildProcess> => {
      await mkdir(folder, { recursive: true })
      const restore = await newestCheckpoint(folder)
      return startJvm('flink', { ...jvmOptions(site, tuned, store), folder, restore }, log)
    }
    return single(start, log)
  },
})

const jvmOptions = (site: Site, tuned: boolean, store: string): Readonly<Record<string, string>> => ({
  ...{ work: site.work, brokers: site.brokers, input: site.input, output: site.output, id: `peer-${site.run}` },
  ...{ intervalMs: String(site.intervalMs), transactionTimeoutMs: String(TRANSACTION_TIMEOUT_MS) },
  ...{ tuned: String(tuned), store },
})

export interface WeirOptions {
  readonly layout: 'one-process' | 'fleet'
  readonly shuffle?: boolean
  readonly onLost?: 'heal' | 'fail'
  readonly scope?: 'epoch' | 'continuous'
  /** Of the job, default 2. */
  readonly parallelism?: number
  /** Of a fleet. */
  readonly taskManagers?: number
  /** Of each task-manager. */
  readonly slots?: number
  /** What values of state may take in memory, if not what is usual. */
  readonly stateCacheBytes?: number
  readonly shape?: Shape
}

export const weir = (name: string, options: WeirOptions): Contender => ({
  name,
  engine: 'weir',
  works: options.shuffle === false ? ['sum'] : ALL,
  shape: options.shape ?? USUAL,
  start: (site) => (options.layout === 'fleet' ? fleet(site, options) : oneProcess(site, options)),
})

const workerEnvOf = ({ slots = 2, stateCacheBytes }: WeirOptions): Record<string, string> => ({
  WEIR_SLOTS: String(slots),
  ...(stateCacheBytes !== undefined && { WEIR_STATE_CACHE_BYTES: String(stateCacheBytes) }),
})

const ONE_PROCESS = here('dist/one-process')
let built: Promise<void> | null = null
/** Weir's layout of one process as a bundle, which its own programs are as well. */
export const buildOneProcess = (): Promise<void> => (built ??= bundle([here('one-process.ts')], ONE_PROCESS))

async function oneProcess(site: Site, options: WeirOptions): Promise<Running> {
  const [port] = await freePorts(1)
  const log = join(site.dir, 'log')
  await buildOneProcess()
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(
      process.execPath,
      [...NODE_FLAGS, join(ONE_PROCESS, 'one-process.js'), site.dir, String(port)],
      {
        env: {
          ...NODE_ENV,
          NODE_COMPILE_CACHE: join(ONE_PROCESS, '.compiled'),
          ...process.env,
          WEIR_KAFKA_BROKERS: site.brokers,
          ...workerEnvOf(options),
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    child.stderr.pipe(createWriteStream(log, { flags: 'a' }))
    kept(child)
    for await (const said of createInterface({ input: child.stdout })) if (said.includes('"started"')) return child
    throw new Error(`Weir did not start: ${await tail(log)}`)
  }
  let child = await start()
  const submittedAt = performance.now()
  await submit(`127.0.0.1:${port}`, site, options)
  return {
    pids: () => [child.pid!],
    submittedAt,
    async crash() {
      await killed(child)
      child = await start()
    },
    stop: () => killed(child),
    log: () => tail(log),
  }
}

async function fleet(site: Site, options: WeirOptions): Promise<Running> {
  const env = clusterEnv(`peers-${site.run}`)
  const manager = await startProcess('job-manager', env)
  const workers: FleetProcess[] = []
  kept(manager.child)
  const workerEnv = { ...env, WEIR_JOB_MANAGERS: manager.ready.grpc!, ...workerEnvOf(options) }
  for (let i = 0; i < (options.taskManagers ?? 1); i++) {
    workers.push(await startProcess('task-manager', { ...workerEnv, WEIR_DATA_DIR: join(site.dir, `worker-${i}`) }))
    kept(workers[i]!.child)
  }
  const submittedAt = performance.now()
  await submit(manager.ready.grpc!, site, options)
  return {
    pids: () => [manager, ...workers].map(({ child }) => child.pid!),
    submittedAt,
    async crash() {
      for (const worker of workers) {
        const { busySlots } = (await (await fetch(`http://${worker.ready.http}/healthz`)).json()) as {
          busySlots: number
        }
        if (busySlots === 0) continue
        workers.splice(workers.indexOf(worker), 1)
        return await killed(worker.child)
      }
      throw new Error('no task-manager had a slice')
    },
    async stop() {
      await Promise.all([...workers, manager].map((one) => stopProcess(one)))
    },
    log: async () =>
      JSON.stringify(await (await fetch(`http://${manager.ready.http}/api/v1/jobs`)).json()).slice(-LOG_TAIL),
  }
}

async function submit(jobManager: string, site: Site, options: WeirOptions): Promise<void> {
  const { work, input, output, intervalMs } = site
  const { shuffle = true, onLost = 'heal', scope = 'epoch', parallelism = 2 } = options
  const params = { work, input, output, intervalMs, shuffle, onLost, scope, parallelism }
  const set = Object.entries(params).flatMap(([key, value]) => ['--set', `${key}=${value}`])
  const cli = [here('../../../apps/cli/dist/main.js'), 'submit', here('weir.job.ts'), '--id', `peer-${site.run}`]
  await run(process.execPath, [...cli, '--job-manager', jobManager, ...set])
}

/** No engine: what the language and the clients can do. */
export const loop = (name: string, file: string, shape: Shape = USUAL): Contender => ({
  name,
  engine: 'loop',
  works: ['sum'],
  shape,
  start: (site) => {
    const log = join(site.dir, 'log')
    const flags = ['--conditions=@weir/source', '--disable-warning=ExperimentalWarning']
    const args = [...flags, here(file), site.brokers, site.input, site.output, `peer-${site.run}`]
    return single(() => {
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
      child.stderr.pipe(createWriteStream(log, { flags: 'a' }))
      return Promise.resolve(child)
    }, log)
  },
})
