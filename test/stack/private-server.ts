/** A real server of a test's own, that it may kill, freeze and start again: same address, same data. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  launchServer,
  onDemand,
  servers,
  type KafkaSettings,
  type Launch,
  type OnDemandName,
  type ServerName,
} from '../../tools/stack/servers.mjs'
import type { StackEndpoints } from './endpoints.ts'

/** Of a registry: its URL. */
type Endpoints = StackEndpoints & Readonly<Record<OnDemandName, string>>
type Name = ServerName | OnDemandName
const all = { ...servers, ...onDemand }

/** A broker that was killed is let in again when its old session is over, by default only after 9 s. */
const SHORT_SESSION = ['broker.session.timeout.ms=3000', 'broker.heartbeat.interval.ms=500']

/** By default a signal ends a process without its 'exit'. */
const endByExit = (): void => process.exit(1)

export class PrivateServer<N extends Name = Name> {
  readonly name: N
  readonly #dir: string
  readonly #log: number
  readonly #launch: Launch
  #child: ChildProcess | null = null
  readonly #killNow = (): void => void this.#child?.kill('SIGKILL')

  private constructor(name: N, dir: string, log: number, launch: Launch) {
    this.name = name
    this.#dir = dir
    this.#log = log
    this.#launch = launch
  }

  /**
   * Ready when it resolves.
   *
   * @param settings of Kafka
   */
  static async start<N extends Name>(name: N, settings: KafkaSettings = () => []): Promise<PrivateServer<N>> {
    all[name].install()
    const dir = await mkdtemp(join(tmpdir(), `weir-${name}-`))
    const log = openSync(join(dir, 'log'), 'a')
    const launch = await all[name].prepare(dir, log, (ports) => [...SHORT_SESSION, ...settings(ports)])
    const server = new PrivateServer(name, dir, log, launch)
    // A runner that ends, or is ended, leaves no server behind.
    process.once('exit', server.#killNow)
    if (!process.listeners('SIGTERM').includes(endByExit))
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, endByExit)
    await server.start()
    return server
  }

  get endpoint(): Endpoints[N] {
    return this.#launch.endpoint as Endpoints[N]
  }

  get up(): boolean {
    return this.#child !== null
  }

  /** What it said so far, for people. */
  get logFile(): string {
    return join(this.#dir, 'log')
  }

  async start(): Promise<void> {
    if (this.#child !== null) return
    await launchServer(this.name, this.#launch, this.#log, (child) => {
      this.#child = child
      child.ref() // its end is awaited
    })
  }

  /** kill -9, and gone: nothing is flushed, nobody is told. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Ends it and removes its data. */
  async close(): Promise<void> {
    await this.kill()
    process.removeListener('exit', this.#killNow)
    closeSync(this.#log)
    await rm(this.#dir, { recursive: true, force: true })
  }
}
