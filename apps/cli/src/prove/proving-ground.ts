/**
 * Where a job is proven: a job-manager and two task-managers, each with room for the whole job, so that whoever is left goes on at once while
 * another one is started in the place of the victim. The log is held here: what is proven is what becomes of it when the others die.
 */
import { EmbeddedLog, serveLog, type LogService } from '@weir/connectors'
import { WeirError, type Cancel } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { JobsClient } from '@weir/wire'
import { once } from 'node:events'
import { mkdtemp, mkdir, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startProcess, type FleetProcess } from '../fleet.ts'
import { ownModule } from '../own-module.ts'
import { CRASH_VARIABLE, arm, happened, type Post } from './armed.ts'
import { MemoryStorage } from './memory-storage.ts'
import type { Crash, Role } from './points.ts'

const TASK_MANAGERS = 2
/** How often transactions are looked for whose time is over. */
const EXPIRE_MS = 500
type Env = Readonly<Record<string, string>>

export class ProvingGround {
  readonly log: EmbeddedLog
  readonly client: JobsClient
  readonly #dir: string
  readonly #service: LogService
  readonly #slots: number
  /** Of the job-manager: whoever takes its place is found there. */
  readonly #ports: { readonly grpc: number; readonly http: number }
  readonly #running = new Set<FleetProcess>()
  /** Processes that are being started in the place of dead ones. */
  readonly #starting = new Set<Promise<void>>()
  #cancelExpiry: Cancel = () => {}
  #armed: { readonly run: string; readonly crashes: readonly Crash[] } = { run: 'none', crashes: [] }
  #failure: unknown = null
  #isClosed = false
  #serial = 0

  private constructor(
    dir: string,
    log: EmbeddedLog,
    service: LogService,
    of: { slots: number; ports: [number, number] },
  ) {
    const [grpc, http] = of.ports
    this.log = log
    this.#dir = dir
    this.#service = service
    this.#slots = of.slots
    this.#ports = { grpc, http }
    this.client = new JobsClient([`127.0.0.1:${grpc}`], { token: null })
  }

  /** `slots`: subtasks of the widest job. Throws as `startProcess`. */
  static async open({ slots }: { readonly slots: number }): Promise<ProvingGround> {
    const dir = await mkdtemp(join(tmpdir(), 'weir-prove-'))
    await mkdir(join(dir, 'crashes'))
    const log = await EmbeddedLog.open(new MemoryStorage(), systemClock)
    const ground = new ProvingGround(dir, log, await serveLog(log), { slots, ports: await freePorts() })
    ground.#expire()
    try {
      const taskManagers = Array.from({ length: TASK_MANAGERS }, () => ground.#start('task-manager'))
      await Promise.all([ground.#start('job-manager'), ...taskManagers])
      return ground
    } catch (error) {
      await ground.close()
      throw error
    }
  }

  /** From now on one process dies at the first of them, another one at the next. A name of a run is used once. */
  arm(run: string, crashes: readonly Crash[]): void {
    this.#armed = { run, crashes }
    arm(this.#crashFolder, this.#armed)
  }

  /** How many of the crashes have happened. Throws what a successor could not start for. */
  get crashed(): number {
    if (this.#failure !== null) throw this.#failure
    return happened(this.#crashFolder, this.#armed)
  }

  /** The fleet is whole again. Throws what a successor could not start for. */
  async whole(): Promise<void> {
    await Promise.all(this.#starting)
    if (this.#failure !== null) throw this.#failure
  }

  /** Nothing here is to be kept, so nobody is asked to go. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelExpiry()
    this.client.close()
    await Promise.allSettled(this.#starting)
    await Promise.all(
      [...this.#running].map(async ({ child }) => {
        const gone = once(child, 'exit')
        if (child.kill('SIGKILL')) await gone
      }),
    )
    this.#service.close()
    await this.log.close()
    await rm(this.#dir, { recursive: true, force: true })
  }

  /** Where jobs write files. */
  get folder(): string {
    return join(this.#dir, 'files')
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  get #crashFolder(): string {
    return join(this.#dir, 'crashes')
  }

  async #start(role: Role): Promise<void> {
    const post: Post = { folder: this.#crashFolder, role }
    const env = { [CRASH_VARIABLE]: JSON.stringify(post), NODE_OPTIONS: `--import=${ownModule('prove/crash-here')}` }
    const started = await startProcess(role, { ...env, ...(role === 'job-manager' ? this.#leader() : this.#worker()) })
    if (this.#isClosed) return void started.child.kill('SIGKILL')
    this.#running.add(started)
    const over = (code: number | null): void => {
      this.#running.delete(started)
      if (this.#isClosed) return
      if (code !== null) this.#failure ??= endedByItself(role, code)
      const next = this.#start(role).catch((error: unknown) => void (this.#failure ??= error))
      this.#starting.add(next)
      void next.finally(() => this.#starting.delete(next))
    }
    const { exitCode, signalCode } = started.child
    if (exitCode !== null || signalCode !== null) over(exitCode)
    else started.child.once('exit', over)
  }

  #leader(): Env {
    return {
      WEIR_MODE: 'embedded',
      WEIR_DATA_DIR: join(this.#dir, 'jm'),
      WEIR_GRPC_PORT: String(this.#ports.grpc),
      WEIR_HTTP_PORT: String(this.#ports.http),
    }
  }

  #worker(): Env {
    return {
      WEIR_JOB_MANAGERS: `127.0.0.1:${this.#ports.grpc}`,
      WEIR_LOG: this.#service.address,
      WEIR_OBJECTS_DIR: join(this.#dir, 'jm', 'objects'),
      WEIR_DATA_DIR: join(this.#dir, `tm-${this.#serial++}`),
      WEIR_SLOTS: String(this.#slots),
      WEIR_FREEZE: '1',
    }
  }

  #expire(): void {
    this.log.expire().catch((error: unknown) => (this.#failure ??= error))
    this.#cancelExpiry = systemClock.after(EXPIRE_MS, () => this.#expire())
  }
}

async function freePorts(): Promise<[number, number]> {
  const servers = await Promise.all(
    [0, 1].map(async () => {
      const server = net.createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports as [number, number]
}

const endedByItself = (role: Role, code: number): WeirError =>
  new WeirError(
    { code: 'PROVE_PROCESS_ENDED', kind: 'retry', role, exitCode: code },
    `a ${role} of the proof ended by itself with code ${code}, so nothing can be said; WEIR_LOG_LEVEL=info shows what it said`,
  )
