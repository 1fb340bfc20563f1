/** A fleet without any server, in a folder of its own: a job-manager that holds the log and the metadata, and task-managers. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startProcess, stopProcess, type FleetProcess } from './fleet.ts'

export interface EmbeddedFleetOptions {
  readonly taskManagers: number
  readonly slots: number
  /** Kept; absent: one that goes with the fleet. */
  readonly folder?: string
  /** Values that user code must not change are frozen, as in development. Default: yes. */
  readonly freeze?: boolean
  /** Epochs kept of a job that asks for fewer, for `weir debug`. */
  readonly retainedMin?: number
}

const removed = (dir: string): Promise<void> => rm(dir, { recursive: true, force: true })

export class EmbeddedFleet {
  readonly manager: FleetProcess
  readonly taskManagers: FleetProcess[] = []
  readonly #dir: string
  readonly #isKept: boolean
  readonly #settings: Readonly<Record<string, string>>
  readonly #running: FleetProcess[]
  #serial = 0

  private constructor(dir: string, isKept: boolean, manager: FleetProcess, settings: Readonly<Record<string, string>>) {
    this.#dir = dir
    this.#isKept = isKept
    this.#settings = settings
    this.manager = manager
    this.#running = [manager]
  }

  /** What has been started is stopped where not all could be, and a folder of its own is gone. */
  static async start({
    taskManagers,
    slots,
    folder,
    freeze = true,
    retainedMin,
  }: EmbeddedFleetOptions): Promise<EmbeddedFleet> {
    const dir = folder ?? (await mkdtemp(join(tmpdir(), 'weir-fleet-')))
    const env = {
      ...{ WEIR_MODE: 'embedded', WEIR_DATA_DIR: join(dir, 'jm') },
      ...(retainedMin !== undefined && { WEIR_RETAINED_MIN: String(retainedMin) }),
    }
    const settings = { WEIR_SLOTS: String(slots), ...(freeze && { WEIR_FREEZE: '1' }) }
    const isKept = folder !== undefined
    const manager = await startProcess('job-manager', env).catch(async (error: unknown) => {
      if (!isKept) await removed(dir)
      throw error
    })
    const fleet = new EmbeddedFleet(dir, isKept, manager, settings)
    try {
      for (let i = 0; i < taskManagers; i++) await fleet.add()
      return fleet
    } catch (error) {
      await fleet.stop()
      throw error
    }
  }

  /** Where its object store lies. */
  get objectsDir(): string {
    return join(this.#dir, 'jm', 'objects')
  }

  /** kill -9, and another one in its place. @returns its pid */
  async replace(): Promise<number> {
    const victim = this.taskManagers.shift()!
    victim.child.kill('SIGKILL')
    await this.add()
    return victim.child.pid!
  }

  async stop(): Promise<void> {
    for (const process of this.#running.reverse()) await stopProcess(process)
    if (!this.#isKept) await removed(this.#dir)
  }

  /** One more task-manager. */
  async add(env: Readonly<Record<string, string>> = {}): Promise<FleetProcess> {
    const { grpc, log } = this.manager.ready
    const started = await startProcess('task-manager', {
      WEIR_JOB_MANAGERS: grpc!,
      WEIR_LOG: log!,
      WEIR_OBJECTS_DIR: this.objectsDir,
      WEIR_DATA_DIR: join(this.#dir, `tm-${this.#serial++}`),
      ...this.#settings,
      ...env,
    })
    this.#running.push(started)
    this.taskManagers.push(started)
    return started
  }
}
