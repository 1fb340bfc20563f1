/** All processes and servers of one simulated cluster. */
import type { JobRecord } from '@weir/checkpoint'
import type { Plan } from '@weir/dataflow'
import { digest, jobId, type CheckpointId } from '@weir/model'
import { SimEtcd } from './etcd.ts'
import { Switchboard } from './exchange.ts'
import { CLUSTER, JobManagerProcess } from './job-manager.ts'
import { SimKafka } from './kafka.ts'
import { Network } from './network.ts'
import { SimS3 } from './objects.ts'
import { TaskManagerProcess } from './task-manager.ts'
import { Chance, Process, type World } from './world.ts'

export const JOB = jobId('sums')

export class Fleet {
  readonly world: World
  readonly network: Network
  readonly etcd: SimEtcd
  readonly s3: SimS3
  readonly kafka: SimKafka
  readonly switchboard = new Switchboard()
  readonly plan: Plan
  /** What the processes draw from: nonces. */
  readonly random: Chance
  /** Of stages whose barriers may overtake. */
  readonly slowness: Chance
  readonly jobManagers: (JobManagerProcess | null)[] = []
  readonly taskManagers: (TaskManagerProcess | null)[] = []
  readonly jobManagerHosts: string[]
  /** Healing transactions that were committed. */
  healed = 0
  regionRestarts = 0
  rescaled = 0
  cuts = 0
  aligned = 0
  /** Hears of every epoch that a leader calls final. */
  onFinal: (epoch: number) => void = () => {}
  readonly #attemptOf = new Map<string, number>()
  #serial = 0
  #recordText = ''
  #record: JobRecord | null = null

  constructor(world: World, plan: Plan, graphHash: string, size: { managers: number; workers: number }) {
    this.world = world
    this.network = new Network(world)
    this.etcd = new SimEtcd(world)
    this.s3 = new SimS3(world)
    this.kafka = new SimKafka(world)
    this.plan = plan
    this.random = new Chance(world.seed, 2)
    this.slowness = new Chance(world.seed, 7)
    const record: JobRecord = {
      jobId: JOB,
      name: 'sums',
      bundleDigest: digest('b'.repeat(64)),
      graphHash,
      plan: plan.summary,
      submittedAt: 0,
      desired: 'running',
      ended: null,
    }
    this.etcd.put(`/weir/${CLUSTER}/jobs/${JOB}`, JSON.stringify(record))
    this.jobManagerHosts = Array.from({ length: size.managers }, (_, i) => `jm${i}`)
    for (let i = 0; i < size.managers; i++) this.startJobManager(i)
    for (let i = 0; i < size.workers; i++) this.startTaskManager(i)
  }

  startJobManager(i: number): void {
    const process = this.#process(this.jobManagerHosts[i]!)
    this.jobManagers[i] = new JobManagerProcess(this, process)
  }

  startTaskManager(i: number): void {
    this.taskManagers[i] = new TaskManagerProcess(this, this.#process(`tm${i}`))
  }

  jobManagerAt(host: string): JobManagerProcess | null {
    const found = this.jobManagers[this.jobManagerHosts.indexOf(host)]
    return found?.process.standing === 'dead' ? null : (found ?? null)
  }

  jobRecord(): JobRecord {
    const text = this.etcd.value(`/weir/${CLUSTER}/jobs/${JOB}`)!
    if (text !== this.#recordText) {
      this.#recordText = text
      this.#record = JSON.parse(text) as JobRecord
    }
    return this.#record!
  }

  /** A slice is told to take an epoch: within a generation its number is of one attempt for ever (PROTOCOL A1). */
  triggered({ epoch, generation, attempt }: CheckpointId): void {
    const name = `epoch ${epoch} of generation ${generation}`
    const first = this.#attemptOf.get(name) ?? attempt
    this.#attemptOf.set(name, first)
    if (first !== attempt)
      this.world.found('Epochs', `${name} is one of attempt ${first} and one of attempt ${attempt}`)
  }

  /** An error nobody handles ends a process; here it is a finding as well. */
  crashed(process: Process, error: unknown): void {
    this.world.found('Unhandled', `${process.name}: ${(error as Error).stack ?? String(error)}`)
    process.kill()
  }

  #process(host: string): Process {
    const { chance } = this.world
    const drift = { rate: chance.between(0.97, 1.03), offsetMs: chance.between(-5_000, 5_000) }
    return new Process(this.world, host, `${host}.${this.#serial++}`, drift)
  }
}
