/**
 * One record again, with the state a checkpoint has: the job's own plan, operators and state store in this thread, at one slice.
 *
 *     const replay = await Replay.open({ job, manifest, objects, source: 'payments', partition: 3, … })
 *     const { outputs, state } = await replay.record(batch)
 *
 * It changes nothing: outputs stay in memory, the object store is read only, no checkpoint is taken, claims of stores outside are
 * neither read nor made, and nobody who writes to a log is made at all. The clock stands where the checkpoint was triggered.
 */
import { redistribute, type Manifest, type ObjectStore, type SubtaskSnapshot } from '@weir/checkpoint'
import {
  MemoryClaims,
  claimPlace,
  defaultSettings,
  planJob,
  schemasIn,
  type JobDefinition,
  type Plan,
  type RegistrySettings,
  type SchemaRegistry,
  type SegmentRef,
  type SourceBatch,
} from '@weir/dataflow'
import { WeirError, asWeirError, keyGroupRange, splitRange, subtask } from '@weir/model'
import { Slice, type SliceReport } from '@weir/runtime'
import { MemoryExchange } from '@weir/runtime/testing'
import { openStateStore } from '@weir/state'
import { StandingClock } from '../clock.ts'
import { OpenCalls } from '../open-calls.ts'
import { OpenedCodecs } from '../opened-codecs.ts'
import { newFolder } from '../scratch.ts'
import { WrittenSink, outputOf } from '../written-sink.ts'
import { WrittenTopics } from '../written-topics.ts'
import { HandedSource } from './handed-source.ts'
import { RecordedStates } from './recorded-states.ts'
import { ReadOnlyObjects, wouldWrite } from './read-only-objects.ts'
import { lettersIn, outputsIn, rowsAndTimers, type ReplayedRecord, type Written } from './replayed-record.ts'
import { watchedJob, type Step, type TakenSide } from './watched-job.ts'

export interface ReplayOptions {
  readonly job: JobDefinition
  readonly manifest: Manifest
  /** What the manifest's state lies in. It is only read. */
  readonly objects: ObjectStore
  /** Uid of the source the record is of. */
  readonly source: string
  /** Of the source: its split. */
  readonly partition: number
  /** Functions of `asyncMap` are called, with what that does outside; otherwise the record ends there. */
  readonly allowCalls: boolean
  /** By stage, the key groups that are restored (where it is keyed by its source: splits); null: all of them. */
  readonly groups?: (stage: number) => ReadonlySet<number> | null
  /** What codecs of a schema registry ask. Registering is refused. */
  readonly registry?: (settings: RegistrySettings, signal: AbortSignal) => SchemaRegistry
  /** Longest real time the record may take, ms; null: as long as somebody looks at it. */
  readonly settleMs: number | null
}

/** Calls of functions of the job that are told of one record. */
const STEPS_MAX = 1_000
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export class Replay {
  readonly #options: ReplayOptions
  readonly #plan: Plan
  readonly #sides: readonly TakenSide[]
  readonly #clock: StandingClock
  readonly #calls = new OpenCalls()
  readonly #codecs: OpenedCodecs
  readonly #written = new Map<string, WrittenTopics>()
  readonly #states = new Map<number, RecordedStates>()
  readonly #sources = new Map<string, HandedSource>()
  readonly #slice: Slice
  readonly #ended = new AbortController()
  #steps: Step[] = []
  #stepsLeft = 0
  #suppressed: { operator: string; value: unknown }[] = []
  #stops = false
  #failure: WeirError | null = null

  private constructor(options: ReplayOptions) {
    this.#options = options
    const { job, manifest, allowCalls } = options
    const { job: watched, sides } = watchedJob(job, {
      stops: () => this.#stopsHere(),
      told: (step) => this.#told(step),
      suppressed: allowCalls ? null : (operator, value) => void this.#suppressed.push({ operator, value }),
    })
    this.#sides = sides
    const { deadLetters, traceContext, degradable } = job.settings
    const { maxParallelism } = manifest
    // What it says of servers, and of checkpoints, has no meaning for one record.
    const settings = {
      ...defaultSettings,
      maxParallelism,
      deadLetters,
      traceContext,
      ...(degradable && { degradable }),
      parallelism: 1,
    }
    this.#plan = planJob(this.#calls.counted({ ...watched, settings }))
    this.#clock = new StandingClock(manifest.triggeredAt)
    this.#codecs = new OpenedCodecs(this.#plan.job, (of) => this.#registry(of, this.#ended.signal), this.#clock)
    this.#slice = this.#sliceOf(this.#plan)
  }

  /**
   * Brought to the checkpoint. Throws what a restore refuses (`SEGMENT_…`, `STATE_…`), what the planner does, and
   * `REPLAY_SOURCE_UNKNOWN` (invalid).
   */
  static async open(options: ReplayOptions): Promise<Replay> {
    const replay = new Replay(options)
    try {
      await replay.#begin()
    } catch (error) {
      await replay.close()
      throw error
    }
    return replay
  }

  /** Earlier records, for the state and the event time they leave; what they put out is dropped. Throws what the job fails with. */
  async pass(batch: SourceBatch): Promise<void> {
    this.#source.hand(batch)
    await this.#settled()
  }

  /**
   * What becomes of the record. One that fails is an answer too (`failure`). @param stops a debugger that is attached stops in front
   * of the first function of the job.
   */
  async record(batch: SourceBatch, { stops = false }: { readonly stops?: boolean } = {}): Promise<ReplayedRecord> {
    for (const states of this.#states.values()) states.begin()
    const before = new Map([...this.#written].map(([uid, topics]) => [uid, new Map(topics.counts())]))
    this.#steps = []
    this.#stepsLeft = 0
    this.#suppressed = []
    this.#stops = stops
    this.#source.hand(batch)
    const failure = await this.#settled().then(
      () => null,
      (error: unknown) => asWeirError(error, 'REPLAY_FAILED'),
    )
    for (const written of this.#written.values()) await this.#codecs.prepare(written)
    return this.#replayed(before, failure)
  }

  /** By stage, the key groups of rows the record has met. */
  groupsMet(): ReadonlyMap<number, ReadonlySet<number>> {
    return new Map([...this.#states].map(([stage, states]) => [stage, states.groups()]))
  }

  async close(): Promise<void> {
    await this.#slice.stop('leave')
    this.#ended.abort()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #begin(): Promise<void> {
    const peers = [{ subtask: subtask(0), taskManagerId: 'replay', exchangeAddress: '' }]
    await this.#slice.recover(this.#snapshot())
    await this.#slice.run(peers)
    void this.#source // throws where there is none
    await this.#settled()
  }

  get #source(): HandedSource {
    const { source: uid } = this.#options
    const found = this.#sources.get(uid)
    if (found !== undefined) return found
    const sources = [...this.#sources.keys()]
    throw new WeirError(
      { code: 'REPLAY_SOURCE_UNKNOWN', kind: 'invalid', source: uid, sources },
      `the job has no source "${uid}"; it has ${sources.join(', ')}`,
    )
  }

  /** The whole job in one slice; its transactions are nobody's here, and what barriers overtook is not part of any state. */
  #snapshot(): SubtaskSnapshot {
    const { manifest, groups = () => null } = this.#options
    const { stages } = this.#plan
    const [snapshot] = redistribute(manifest, {
      ...{ parallelism: 1, highestParallelism: 1, maxParallelism: manifest.maxParallelism, sinks: [] },
      sourceStages: stages.filter(({ inputs }) => inputs.length === 0).map(({ index }) => index),
    })
    const { inFlight: _inFlight, retired: _retired, ...rest } = snapshot!
    const segments = (
      rest.segments as readonly { readonly stage: number; readonly chain: readonly SegmentRef[] }[]
    ).map(({ stage, chain }) => ({ stage, chain: narrowed(chain, groups(stage)) }))
    return { ...rest, sinks: {}, segments }
  }

  async #settled(): Promise<void> {
    const { settleMs } = this.#options
    for (const source of this.#sources.values()) source.wake()
    const deadline = performance.now() + (settleMs ?? Number.POSITIVE_INFINITY)
    // As in a test (`attempt.ts`): nothing but promises is waited for, and calls that were allowed.
    for (let quiet = 0; quiet < 2;) {
      await turn()
      if (this.#failure !== null) throw this.#failure
      quiet = this.#calls.none && [...this.#sources.values()].every(({ settled }) => settled) ? quiet + 1 : 0
      if (performance.now() <= deadline) continue
      throw new WeirError(
        { code: 'REPLAY_NOT_SETTLED', kind: 'invalid', settleMs },
        `the record was not done after ${settleMs} ms: a function it waits for has not answered`,
      )
    }
  }

  #sliceOf(plan: Plan): Slice {
    const { source, partition, manifest } = this.#options
    const { jobId, generation, attempt } = manifest
    return new Slice(
      { jobId, subtask: subtask(0), plan, freeze: true, attempt: { generation, attempt } },
      {
        clock: this.#clock,
        exchange: new MemoryExchange(),
        createSource: ({ uid }, { signal }) => {
          const reader = new HandedSource(signal, uid === source ? partition : null)
          this.#sources.set(uid, reader)
          return reader
        },
        createSink: (node, context, asides) => {
          const topics = new WrittenTopics()
          this.#written.set(node.uid, topics)
          return new WrittenSink(node, { topics, context, asides })
        },
        createContinuousSink: () => {
          throw wouldWrite('a transaction')
        },
        createClaims: ({ windowMs }) => new MemoryClaims(windowMs, claimPlace()),
        openState: (stage) => this.#openState(stage),
        schemaRegistry: (settings, signal) => this.#registry(settings, signal),
        report: (report) => this.#reported(report),
        turn,
      },
    )
  }

  async #openState(stage: number): Promise<RecordedStates> {
    const { manifest } = this.#options
    const { maxParallelism } = manifest
    const isSource = this.#plan.stages[stage]!.inputs.length === 0
    const store = await openStateStore(
      {
        ...{ dir: newFolder(), writer: '0/1', freeze: true, chainLengthMax: 8, chainRatioMax: 1 },
        keyGroups: isSource ? splitRange(0, 1) : keyGroupRange(0, 1, maxParallelism),
        maxParallelism,
        schemas: schemasIn(this.#plan),
      },
      {
        objects: new ReadOnlyObjects(this.#options.objects),
        upload: (key) => {
          throw wouldWrite(key)
        },
        segmentKey: () => {
          throw wouldWrite('a segment of state')
        },
      },
    )
    const states = new RecordedStates(store, maxParallelism)
    this.#states.set(stage, states)
    return states
  }

  #registry(settings: RegistrySettings, signal: AbortSignal): SchemaRegistry {
    const { registry } = this.#options
    if (registry === undefined) throw new Error('internal: the job has a schema registry, the replay none')
    const asked = registry(settings, signal)
    return {
      byId: (id) => asked.byId(id),
      version: (subject, version) => asked.version(subject, version),
      lookup: (subject, schema) => asked.lookup(subject, schema),
      // What is registered already is found; a new schema stays unknown.
      register: (subject, schema) => asked.lookup(subject, schema),
    }
  }

  #reported(report: SliceReport): void {
    if (report.type === 'failed') this.#failure ??= report.error
  }

  #stopsHere(): boolean {
    const stops = this.#stops
    this.#stops = false
    return stops
  }

  #told(step: Step): void {
    if (this.#steps.length < STEPS_MAX) this.#steps.push(step)
    else this.#stepsLeft++
  }

  #replayed(before: ReadonlyMap<string, ReadonlyMap<string, number>>, failure: WeirError | null): ReplayedRecord {
    const { graph, settings } = this.#plan.job
    const written = graph.nodes.flatMap((node): Written[] => {
      const topics = node.kind === 'sink' ? this.#written.get(node.uid) : undefined
      if (node.kind !== 'sink' || topics === undefined) return []
      const since = (topic: string): Written['records'] =>
        topics.read(topic, 'read_uncommitted').slice(before.get(node.uid)?.get(topic) ?? 0)
      const topic = outputOf(node)
      const decode = this.#codecs.reading(topic) ?? node.decode ?? null
      const dead = settings.deadLetters?.['topic']
      return [{ uid: node.uid, topic, decode, records: since(topic), letters: dead ? since(String(dead)) : [] }]
    })
    const names = new Map(this.#sides.map(({ sink, name }) => [sink, name]))
    return {
      steps: this.#steps,
      stepsLeft: this.#stepsLeft,
      outputs: outputsIn(written.filter(({ uid }) => !names.has(uid))),
      sides: outputsIn(written.filter(({ uid }) => names.has(uid))).map(({ topic: side, sink: _, ...of }) => ({
        side,
        ...of,
      })),
      deadLetters: lettersIn(written),
      ...rowsAndTimers([...this.#states.values()].flatMap((states) => states.rows())),
      suppressed: this.#suppressed,
      failure,
    }
  }
}

/** Once for each group: chains may follow each other where no two have a group in common. */
function narrowed(chain: readonly SegmentRef[], groups: ReadonlySet<number> | null): readonly SegmentRef[] {
  if (groups === null) return chain
  return [...groups].flatMap((group) =>
    chain.flatMap((ref) => {
      const { from, to } = ref.only ?? ref.keyGroups
      return group >= from && group < to ? [{ ...ref, only: { from: group, to: group + 1 } }] : []
    }),
  )
}
