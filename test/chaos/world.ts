/**
 * A fleet with servers of its own, and a proxy on every road between them:
 *
 * ```
 *   job-manager ──▶ etcd, S3            one proxy each, per process
 *   task-manager ──▶ S3                 one proxy per process
 *   task-managers ──▶ job-manager       one proxy per job-manager; connections told apart by the task-manager's id
 *   task-managers ──▶ Kafka             one proxy for all
 * ```
 *
 * Job-managers and the broker are advertised at another loopback address than the one they listen on, with the same port:
 * whoever is sent on to them arrives at the proxy.
 */
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@weir/runtime/system'
import type { FleetProcess } from '../../apps/cli/src/fleet.ts'
import { freePorts } from '../../tools/stack/servers.mjs'
import { Fleet } from '../e2e/fleet.ts'
import { Toxic } from '../e2e/toxic.ts'
import { PrivateServer } from '../stack/private-server.ts'

const LISTEN = '127.0.0.1'
const ADVERTISED = '127.0.0.2'

/** A broker, and a proxy that whoever comes through stays behind. */
export async function proxiedKafka(): Promise<{ kafka: PrivateServer<'kafka'>; proxy: Toxic }> {
  const [proxied] = await freePorts(1)
  const kafka = await PrivateServer.start('kafka', ({ port, controller }) => [
    `listeners=PLAINTEXT://${LISTEN}:${port},PROXIED://${LISTEN}:${proxied},CONTROLLER://${LISTEN}:${controller}`,
    `advertised.listeners=PLAINTEXT://${LISTEN}:${port},PROXIED://${ADVERTISED}:${proxied}`,
    'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT',
  ])
  return { kafka, proxy: await Toxic.before(LISTEN, proxied!, { host: ADVERTISED, port: proxied! }) }
}

interface JobManager {
  readonly process: FleetProcess
  readonly etcd: Toxic
  readonly s3: Toxic
}
interface TaskManager {
  readonly process: FleetProcess
  readonly s3: Toxic
}

export class World {
  readonly kafka: PrivateServer<'kafka'>
  readonly etcd: PrivateServer<'etcd'>
  readonly s3: PrivateServer<'s3'>
  readonly fleet: Fleet
  /** What the processes said, one file each. */
  readonly logs: string
  readonly #toKafka: Toxic
  readonly #kafkaAddress: string
  /** Port of a job-manager → proxy before it. */
  readonly #control = new Map<number, Toxic>()
  readonly #rest = new Map<number, Toxic>()
  readonly #ports: { grpc: string; http: string }[] = []
  #jobManagers: JobManager[] = []
  #taskManagers: TaskManager[] = []
  /** Of processes that were killed too: what they sent may still be on its way. */
  readonly #own: Toxic[] = []
  #serial = 0

  private constructor(
    servers: { kafka: PrivateServer<'kafka'>; etcd: PrivateServer<'etcd'>; s3: PrivateServer<'s3'> },
    toKafka: Toxic,
    logs: string,
  ) {
    this.kafka = servers.kafka
    this.etcd = servers.etcd
    this.s3 = servers.s3
    this.logs = logs
    this.#toKafka = toKafka
    this.#kafkaAddress = toKafka.address
    this.fleet = new Fleet({
      kafka: this.kafka.endpoint,
      etcd: this.etcd.endpoint,
      s3: this.s3.endpoint,
      redis: '', // no job uses it
    })
  }

  static async start(): Promise<World> {
    const { kafka, proxy: toKafka } = await proxiedKafka()
    const [etcd, s3] = await Promise.all([PrivateServer.start('etcd'), PrivateServer.start('s3')])
    const world = new World({ kafka, etcd, s3 }, toKafka, await mkdtemp(join(tmpdir(), 'weir-chaos-')))
    await world.fleet.start({ managers: 0, workers: 0 })
    for (let i = 0; i < 2; i++) await world.addJobManager()
    for (let i = 0; i < 2; i++) await world.addTaskManager()
    return world
  }

  get jobManagers(): readonly JobManager[] {
    return this.#jobManagers
  }

  get taskManagers(): readonly TaskManager[] {
    return this.#taskManagers
  }

  get toKafka(): Toxic {
    return this.#toKafka
  }

  /** Every proxy: `release` on all of them makes the network whole. */
  get toxics(): readonly Toxic[] {
    return [...this.#own, this.#toKafka, ...this.#control.values(), ...this.#rest.values()]
  }

  get control(): readonly Toxic[] {
    return [...this.#control.values()]
  }

  /** On a port where none runs at present: clients and task-managers know those addresses. */
  async addJobManager(): Promise<void> {
    const taken = this.#jobManagers.map((m) => m.process.ready.http)
    const at = this.#ports.find((p) => !taken.includes(p.http)) ?? null
    const [etcdHost, etcdPort] = this.etcd.endpoint.split(':')
    const { hostname, port } = new URL(this.s3.endpoint.url)
    const [etcd, s3] = await Promise.all([
      Toxic.before(etcdHost!, Number(etcdPort)),
      Toxic.before(hostname, Number(port)),
    ])
    this.#own.push(etcd, s3)
    const process = await this.fleet.addManager(at, {
      WEIR_ADVERTISE_HOST: ADVERTISED,
      WEIR_ETCD: etcd.address,
      WEIR_S3_ENDPOINT: `http://${s3.address}`,
    })
    for (const [proxies, address] of [
      [this.#control, process.ready.grpc!],
      [this.#rest, process.ready.http],
    ] as const) {
      const here = Number(address.split(':')[1])
      if (!proxies.has(here)) proxies.set(here, await Toxic.before(LISTEN, here, { host: ADVERTISED, port: here }))
    }
    this.#record('job-manager', process)
    if (at === null) this.#ports.push({ grpc: process.ready.grpc!, http: process.ready.http })
    this.#jobManagers.push({ process, etcd, s3 })
  }

  async addTaskManager(): Promise<void> {
    const { hostname, port } = new URL(this.s3.endpoint.url)
    const s3 = await Toxic.before(hostname, Number(port))
    this.#own.push(s3)
    const process = await this.fleet.addWorker({
      WEIR_S3_ENDPOINT: `http://${s3.address}`,
      WEIR_KAFKA_BROKERS: this.#kafkaAddress,
      WEIR_JOB_MANAGERS: [...this.#control.values()].map((t) => t.address).join(','),
    })
    this.#record('task-manager', process)
    this.#taskManagers.push({ process, s3 })
  }

  async leader(): Promise<JobManager> {
    const leader = await this.fleet.leader()
    return this.#jobManagers.find((m) => m.process === leader)!
  }

  /** The id it has joined under; waits until it has joined. */
  async idOf(taskManager: TaskManager): Promise<string> {
    for (;;) {
      const health = await this.fleet.health<{ joined: { id: string } | null }>(taskManager.process)
      if (health?.joined) return health.joined.id
      await systemClock.sleep(20)
    }
  }

  /**
   * A process is asked to go (SIGTERM). A task-manager's successor is there before that; a job-manager's comes at the same address, behind it.
   * @returns its exit code, or the signal that ended it
   */
  async replace(process: FleetProcess): Promise<number | string> {
    const isJobManager = this.#jobManagers.some((m) => m.process === process)
    if (!isJobManager) await this.addTaskManager()
    this.#forget(process)
    const ended = await this.fleet.end(process, 'SIGTERM')
    if (isJobManager) await this.addJobManager()
    return ended
  }

  async kill(process: FleetProcess): Promise<void> {
    this.#forget(process)
    await this.fleet.kill(process)
  }

  #forget(process: FleetProcess): void {
    this.#jobManagers = this.#jobManagers.filter((m) => m.process !== process)
    this.#taskManagers = this.#taskManagers.filter((t) => t.process !== process)
  }

  /** All are there again: killed ones are replaced, frozen ones go on, servers run. */
  async heal(): Promise<void> {
    for (const server of [this.kafka, this.etcd, this.s3]) await server.start()
    for (const toxic of this.toxics) toxic.release()
    for (const { process } of [...this.#jobManagers, ...this.#taskManagers]) process.child.kill('SIGCONT')
    while (this.#jobManagers.length < 2) await this.addJobManager()
    while (this.#taskManagers.length < 2) await this.addTaskManager()
  }

  async close(keepLogs: boolean): Promise<void> {
    for (const { process } of [...this.#jobManagers, ...this.#taskManagers]) process.child.kill('SIGCONT')
    for (const toxic of this.toxics) toxic.release()
    await this.fleet.stop()
    await Promise.all(this.toxics.map((toxic) => toxic.close()))
    await Promise.all([this.kafka, this.etcd, this.s3].map((server) => server.close()))
    if (!keepLogs) await rm(this.logs, { recursive: true, force: true })
  }

  #record(name: string, process: FleetProcess): void {
    process.child.stderr!.pipe(createWriteStream(join(this.logs, `${name}-${++this.#serial}.log`)))
  }
}
