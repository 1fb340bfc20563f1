/**
 * Slices of a job under everything a seed can do to them: slow links and stages, epochs that are given up, crashes at any
 * moment, other parallelism afterwards. The coordinator is the dumbest that keeps the protocol: one epoch at a time.
 */
import { redistribute, type Manifest, type SubtaskSnapshot } from '@weir/checkpoint'
import {
  MemoryClaims,
  claimPlace,
  planJob,
  type ClaimStore,
  type JobDefinition,
  type Plan,
  type SubtaskContext,
} from '@weir/dataflow'
import {
  attempt,
  epoch,
  generation,
  jobId,
  subtask,
  type CheckpointId,
  type Clock,
  type Epoch,
  type RecordBatch,
} from '@weir/model'
import type { SliceReport } from '../slice-report.ts'
import { Slice } from '../slice.ts'
import { ChanceExchange, ChanceSource, type ChanceWorld } from './chance.ts'
import type { MemoryRecord } from './memory-log.ts'
import { MemoryInFlightStore, MemorySink, MemoryStateStore, MemoryTopic } from './memory.ts'

type Ack = Extract<SliceReport, { type: 'ack' }>

/** What outlives the attempts. */
export class ChanceStores {
  readonly topics = new Map<string, MemoryTopic>()
  readonly states = new Map<string, string>()
  readonly flights = new Map<string, Uint8Array>()
  readonly claims = claimPlace()
  published: Manifest | null = null
  lastEpoch = 0
  lastAttempt = 0
  highestParallelism = 0
  /** Epochs with records in flight that were restored. */
  restoredInFlight = 0

  topic(uid: string, of: number): MemoryTopic {
    const name = `${uid}/${of}`
    if (!this.topics.has(name)) this.topics.set(name, new MemoryTopic())
    return this.topics.get(name)!
  }

  /** What readers of the sink's topic see. */
  committed(uid: string): readonly MemoryTopic['committed'][number][] {
    return [...this.topics].flatMap(([name, topic]) => (name.startsWith(`${uid}/`) ? topic.committed : []))
  }
}

/** Asked and answered in its own time, also behind the end of the attempt; now and then asked twice, as when an answer is lost. */
class SlowClaims extends MemoryClaims {
  readonly #world: ChanceWorld

  constructor(windowMs: number, stores: ChanceStores, world: ChanceWorld) {
    super(windowMs, stores.claims)
    this.#world = world
  }

  override async claim(claims: Parameters<ClaimStore['claim']>[0]): ReturnType<ClaimStore['claim']> {
    await this.#pause()
    if (this.#world.is(0.1)) await super.claim(claims)
    const answers = await super.claim(claims)
    await this.#pause()
    return answers
  }

  override async dead(...of: Parameters<MemoryClaims['dead']>): Promise<void> {
    await this.#pause()
    await super.dead(...of)
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#world.after(this.#world.whole(0, 40), resolve))
  }
}

class SlowSink extends MemorySink {
  readonly #wait: () => Promise<void> | undefined

  constructor(topic: MemoryTopic, wait: () => Promise<void> | undefined) {
    super(topic)
    this.#wait = wait
  }

  override write(batch: RecordBatch): undefined {
    super.write(batch)
    return this.#wait() as undefined
  }
}

export interface ChanceAttemptOptions {
  readonly job: JobDefinition
  /** Of every source that `inputs` does not name. */
  readonly splits: readonly (readonly MemoryRecord[])[]
  /** By the uid of their source. */
  readonly inputs?: Readonly<Record<string, readonly (readonly MemoryRecord[])[]>>
  /** The attempt dies after so long, where nothing ends it before; null: it does not. */
  readonly crashAfterMs: number | null
  readonly batchMax: number
  readonly linkMs: number
  readonly sinkMs: number
  readonly inFlightBytesMax: number
}

/** @returns true when everything is in a final epoch. */
export async function runAttempt(
  world: ChanceWorld,
  stores: ChanceStores,
  options: ChanceAttemptOptions,
): Promise<boolean> {
  const plan = planJob(options.job)
  const { parallelism, maxParallelism } = plan.job.settings
  const run = new ChanceAttempt(world, stores, plan, options)
  stores.highestParallelism = Math.max(stores.highestParallelism, parallelism)
  const snapshots = redistribute(stores.published, {
    ...{ parallelism, maxParallelism, highestParallelism: stores.highestParallelism },
    sinks: plan.job.graph.nodes.flatMap(({ kind, uid }) => (kind === 'sink' ? [uid] : [])),
    sourceStages: plan.stages.filter(({ inputs }) => inputs.length === 0).map(({ index }) => index),
  })
  if (snapshots.some((snapshot) => snapshot?.inFlight)) stores.restoredInFlight++
  return run.start(snapshots)
}

class ChanceAttempt {
  readonly #world: ChanceWorld
  readonly #stores: ChanceStores
  readonly #plan: Plan
  readonly #options: ChanceAttemptOptions
  readonly #n: number
  readonly #clock: Clock
  readonly #slices: Slice[]
  readonly #orders: ((call: () => void) => void)[]
  readonly #reports: { readonly from: number; readonly report: SliceReport }[] = []
  #isAlive = true
  /** Barriers, records and crashes meet firings that are open. */
  readonly #firingPartMax: number

  constructor(world: ChanceWorld, stores: ChanceStores, plan: Plan, options: ChanceAttemptOptions) {
    this.#world = world
    this.#stores = stores
    this.#plan = plan
    this.#options = options
    this.#n = ++stores.lastAttempt
    this.#firingPartMax = world.is(0.7) ? world.whole(1, 3) : 1_000
    const isAlive = (): boolean => this.#isAlive
    this.#clock = world.clock(isAlive)
    const exchange = new ChanceExchange(world, isAlive, options.linkMs)
    this.#slices = Array.from({ length: plan.job.settings.parallelism }, (_, i) => this.#slice(i, exchange))
    this.#orders = this.#slices.map(() => world.pipe(30, isAlive))
    if (options.crashAfterMs !== null) world.after(options.crashAfterMs, this.#crash)
  }

  async start(snapshots: readonly (SubtaskSnapshot | null)[]): Promise<boolean> {
    const { parallelism } = this.#plan.job.settings
    const peers = Array.from({ length: parallelism }, (_, i) => {
      return { subtask: subtask(i), taskManagerId: 'tm', exchangeAddress: '' }
    })
    if (this.#world.is(0.5)) peers.reverse() // their order says nothing
    let running = 0
    const recovered = Promise.all(this.#slices.map((slice, i) => slice.recover(snapshots[i] ?? null)))
    const started = recovered.then(() => this.#slices.map((slice) => slice.run(peers).then(() => running++)))
    started.catch((error: unknown) => void (this.#failure = error))
    if (!(await this.#until(() => running === parallelism))) return false
    while (this.#isAlive) if (await this.#epoch()) return true
    return false
  }

  #failure: unknown = null
  readonly #crash = (): void => void (this.#isAlive = false)

  /** False: the attempt is dead. */
  async #until(isSo: () => boolean): Promise<boolean> {
    await this.#world.until(() => {
      const failed = this.#reports.find(({ report }) => report.type === 'failed')?.report
      if (failed?.type === 'failed') throw failed.error
      if (this.#failure !== null) throw this.#failure as Error
      return !this.#isAlive || isSo()
    })
    return this.#isAlive
  }

  async #pause(ms: number): Promise<boolean> {
    let over = false
    this.#world.after(ms, () => void (over = true))
    return this.#until(() => over)
  }

  /** @returns true when it was the last one. */
  async #epoch(): Promise<boolean> {
    const world = this.#world
    if (!(await this.#pause(world.whole(0, 60)))) return false
    const ended = this.#each((report) => report.type === 'input-ended')
    const last = ended || (this.#options.crashAfterMs !== null && world.is(0.1)) // else: stopped with a savepoint
    const id: CheckpointId = {
      ...{ generation: generation(1), attempt: attempt(this.#n), epoch: epoch(++this.#stores.lastEpoch) },
    }
    this.#tell((slice) => slice.trigger(id, last))
    const isOf = (report: SliceReport): report is Ack => report.type === 'ack' && report.checkpoint.epoch === id.epoch
    let isTooLate = false
    const cancel = world.after(world.is(0.3) ? world.whole(1, 150) : 20_000, () => void (isTooLate = true))
    const declined = (): boolean =>
      this.#reports.some(({ report }) => report.type === 'declined' && report.checkpoint.epoch === id.epoch)
    if (!(await this.#until(() => isTooLate || declined() || this.#each(isOf)))) return false
    cancel()
    if (!this.#each(isOf)) {
      this.#tell((slice) => slice.giveUp(id))
      return false
    }
    const acks = this.#slices.map((_, i) => this.#reports.find((r) => r.from === i && isOf(r.report))!.report as Ack)
    if (last && acks.some(({ snapshot }) => snapshot.inFlight)) throw new Error('the last epoch has been overtaken')
    this.#publish(id, acks)
    if (this.#options.crashAfterMs !== null && world.is(0.15)) world.after(world.whole(0, 60), this.#crash)
    if (!(await this.#commit(id.epoch, acks))) return false
    if (last && !ended) this.#crash()
    return last && ended
  }

  #publish({ epoch, ...id }: CheckpointId, acks: readonly Ack[]): void {
    const { settings } = this.#plan.job
    const subtasks = JSON.parse(JSON.stringify(acks.map(({ snapshot }) => snapshot))) as SubtaskSnapshot[]
    this.#stores.published = {
      ...{ formatVersion: 1, jobId: jobId('chance'), epoch, ...id, parentEpoch: 0 as Epoch, parentDigest: null },
      ...{ graphHash: '', parallelism: settings.parallelism, maxParallelism: settings.maxParallelism },
      ...{ triggeredAt: 0, lastCommittedAt: null, subtasks },
    }
  }

  async #commit(of: Epoch, acks: readonly Ack[]): Promise<boolean> {
    this.#tell((slice, i) => {
      const upTo = Object.entries(acks[i]!.snapshot.sinks).map(([uid, { sequence }]) => [uid, sequence] as const)
      slice.commit(of, Object.fromEntries(upTo))
    })
    return this.#until(() => this.#each((report) => report.type === 'committed' && report.epoch === of))
  }

  #each(is: (report: SliceReport) => boolean): boolean {
    return this.#slices.every((_, i) => this.#reports.some((r) => r.from === i && is(r.report)))
  }

  /** In its own time to each, in order. */
  #tell(call: (slice: Slice, i: number) => void): void {
    this.#slices.forEach((slice, i) => this.#orders[i]!(() => call(slice, i)))
  }

  #slice(i: number, exchange: ChanceExchange): Slice {
    const [world, stores, clock] = [this.#world, this.#stores, this.#clock]
    const { splits, inputs = {}, batchMax, sinkMs, inFlightBytesMax } = this.#options
    const { parallelism, maxParallelism } = this.#plan.job.settings
    const run = { generation: generation(1), attempt: attempt(this.#n) }
    const slow = (): Promise<void> | undefined => (world.is(0.5) ? clock.sleep(world.whole(0, sinkMs)) : undefined)
    return new Slice(
      {
        ...{ jobId: jobId('chance'), attempt: run, subtask: subtask(i), plan: this.#plan, freeze: true },
        ...{ inFlightBytesMax, firingPartMax: this.#firingPartMax },
      },
      {
        clock,
        exchange,
        createSource: ({ uid }) => {
          const of = inputs[uid] ?? splits
          const own = [...of.keys()].filter((split) => split % parallelism === i)
          return new ChanceSource({ world, clock }, of, { own, batchMax })
        },
        createSink: ({ uid }, context: SubtaskContext) => new SlowSink(stores.topic(uid, context.subtask), slow),
        createContinuousSink: () => {
          throw new Error('no continuous scope here')
        },
        createClaims: ({ windowMs }) => new SlowClaims(windowMs, stores, world),
        openState: (stage) => Promise.resolve(new MemoryStateStore(stores.states, `${i}-${stage}`, maxParallelism)),
        inFlight: new MemoryInFlightStore(stores.flights, String(i), () => clock.sleep(world.whole(0, 20))),
        report: (report) => void (this.#isAlive && this.#reports.push({ from: i, report })),
        turn: () => clock.sleep(world.whole(0, 15)),
      },
    )
  }
}
