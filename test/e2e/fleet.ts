/** A fleet of real processes for a test: two job-managers, task-managers, topics, an outside reader. */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { CheckpointView, JobView, LedgerEntry } from '@weir/job'
import { KafkaConnections, listTransactions } from '@weir/kafka'
import type { Unbranded } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { startProcess, stopProcess, type FleetProcess } from '../../apps/cli/src/fleet.ts'
import { stackEndpoints, type StackEndpoints } from '../stack/endpoints.ts'
import { createTopics } from '../stack/topics.ts'

export { createTopics }

const cliMain = new URL('../../apps/cli/dist/main.js', import.meta.url).pathname
export const mainJob = new URL('../../apps/examples/src/01-orders.ts', import.meta.url).pathname

/** A frozen process accepts connections and never answers. */
const ANSWER_TIMEOUT_MS = 2_000
/** Says what did not come, before the test's own timeout would not; how long things take is no test's matter. */
export const UNTIL_TIMEOUT_MS = 120_000
const ask = <T>(url: string): Promise<T | null> =>
  fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })
    .then((answer) => (answer.ok ? (answer.json() as Promise<T>) : null))
    .catch(() => null)

const PROGRESS = /^(?:bundle|plan|upload|preflight|deploy|running)(?:: .*)?, \d+\.\d s(?:, failed)?\n/gm

export class Fleet {
  readonly run = systemRandom.nonce().slice(0, 8)
  readonly servers: StackEndpoints
  readonly kafka: KafkaConnections
  readonly #admin: ReturnType<KafkaConnections['admin']>
  readonly managers: FleetProcess[] = []
  readonly workers: FleetProcess[] = []
  readonly #readers: ChildProcess[] = []
  #dir = ''
  #serial = 0
  #ports: { grpc: string; http: string }[] = []

  constructor(servers: StackEndpoints = stackEndpoints()) {
    this.servers = servers
    this.kafka = new KafkaConnections({ brokers: [servers.kafka], clientId: 'weir-e2e' }, { clock: systemClock })
    this.#admin = this.kafka.admin()
  }

  /** Name of the cluster, in etcd too. */
  get cluster(): string {
    return `e2e-${this.run}`
  }

  get env(): Record<string, string> {
    const { url, accessKey, secretKey, bucket } = this.servers.s3
    return {
      WEIR_S3_ENDPOINT: url,
      WEIR_S3_BUCKET: bucket,
      WEIR_S3_ACCESS_KEY: accessKey,
      WEIR_S3_SECRET_KEY: secretKey,
      WEIR_S3_PREFIX: `e2e-${this.run}/`,
      WEIR_ETCD: this.servers.etcd,
      WEIR_CLUSTER: this.cluster,
      WEIR_KAFKA_BROKERS: this.servers.kafka,
      WEIR_PROFILE: 'development', // one broker, one etcd
    }
  }

  get s3(): string {
    return this.servers.s3.url
  }

  get etcd(): string {
    return this.servers.etcd
  }

  /** gRPC addresses of every job-manager ever started: clients find the leader among them. */
  get jobManagers(): string {
    return this.#ports.map((p) => p.grpc).join(',')
  }

  async start(options: { managers: number; workers: number }): Promise<void> {
    this.#dir = await mkdtemp(join(tmpdir(), 'weir-e2e-'))
    await this.#admin.connect()
    for (let i = 0; i < options.managers; i++) await this.addManager()
    for (let i = 0; i < options.workers; i++) await this.addWorker()
  }

  async addManager(
    at: { grpc: string; http: string } | null = null,
    env: Record<string, string> = {},
  ): Promise<FleetProcess> {
    const port = (address: string | undefined): string => address?.split(':')[1] ?? '0'
    const manager = await startProcess('job-manager', {
      ...this.env,
      WEIR_GRPC_PORT: port(at?.grpc),
      WEIR_HTTP_PORT: port(at?.http),
      ...env,
    })
    this.managers.push(manager)
    const address = { grpc: manager.ready.grpc!, http: manager.ready.http }
    if (!this.#ports.some((p) => p.grpc === address.grpc)) this.#ports.push(address)
    return manager
  }

  async addWorker(env: Record<string, string> = {}): Promise<FleetProcess> {
    const worker = await startProcess('task-manager', {
      ...this.env,
      WEIR_JOB_MANAGERS: this.jobManagers,
      WEIR_SLOTS: '4',
      WEIR_DATA_DIR: join(this.#dir, `tm-${this.#serial++}`),
      ...env,
    })
    this.workers.push(worker)
    return worker
  }

  /** As other tools do it: a consumer that joins the group, commits and leaves. */
  setOffsets(groupId: string, topic: string, partitions: { partition: number; offset: string }[]): Promise<unknown> {
    return this.#admin.setOffsets({ groupId, topic, partitions })
  }

  /** Everything below the end is gone, as if retention had eaten it. */
  async truncate(topic: string, partitions = 4): Promise<void> {
    await this.#admin.fetchTopicOffsets(topic) // kafkajs finds leaders only of topics it has asked for
    const ends = Array.from({ length: partitions }, (_, partition) => ({ partition, offset: '-1' }))
    await this.#admin.deleteTopicRecords({ topic, partitions: ends })
  }

  /** Of this run. */
  async topicsThere(): Promise<readonly string[]> {
    return (await this.#admin.listTopics()).filter((topic) => topic.includes(this.run))
  }

  async topics(names: readonly string[], partitions = 4): Promise<Record<string, string>> {
    const made = Object.fromEntries(names.map((n) => [n, `${n}-${this.run}`]))
    await createTopics(this.#admin, Object.values(made), partitions)
    return made
  }

  /** Spread evenly unless told otherwise: record i goes to partition i mod `partitions`. */
  produce(
    topic: string,
    lines: readonly string[],
    partitions = 4,
    partitionOf: (line: string, i: number) => number = (_, i) => i % partitions,
  ): void {
    for (let p = 0; p < partitions; p++) {
      const input = lines.filter((line, i) => partitionOf(line, i) === p).join('\n')
      // Without it a retry under load changes the order of batches, and what comes an hour late by event time is dropped.
      const inOrder = ['-X', 'enable.idempotence=true']
      const args = ['-b', this.servers.kafka, '-P', '-t', topic, '-p', String(p), '-z', 'lz4', ...inOrder]
      execFileSync('kcat', args, { input })
    }
  }

  /** What an outside client with `read_committed` sees: [key, value] in order of the partitions. */
  read(topic: string): [string, unknown][] {
    const args = ['-b', this.servers.kafka, '-C', '-t', topic, '-e', '-q', '-o', 'beginning']
    const format = ['-X', 'isolation.level=read_committed', '-X', 'fetch.wait.max.ms=10', '-f', '%p\t%k\t%s\n']
    const text = execFileSync('kcat', [...args, ...format], { maxBuffer: 1 << 30 }).toString()
    const rows = text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t', 3) as [string, string, string])
    // kcat mixes them as they come.
    rows.sort((a, b) => Number(a[0]) - Number(b[0]))
    return rows.map(([, key, value]) => [key, JSON.parse(value)])
  }

  /** Follows a topic; `next` is when (performance.now) a record came after the given time. */
  follow(
    topic: string,
    isolation: 'read_committed' | 'read_uncommitted' = 'read_committed',
  ): { next(after: number): Promise<number> } {
    const args = ['-b', this.servers.kafka, '-C', '-t', topic, '-q', '-u', '-o', 'beginning']
    const child = spawn('kcat', [...args, '-X', `isolation.level=${isolation}`, '-f', '%p\n'])
    this.#readers.push(child)
    const arrivals: number[] = []
    const lines = createInterface({ input: child.stdout }).on('line', () => arrivals.push(performance.now()))
    return {
      async next(after) {
        for (;;) {
          const found = arrivals.find((at) => at > after)
          if (found !== undefined) return found
          await once(lines, 'line')
        }
      },
    }
  }

  /** `stderr` without the progress of `submit` and `start`: what is left is for somebody to look at. */
  cli(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
    const env = { ...process.env, WEIR_JOB_MANAGERS: this.jobManagers }
    return new Promise((resolve) => {
      const child = execFile(process.execPath, [cliMain, ...args], { env }, (_error, stdout, stderr) =>
        resolve({ status: child.exitCode ?? -1, stdout, stderr: stderr.replace(PROGRESS, '') }),
      )
    })
  }

  /** Through any job-manager that is alive; waits for one that answers. */
  job(jobId: string): Promise<JobAnswer> {
    return this.until(jobId, 'any answer', () => true)
  }

  /** One look, through any job-manager that is alive; null while none of them answers. */
  look(jobId: string): Promise<JobAnswer | null> {
    return this.#get(`jobs/${jobId}`)
  }

  async #get<T>(path: string): Promise<T | null> {
    for (const { http } of this.#ports) {
      const answer = await ask<T>(`http://${http}/api/v1/${path}`)
      if (answer !== null) return answer
    }
    return null
  }

  /**
   * Lets a job read as fast as it can. Until then its rate holds its input back, so that there is some whenever a test is where it kills: a
   * job goes on by the clock while processes start, however long that takes.
   */
  async unlimited(jobId: string): Promise<void> {
    const { status, stderr } = await this.cli('rate', jobId, 'none')
    if (status !== 0) throw new Error(stderr)
  }

  /** Of one job, or of all: as the leader's REST shows them. */
  async transactions(jobId: string | null = null): Promise<readonly TransactionAnswer[]> {
    const { http } = (await this.leader()).ready
    const answer = await fetch(`http://${http}/api/v1/${jobId === null ? '' : `jobs/${jobId}/`}transactions`)
    if (!answer.ok) throw new Error(await answer.text())
    return (await answer.json()) as TransactionAnswer[]
  }

  /** The last ones, newest first; through any job-manager that is alive, and waits for one that answers. */
  async checkpoints(jobId: string): Promise<readonly CheckpointAnswer[]> {
    for (const deadline = performance.now() + UNTIL_TIMEOUT_MS; ;) {
      const answer = await this.#get<CheckpointAnswer[]>(`jobs/${jobId}/checkpoints`)
      if (answer !== null) return answer
      if (performance.now() > deadline) throw new Error(`no job-manager tells the checkpoints of ${jobId}`)
      await systemClock.sleep(20)
    }
  }

  /** Only of what a job-manager has answered; throws with the last answer when it does not come true in time. */
  async until(
    jobId: string,
    what: string,
    test: (job: JobAnswer) => boolean,
    timeoutMs = UNTIL_TIMEOUT_MS,
  ): Promise<JobAnswer> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const job = await this.look(jobId)
      if (job !== null && test(job)) return job
      if (job?.state === 'FAILED' && !what.includes('FAILED'))
        throw new Error(`job failed: ${JSON.stringify(job.error)}`)
      if (performance.now() > deadline) {
        const told = job === null ? `no job-manager tells of ${jobId}` : JSON.stringify(job)
        throw new Error(`waited ${timeoutMs} ms for ${what}: ${told}`)
      }
      await systemClock.sleep(20)
    }
  }

  async leader(): Promise<FleetProcess> {
    for (;;) {
      for (const manager of this.managers) {
        if ((await this.health<{ leading: boolean }>(manager))?.leading) return manager
      }
      await systemClock.sleep(20)
    }
  }

  /** What the process says of itself; null while it does not answer. */
  health<T>(process: FleetProcess): Promise<T | null> {
    return ask(`http://${process.ready.http}/healthz`)
  }

  /** kill -9, and gone. */
  async kill(process: FleetProcess): Promise<void> {
    await this.end(process, 'SIGKILL')
  }

  /** @returns its exit code, or the signal that ended it */
  async end(process: FleetProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | string> {
    for (const list of [this.managers, this.workers]) {
      const at = list.indexOf(process)
      if (at >= 0) list.splice(at, 1)
    }
    const exited = once(process.child, 'exit')
    process.child.kill(signal)
    const [code, by] = (await exited) as [number | null, string | null]
    return code ?? by!
  }

  /** Transactions that are open at the broker and belong to the job. */
  async openTransactions(jobId: string): Promise<readonly string[]> {
    const { transactions } = await this.kafka.anyBroker(listTransactions())
    return transactions
      .filter((t) => t.transactionalId.startsWith(`weir.${jobId}.`) && t.state !== 'CompleteCommit')
      .filter((t) => t.state !== 'CompleteAbort' && t.state !== 'Empty')
      .map((t) => `${t.transactionalId} ${t.state}`)
  }

  async stop(): Promise<void> {
    for (const reader of this.#readers) reader.kill('SIGKILL')
    await Promise.all([...this.workers, ...this.managers].map((p) => stopProcess(p)))
    await this.#admin.disconnect()
    await this.kafka.close()
    await rm(this.#dir, { recursive: true, force: true })
  }
}

export type CheckpointAnswer = Unbranded<CheckpointView>
export type JobAnswer = Unbranded<JobView>
export type TransactionAnswer = Unbranded<LedgerEntry>

/** Of all slices, or of some. */
export const recoveries = (job: JobAnswer): number => job.restarts + job.regionRestarts
