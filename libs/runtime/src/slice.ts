/**
 * One slice of a job: subtask i of every stage, in one thread. It is driven by the control stream's commands and
 * answers with reports; everything outside (Kafka, disk, network) comes in through ports.
 *
 * ```
 *   deploy            recover                         run                              stop
 * ─────────▶ deployed ─────────▶ (sinks resolved,  ──────▶ running ──▶ input ended ──────────▶ stopped
 *                                 state restored,           │  │ trigger → snapshot → ack
 *                                 sources positioned)       │  │ commit → sinks end transactions
 *                                                           ▼
 *                                                         failed: loops stand still, sinks wait for `stop`
 * ```
 *
 * A record goes one way: source loop → chain → partitioner → channel → stage loop → chain → sink. A barrier takes the
 * same way: injected between two batches of the source loop, aligned at the gate, snapshotted, sent on at once; what is
 * slow about a snapshot (uploads, flushes) runs behind it.
 */
import type { SubtaskSnapshot } from '@weir/checkpoint'
import {
  KnownPoison,
  NO_POISON,
  Resumable,
  SplitWatermarks,
  chain,
  fanOut,
  operatorFor,
  operatorGroups,
  readBatch,
  recordAt,
  refuseNone,
  statesOf,
  watermarkCuts,
  watermarkQuantumMs,
  type ChainedSink,
  type CommittedOffset,
  type ContinuousSink,
  type DeadLetterPlan,
  type GraphNode,
  type HandleProof,
  type Input,
  type KeyedStates,
  type LogSourceState,
  type OffsetGap,
  type Operator,
  type OperatorNode,
  type Plan,
  type Poison,
  type ProcessingTimers,
  type Refusal,
  type Refuse,
  type RestoreContext,
  type SegmentRef,
  type SinkAsides,
  type SinkNode,
  type SinkState,
  type SourceBatch,
  type SourceNode,
  type SourceRefusals,
  type SourceReader,
  type SourceState,
  type SplitBegin,
  type SplitProgress,
  type SplitWatermarksState,
  type Stage,
  type StateStore,
  type SubtaskContext,
  type TwoPhaseSink,
} from '@weir/dataflow'
import {
  WATERMARK_MAX,
  WATERMARK_MIN,
  WeirError,
  asWeirError,
  assert,
  epoch as epochOf,
  placeOf,
  type AsideRecord,
  type AttemptId,
  type Cancel,
  type CheckpointId,
  type Clock,
  type Epoch,
  type JobId,
  type OperatorUid,
  type RecordBatch,
  type Subtask,
  type Watermark,
} from '@weir/model'
import { Audit } from './audit.ts'
import { LocalChannel, RemoteInput, RemoteOutput, type InputChannel, type OutputChannel } from './channel.ts'
import { progressOf, startContinuous } from './continuous.ts'
import { deadLettersOf, elementsOf, isOfRecord } from './dead-letters.ts'
import { InputGate } from './input-gate.ts'
import { Pace } from './pace.ts'
import { Partitioner } from './partitioner.ts'
import type { ExchangePort, LinkId, PeerAddress } from './ports.ts'
import { RetiredSinks } from './retired-sinks.ts'
import { Signal } from './signal.ts'
import { StreamContext } from './stream-context.ts'

/** Records asked for in one poll. */
export const POLL_RECORDS_MAX = 2_000
/** The loops give the event loop a turn at least this often: heartbeats, fetches and acks live there. */
const TURN_MS = 8
const PROGRESS_INTERVAL_MS = 100
/** An idle stage looks at its timers at least this often: clocks are set forward, and waits have a longest one. */
const TIMERS_LOOK_MS_MAX = 60_000
/** How long `stop` waits for loops that are inside user code or an adapter's wait. */
const STOP_WAIT_MS = 5_000

export interface SliceOptions {
  readonly jobId: JobId
  readonly attempt: AttemptId
  readonly subtask: Subtask
  readonly plan: Plan
  /** Deep-freeze accumulators: on in development. */
  readonly freeze: boolean
}

export interface SliceDeps {
  readonly clock: Clock
  readonly exchange: ExchangePort
  createSource(node: SourceNode, context: SubtaskContext): SourceReader
  /** `asides` null: nothing goes aside. */
  createSink(node: SinkNode, context: SubtaskContext, asides: SinkAsides | null): TwoPhaseSink
  /** All sinks behind a source in the continuous scope; `context` is the source's. */
  createContinuousSink(source: SourceNode, sinks: readonly ChainedSink[], context: SubtaskContext): ContinuousSink
  /** A fresh store for one stage of this slice. */
  openState(stage: number, context: SubtaskContext): Promise<StateStore>
  readonly report: (report: SliceReport) => void
  /** Lets the event loop run once (setImmediate). */
  readonly turn: () => Promise<void>
}

export type SliceReport =
  | { readonly type: 'progress'; readonly recordsIn: number; readonly recordsOut: number; readonly watermark: number }
  | {
      readonly type: 'ack'
      readonly checkpoint: CheckpointId
      readonly snapshot: SubtaskSnapshot
      readonly alignMs: number
      readonly syncMs: number
      readonly asyncMs: number
    }
  | { readonly type: 'declined'; readonly checkpoint: CheckpointId; readonly error: WeirError }
  | { readonly type: 'committed'; readonly epoch: Epoch }
  /** A source goes on behind a gap. Told again by every attempt while the split has it in its state. */
  | { readonly type: 'source-gap'; readonly source: OperatorUid; readonly gap: OffsetGap }
  /** The last one: the slice is closed. `ahead`: operators whose state had gone on from the last barrier; it is made again. */
  | { readonly type: 'finalized'; readonly committed: Epoch | null; readonly ahead: readonly OperatorUid[] }
  | { readonly type: 'input-ended' }
  | { readonly type: 'failed'; readonly error: WeirError }

/** How `SubtaskSnapshot.segments` is used: the chain of each stateful stage. */
interface StageSegments {
  readonly stage: number
  readonly chain: readonly SegmentRef[]
}

/** A split with a chain of its own: its operators, state and event time are a function of its records alone. */
interface SplitRun {
  readonly input: Input
  watermark: Watermark
  /** Continuous scope: outputs of records below are committed already; the records only rebuild state. */
  readonly replayUntil: number
  /** Continuous scope: and so is what the end of the split puts out. */
  readonly endCommitted: boolean
  /** Of the next record, as far as it is known. */
  offset: number
  ended: boolean
}

interface StageRun {
  readonly stage: Stage
  /** First operator of the stage; of a stage with chains per split, what lies behind them. */
  input: Input
  /** Of a stage that is keyed by its source, and in the continuous scope. */
  splits: Map<number, SplitRun> | null
  readonly quantumMs: number | null
  /** Continuous scope: what each split goes on from. */
  begins: ReadonlyMap<number, SplitBegin> | null
  readonly sinks: { readonly node: SinkNode; readonly sink: TwoPhaseSink }[]
  /** Continuous scope, instead of `sinks`. */
  continuous: { readonly sink: ContinuousSink; committed: ReadonlyMap<number, CommittedOffset> } | null
  /** What reaches a sink now is committed already. */
  muted: boolean
  /** Continuous scope: read and processed, and told to the sink when nothing of it is left to be written. */
  moved: SplitProgress[]
  outputs: Partitioner[]
  state: StateStore | null
  /** Custom operators, by node. */
  readonly resumables: Map<number, Resumable>
  gate: InputGate | null
  readonly source: { readonly node: SourceNode; readonly reader: SourceReader; watermarks: SplitWatermarks } | null
  /** Writes the sinks have not taken yet; awaited before the next element. */
  pending: Promise<void>[]
  /** Taken out of the flow; on their way aside before the next element. */
  refused: Refusal[]
  /** Operators with timers of processing time, and what each emits into. */
  timed: { readonly timers: ProcessingTimers; readonly out: Input }[]
  watermark: Watermark
}

/** What is still missing of one checkpoint of this slice. */
interface OpenCheckpoint {
  readonly checkpoint: CheckpointId
  missing: number
  sources: Record<string, SourceState>
  sinks: Record<string, SinkState>
  segments: StageSegments[]
  watermarks: Record<string, number>
  recordsIn: number
  alignMs: number
  syncMs: number
  startedMs: number
  /** When the barrier reached the slice, ms since 1970. */
  timestamp: number
}

export class Slice {
  readonly #options: SliceOptions
  readonly #deps: SliceDeps
  readonly #abort = new AbortController()
  #stages: StageRun[] = []
  #loops: Promise<void>[] = []
  #channels: (OutputChannel | InputChannel)[] = []
  #open = new Map<Epoch, OpenCheckpoint>()
  /** Barriers asked for and not yet injected, oldest first. */
  #triggers: CheckpointId[] = []
  /** Sources stand still from this barrier on; barriers may still follow. */
  #lastEpoch: Epoch | null = null
  readonly #wake = new Map<number, Signal>()
  #recordsIn = 0
  #recordsOut = 0
  #endedStages = 0
  #failed = false
  #stopped = false
  /** Source positions of epochs that may still become final: bounded by the coordinator's one epoch in flight. */
  #positions = new Map<Epoch, Record<string, SourceState>>()
  #commitTurn: Promise<void> = Promise.resolve()
  #cancelProgress: () => void = () => {}
  readonly #context: StreamContext
  readonly #audit: Audit | null
  #poison: Poison = NO_POISON
  readonly #retired = new RetiredSinks()

  constructor(options: SliceOptions, deps: SliceDeps) {
    this.#options = options
    this.#deps = deps
    this.#context = new StreamContext({ clock: deps.clock })
    const { plan, jobId, attempt, subtask } = options
    const now = (): number => deps.clock.now()
    const { nodes } = plan.job.graph
    this.#audit = plan.audit && new Audit({ plan: plan.audit, nodes, jobId, attempt, subtask, now })
  }

  /** Lifecycle, snapshots and what is dirty. */
  get context(): StreamContext {
    return this.#context
  }

  /**
   * Opens sources, sinks and state and brings them to the restored epoch. Nothing flows before `run`.
   * Sinks go first: a lost or unknown transaction must be found before anything else is touched.
   */
  async recover(
    snapshot: SubtaskSnapshot | null,
    poison: Poison = NO_POISON,
  ): Promise<readonly { sink: string; subtask: Subtask; proof: HandleProof }[]> {
    this.#recordsIn = snapshot?.recordsIn ?? 0
    this.#poison = poison
    for (const stage of this.#options.plan.stages) this.#stages.push(this.#buildStage(stage))
    const { subtask } = this.#options
    const proofs: { sink: string; subtask: Subtask; proof: HandleProof }[] = []
    const retired = this.#recoverRetired(snapshot)
    await Promise.all([
      retired,
      ...this.#stages.flatMap((run) => [
        this.#recoverContinuous(run),
        ...run.sinks.map(async ({ node, sink }) => {
          const restored = (snapshot?.sinks[node.uid] as SinkState | undefined) ?? null
          this.#audit?.restore(node.uid, restored)
          for (const proof of await sink.recover(restored)) proofs.push({ sink: node.uid, subtask, proof })
        }),
      ]),
    ])
    await Promise.all(this.#stages.map((run) => this.#restoreStage(run, snapshot)))
    return [...proofs, ...(await retired)]
  }

  /** Links the slices and starts the loops. */
  async run(peers: readonly PeerAddress[]): Promise<void> {
    const { plan } = this.#options
    const inputs = new Map<number, InputChannel[]>()
    const local = new Map<number, LocalChannel>()
    const opening: Promise<void>[] = []
    for (const stage of plan.stages) {
      if (stage.inputs.length > 0) inputs.set(stage.index, [])
    }
    for (const stage of plan.stages) {
      for (const _from of stage.inputs) {
        const channels = inputs.get(stage.index)!
        for (const peer of peers) {
          const slot = channels.length
          if (peer.subtask === this.#options.subtask) {
            const channel = new LocalChannel(() => this.#signal(_from).notify())
            local.set(stage.index, channel)
            channels.push(channel)
            continue
          }
          channels.push(null as unknown as InputChannel)
          const id = this.#link(peer.subtask, this.#options.subtask, stage.index)
          opening.push(
            this.#deps.exchange.accept(id, peer, this.#abort.signal).then((link) => {
              link.onBroken((error) => this.#fail(asWeirError(error, 'EXCHANGE_BROKEN')))
              channels[slot] = new RemoteInput(link)
            }),
          )
        }
      }
    }
    const outputs = new Map<number, OutputChannel[]>()
    for (const stage of plan.stages) {
      for (const output of stage.outputs) {
        const channels: OutputChannel[] = []
        outputs.set(output.stage, channels)
        for (const peer of peers) {
          if (peer.subtask === this.#options.subtask) {
            channels[peer.subtask] = local.get(output.stage)!
            continue
          }
          const id = this.#link(this.#options.subtask, peer.subtask, output.stage)
          opening.push(
            this.#deps.exchange.connect(id, peer, this.#abort.signal).then((link) => {
              link.onBroken((error) => this.#fail(asWeirError(error, 'EXCHANGE_BROKEN')))
              channels[peer.subtask] = new RemoteOutput(link, () => this.#signal(stage.index).notify())
            }),
          )
        }
      }
    }
    await Promise.all(opening)
    if (this.#over) return
    for (const run of this.#stages) {
      run.outputs = run.stage.outputs.map((o) => new Partitioner(outputs.get(o.stage)!, this.#maxParallelism))
      const channels = inputs.get(run.stage.index)
      if (channels) {
        run.gate = new InputGate(channels, this.#options.attempt, run.watermark, () => this.#deps.clock.monotonic())
        this.#channels.push(...channels)
      }
      for (const o of run.stage.outputs) this.#channels.push(...outputs.get(o.stage)!)
      this.#buildChains(run)
    }
    this.#context.start()
    for (const run of this.#stages) {
      const loop = run.source ? this.#sourceLoop(run, run.source) : this.#stageLoop(run, run.gate!)
      this.#loops.push(loop.catch((error: unknown) => this.#fail(asWeirError(error, 'SLICE_FAILED'))))
    }
    this.#reportProgress()
  }

  /** The barrier of a new epoch: injected by every source loop between two batches. `last`: and nothing behind it. */
  trigger(checkpoint: CheckpointId, last = false): void {
    if (this.#over) return
    if (last) this.#lastEpoch ??= checkpoint.epoch
    this.#open.set(checkpoint.epoch, {
      checkpoint,
      missing: this.#stages.length,
      sources: {},
      sinks: {},
      segments: [],
      watermarks: {},
      recordsIn: 0,
      alignMs: 0,
      syncMs: 0,
      startedMs: this.#deps.clock.monotonic(),
      timestamp: 0,
    })
    this.#triggers.push(checkpoint)
    for (const run of this.#stages) if (run.source) this.#signal(run.stage.index).notify()
  }

  /** The epoch will never be published. Its barrier is dropped; what its sinks prepared stays prepared (PROTOCOL A2). */
  giveUp(checkpoint: CheckpointId): void {
    this.#open.delete(checkpoint.epoch)
    this.#positions.delete(checkpoint.epoch)
    if (this.#lastEpoch === checkpoint.epoch) this.#resumeSources()
    this.#triggers = this.#triggers.filter((c) => c.epoch !== checkpoint.epoch)
    for (const run of this.#stages) run.gate?.giveUp(checkpoint)
    if (this.#over) return
    try {
      this.#context.giveUp(checkpoint.epoch)
    } catch (error) {
      this.#fail(asWeirError(error, 'SLICE_FAILED'))
    }
  }

  /** The last epoch was given up: what is read now is in the next one (PROTOCOL B6). */
  #resumeSources(): void {
    this.#lastEpoch = null
    for (const run of this.#stages) if (run.source) this.#signal(run.stage.index).notify()
  }

  /** Ends exactly the named sequences. Runs beside the loops (PROTOCOL B3); commits of one slice follow each other. */
  commit(epoch: Epoch, upTo: Readonly<Record<string, number>>): void {
    this.#commitTurn = this.#commitTurn.then(async () => {
      if (this.#over) return
      try {
        await this.#retired.committed()
        await Promise.all(
          this.#stages.flatMap((run) =>
            run.sinks.flatMap(({ node, sink }) => {
              const sequence = upTo[node.uid]
              return sequence === undefined ? [] : [sink.commit(sequence)]
            }),
          ),
        )
        if (this.#over) return
        this.#context.complete(epoch)
        this.#deps.report({ type: 'committed', epoch })
        const positions = this.#positions.get(epoch)
        for (const run of this.#stages) {
          const position = run.source && positions?.[run.source.node.uid]
          if (position) run.source!.reader.committed?.(position)
        }
        for (const e of this.#positions.keys()) if (e <= epoch) this.#positions.delete(e)
      } catch (error) {
        this.#fail(asWeirError(error, 'COMMIT_REFUSED'))
      }
    })
  }

  /** Ends everything; afterwards nothing of this slice is alive. Safe to call in any state. */
  async stop(mode: 'leave' | 'abort'): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#end(new WeirError({ code: 'SLICE_STOPPED', kind: 'restart' }, 'the slice was stopped'))
    const { clock } = this.#deps
    await Promise.race([Promise.all([...this.#loops, this.#commitTurn]), clock.sleep(STOP_WAIT_MS)])
    for (const channel of this.#channels) channel?.close()
    const closed = this.#context.close()
    this.#reportFinal()
    await Promise.allSettled([
      Promise.race([closed, clock.sleep(STOP_WAIT_MS)]), // user code is in it
      this.#retired.close(mode),
      ...this.#stages.flatMap((run) => [
        ...run.sinks.map(({ sink }) => sink.close(mode)),
        run.continuous?.sink.close(mode),
        run.source?.reader.close(),
      ]),
    ])
  }

  // ---- building -----------------------------------------------------------------------------------------------------

  get #maxParallelism(): number {
    return this.#options.plan.job.settings.maxParallelism
  }

  get #over(): boolean {
    return this.#abort.signal.aborted
  }

  get #deadLetters(): DeadLetterPlan | null {
    return this.#options.plan.deadLetters
  }

  #node(index: number): GraphNode {
    return this.#options.plan.job.graph.nodes[index]!
  }

  #contextOf(uid: OperatorUid): SubtaskContext {
    const { jobId, attempt, subtask, plan } = this.#options
    const { parallelism, maxParallelism } = plan.job.settings
    return { jobId, attempt, operatorUid: uid, subtask, parallelism, maxParallelism, signal: this.#abort.signal }
  }

  #link(from: Subtask, to: Subtask, stage: number): LinkId {
    return { jobId: this.#options.jobId, attempt: this.#options.attempt, from, to, stage }
  }

  #signal(stage: number): Signal {
    let signal = this.#wake.get(stage)
    if (!signal) this.#wake.set(stage, (signal = new Signal()))
    return signal
  }

  #buildStage(stage: Stage): StageRun {
    const head = this.#node(stage.head)
    const refused: Refusal[] = []
    const sinkNodes = stage.nodes.flatMap((index) => {
      const node = this.#node(index)
      return node.kind === 'sink' ? [{ node, asides: this.#asidesOf(refused, index, node) }] : []
    })
    const isContinuous = this.#options.plan.job.settings.commit.scope === 'continuous' && head.kind === 'source'
    const continuous = isContinuous ? this.#deps.createContinuousSink(head, sinkNodes, this.#contextOf(head.uid)) : null
    const sinks = isContinuous
      ? []
      : sinkNodes.map(({ node, asides }) => {
          return { node, sink: this.#deps.createSink(node, this.#contextOf(node.uid), asides) }
        })
    const windowSizesMs = stage.nodes.flatMap((index) => {
      const node = this.#node(index)
      if (node.kind === 'keyedProcess') return [1] // its timers may be set to any time
      return node.kind === 'window' ? [node.window.sizeMs] : []
    })
    const source =
      head.kind === 'source'
        ? {
            node: head,
            reader: this.#deps.createSource(head, this.#contextOf(head.uid)),
            watermarks: new SplitWatermarks({ outOfOrderMs: head.outOfOrderMs }, []),
          }
        : null
    return {
      stage,
      input: fanOut([]),
      splits: null,
      begins: null,
      quantumMs: watermarkQuantumMs(windowSizesMs),
      sinks,
      continuous: continuous && { sink: continuous, committed: new Map() },
      muted: false,
      moved: [],
      outputs: [],
      state: null,
      resumables: new Map(),
      gate: null,
      source,
      pending: [],
      refused,
      timed: [],
      watermark: WATERMARK_MIN,
    }
  }

  #asidesOf(refused: Refusal[], index: number, { uid, descriptor }: SinkNode): SinkAsides | null {
    const { deadLetters, audit } = this.#options.plan.job.settings
    if (deadLetters === null && audit === null) return null
    const topics = [deadLetters, audit].flatMap((to) =>
      to?.connector === descriptor.connector ? [String(to['topic'])] : [],
    )
    const known = deadLetters && new KnownPoison(uid, this.#poison)
    return { topics, refuse: this.#refuseAt(refused, index), known, audit: this.#audit?.sink(index) ?? null }
  }

  #recoverRetired(snapshot: SubtaskSnapshot | null): ReturnType<RetiredSinks['recover']> {
    const indices = new Map(this.#options.plan.job.graph.nodes.map((node, index) => [node, index]))
    return this.#retired.recover(snapshot?.retired ?? {}, {
      nodes: [...indices.keys()].filter((node) => node.kind === 'sink'),
      createSink: (node, subtask) => {
        const asides = this.#asidesOf([], indices.get(node)!, node)
        const context = { ...this.#contextOf(node.uid), subtask }
        return this.#deps.createSink(node, context, asides && { ...asides, audit: null })
      },
    })
  }

  async #recoverContinuous({ continuous }: StageRun): Promise<void> {
    if (continuous === null) return
    continuous.sink.onFailure((error) => this.#fail(error))
    continuous.committed = await continuous.sink.recover()
  }

  async #restoreStage(run: StageRun, snapshot: SubtaskSnapshot | null): Promise<void> {
    const { index } = run.stage
    const { checkpoint } = snapshot ?? {}
    // Of an epoch before snapshots had their name: it is known to be one, not which.
    const context: RestoreContext | null = snapshot && {
      epoch: checkpoint?.epoch ?? epochOf(0),
      checkpointTimestamp: checkpoint?.timestamp ?? 0,
    }
    if (run.stage.nodes.some((i) => statesOf(this.#node(i)).length > 0)) {
      run.state = await this.#deps.openState(index, this.#contextOf(this.#node(run.stage.head).uid))
      const stored = (snapshot?.segments as readonly StageSegments[] | undefined)?.find((s) => s.stage === index)
      this.#context.registerStateBackend(index, run.state) // first: also one that fails is closed
      await run.state.restore(stored?.chain ?? [])
      await this.#restoreOperators(run, run.state, context)
    }
    if (run.source) {
      const { uid } = run.source.node
      const position = (snapshot?.sources[uid] as SourceState | undefined) ?? null
      run.source.reader.onGap?.((gap) => this.#deps.report({ type: 'source-gap', source: uid, gap }))
      const splits = await this.#openSource(run, run.source.reader, position, position && context)
      const restored: Record<string, number> = {}
      for (const split of splits) {
        const watermark = snapshot?.watermarks[`${uid}/${split}`]
        if (watermark !== undefined) restored[split] = watermark
      }
      run.source.watermarks = new SplitWatermarks({ outOfOrderMs: run.source.node.outOfOrderMs }, splits, restored)
      run.watermark = snapshot?.watermarks[`stage-${index}`] ?? WATERMARK_MIN
    } else run.watermark = snapshot?.watermarks[`stage-${index}`] ?? WATERMARK_MIN
  }

  async #restoreOperators(run: StageRun, state: StateStore, restored: RestoreContext | null): Promise<void> {
    const { index, head, nodes } = run.stage
    for (const i of nodes) {
      const node = this.#node(i)
      if (node.kind !== 'resumable') continue
      const context = this.#contextOf(node.uid)
      const groups = operatorGroups(this.#node(head).kind === 'source' ? 'source' : 'keyed', context)
      const operator = new Resumable(node, { ...context, state, groups })
      run.resumables.set(i, operator)
      await this.#context.registerOperator(index, operator, restored)
    }
  }

  async #openSource(
    run: StageRun,
    reader: SourceReader,
    position: SourceState | null,
    restored: RestoreContext | null,
  ): Promise<readonly number[]> {
    if (run.continuous === null) return reader.open(position, restored)
    const head = this.#node(run.stage.head) as SourceNode
    const { jobId, attempt } = this.#options
    run.begins = await startContinuous({
      ...{ jobId, generation: attempt.generation, reader, ...run.continuous },
      topic: String(head.descriptor['topic']),
      restored: position as LogSourceState | null,
      context: restored,
    })
    return [...run.begins.keys()]
  }

  #buildChains(run: StageRun): void {
    const state = run.state ?? NO_STATE
    const keyedBySource = run.stage.nodes.some((i) => this.#node(i).kind === 'keyedBySource')
    if (!keyedBySource && run.continuous === null) {
      const { watermark } = run
      run.input = this.#chain(run, {
        state,
        watermark,
        output: (partitioner) => ({
          emit: (batch) => partitioner.write(batch),
          watermark: (timestamp) => partitioner.watermark(timestamp),
          end: () => partitioner.end(),
        }),
      })
      return
    }
    run.splits = new Map()
    for (const [split, watermark] of Object.entries(run.source!.watermarks.snapshot())) {
      const input = this.#chain(run, {
        state: { keyed: (uid, name) => state.keyed(uid, name, Number(split)) },
        watermark,
        output: (partitioner) => ({ emit: (batch) => partitioner.write(batch), watermark: () => {}, end: () => {} }),
      })
      const resume = run.begins?.get(Number(split))?.resume
      const replay = resume?.kind === 'replay' ? resume : null
      run.splits.set(Number(split), {
        ...{ input, watermark, ended: false },
        offset: Number(replay?.from.offset ?? 0),
        replayUntil: replay?.until ?? 0,
        endCommitted: replay?.mark.ended ?? false,
      })
    }
    run.input = {
      emit: () => assert(false, 'records of a split went round its chain'),
      // What leaves the stage has the event time of all its splits.
      watermark: (timestamp) => {
        for (const output of run.outputs) output.watermark(timestamp)
      },
      end: () => {
        for (const { input } of run.splits!.values()) input.end()
        for (const output of run.outputs) output.end()
      },
    }
  }

  /** Operators of the stage as one call tree: from its head down to sinks and partitioners. */
  #chain(run: StageRun, place: ChainPlace): Input {
    const { edges } = this.#options.plan.job.graph
    const inStage = new Set(run.stage.nodes)
    const build = (index: number): Input => {
      const after = edges.filter(([from]) => from === index)
      return fanOut(after.map(([, to]) => this.#entry(run, place, to, inStage, build)))
    }
    return build(run.stage.head)
  }

  /** What an edge leads to: a partitioner (keyBy), a sink or an operator with everything behind it. */
  #entry(
    run: StageRun,
    place: ChainPlace,
    index: number,
    inStage: ReadonlySet<number>,
    build: (index: number) => Input,
  ): Input {
    const node = this.#node(index)
    if (node.kind === 'sink') return this.#sinkInput(run, node)
    const output = run.stage.outputs.findIndex((o) => o.keyBy === index)
    assert(output >= 0 || inStage.has(index), `node ${node.uid} is not in stage ${run.stage.index}`)
    assert(node.kind !== 'source', 'an edge leads into a source')
    const operator: Operator = run.resumables.get(index) ?? operatorFor(node as OperatorNode)
    operator.open({
      uid: node.uid,
      subtask: this.#options.subtask,
      parallelism: this.#options.plan.job.settings.parallelism,
      maxParallelism: this.#maxParallelism,
      state: place.state,
      watermark: place.watermark,
      counters: { lateRecords: 0 },
      clock: this.#deps.clock,
      refuse: this.#refuseAt(run.refused, index),
      freeze: this.#options.freeze,
    })
    const next = output >= 0 ? place.output(run.outputs[output]!) : build(index)
    if (operator.processing) run.timed.push({ timers: operator.processing, out: next })
    return chain([operator], next)
  }

  #sinkInput(run: StageRun, node: SinkNode): Input {
    const { continuous } = run
    const sink = run.sinks.find((s) => s.node === node)?.sink
    return {
      emit: (batch: RecordBatch) => {
        if (run.muted) return
        this.#recordsOut += batch.values.length
        const full = continuous ? continuous.sink.write(node.uid, batch) : sink!.write(batch)
        this.#awaitLater(run, full)
      },
      watermark: () => {},
      end: () => {},
    }
  }

  // ---- dead letters -------------------------------------------------------------------------------------------------

  #refuseAt(refused: Refusal[], index: number): Refuse {
    const plan = this.#deadLetters
    if (plan === null) return refuseNone
    const operatorUid = this.#node(index).uid
    return ({ keys, values, timestamps, origins }, i, error) => {
      if (!isOfRecord(error)) throw error
      const key = keys === null ? null : keys[i]!
      const origin = origins && {
        place: origins.places[i]!,
        offset: origins.offsets[i]!,
        ordinal: origins.ordinals === null ? null : origins.ordinals[i]!,
      }
      const whole = plan.whole[index]!
      const [value, timestamp] = [values[i], timestamps[i]!]
      refused.push({ operatorUid, error, value, key, timestamp, origin: origin ?? null, record: null, whole })
    }
  }

  /** Null: a record that cannot be read stops the job. */
  #sourceRefusals(run: StageRun, node: SourceNode, polled: SourceBatch): SourceRefusals | null {
    const plan = this.#deadLetters
    if (plan === null) return null
    const place = placeOf(run.stage.head, polled.split)
    return {
      place,
      refuse: (i, error) => {
        const raw = polled.kind === 'raw' ? polled.raw : null
        const offset = raw === null ? (polled as SourceBatch & { kind: 'values' }).offsets[i]! : raw.offsets[i]!
        if (offset < (run.splits?.get(polled.split)?.replayUntil ?? 0)) return
        run.refused.push({
          operatorUid: node.uid,
          error,
          value: raw === null ? (polled as SourceBatch & { kind: 'values' }).values[i] : undefined,
          key: null,
          timestamp: null,
          origin: { place, offset, ordinal: null },
          record: raw && recordAt(raw, i),
          whole: plan.whole[run.stage.head]!,
        })
      },
    }
  }

  async #putAside(run: StageRun): Promise<void> {
    const { jobId, attempt, subtask, plan } = this.#options
    const refusals = run.refused.splice(0)
    const options = { plan: this.#deadLetters!, nodes: plan.job.graph.nodes, jobId, attempt, subtask }
    const readerOf = (source: number): SourceReader => this.#stages.find((s) => s.stage.head === source)!.source!.reader
    for (const element of elementsOf(await deadLettersOf(refusals, options, readerOf))) this.#passAside(run, element)
  }

  /** Into a transaction here, or on to the stage that has one. */
  #passAside(run: StageRun, records: readonly AsideRecord[]): void {
    const route = this.#deadLetters!.routes[run.stage.index]!
    if ('output' in route) return run.outputs[route.output]!.aside(records, this.#options.subtask)
    const node = this.#node(route.sink)
    const sink = run.continuous?.sink ?? run.sinks.find((s) => s.node === node)!.sink
    const full = sink.writeAside(records)
    this.#awaitLater(run, full)
  }

  // ---- loops --------------------------------------------------------------------------------------------------------

  async #sourceLoop(run: StageRun, source: NonNullable<StageRun['source']>): Promise<void> {
    const { clock } = this.#deps
    const { node, reader } = source
    const wake = this.#signal(run.stage.index)
    const { parallelism } = this.#options.plan.job.settings
    const pace =
      node.recordsPerSecond === null ? null : new Pace(node.recordsPerSecond / parallelism, clock.monotonic())
    const injected = new Set<Epoch>()
    let ended = false
    let haltedAt: Epoch | null = null
    this.#advance(run, source.watermarks.current)
    let turnAt = clock.monotonic()
    while (!this.#over) {
      for (const checkpoint of this.#triggers) {
        if (injected.has(checkpoint.epoch)) continue
        injected.add(checkpoint.epoch)
        if (checkpoint.epoch === this.#lastEpoch) haltedAt = checkpoint.epoch
        if (injected.size > 16) injected.delete(injected.values().next().value!)
        this.#snapshot(run, checkpoint, 0)
      }
      if (ended || (haltedAt !== null && haltedAt === this.#lastEpoch)) {
        await wake.wait()
        continue
      }
      if (this.#fireTimers(run)) await this.#drain(run)
      await this.#room(run, wake)
      // What is only read again is not paced: it holds up everybody behind it.
      const metered = this.#replaying(run) ? null : pace
      const allowance = metered?.take(clock.monotonic(), POLL_RECORDS_MAX) ?? POLL_RECORDS_MAX
      if (allowance === 0) {
        await this.#waitOr(wake, metered!.waitMs(clock.monotonic()))
        continue
      }
      const polled = await reader.poll(allowance)
      if (this.#over) return
      if (polled === 'idle') {
        metered?.giveBack(allowance)
        for (const output of run.outputs) output.flush()
      } else if (polled === 'end') {
        ended = true
        this.#advance(run, WATERMARK_MAX)
        run.input.end()
        this.#stageEnded()
      } else if (polled.kind === 'split-end') {
        metered?.giveBack(allowance)
        if (run.splits !== null) this.#endSplit(run, polled.split)
        this.#advance(run, source.watermarks.end(polled.split))
      } else {
        const count = polled.kind === 'raw' ? polled.raw.count : polled.values.length
        this.#audit?.read(run.stage.head, polled)
        const batch = readBatch(node, polled, this.#sourceRefusals(run, node, polled))
        metered?.giveBack(allowance - count)
        this.#recordsIn += count
        const watermark = source.watermarks.observe(polled.split, batch.timestamps)
        if (run.splits !== null) this.#emitToSplit(run, polled, batch)
        else if (batch.values.length > 0) run.input.emit(batch)
        this.#advance(run, watermark)
      }
      if (run.pending.length > 0 || run.refused.length > 0) await this.#drain(run)
      if (run.moved.length > 0) run.continuous?.sink.advance(run.moved.splice(0))
      if (clock.monotonic() - turnAt >= TURN_MS) {
        // Records may lie in half-filled frames: others work while this thread serves its sockets.
        for (const output of run.outputs) output.flush()
        await this.#deps.turn()
        turnAt = clock.monotonic()
      }
    }
  }

  async #stageLoop(run: StageRun, gate: InputGate): Promise<void> {
    const { clock } = this.#deps
    const wake = this.#signal(run.stage.index)
    this.#abort.signal.addEventListener('abort', () => gate.wake(), { once: true })
    let turnAt = clock.monotonic()
    while (!this.#over) {
      if (this.#fireTimers(run)) await this.#drain(run)
      const event = gate.next()
      if (event === undefined) {
        for (const output of run.outputs) output.flush()
        const cancel = this.#wakeForTimers(run, gate)
        await gate.arrival()
        cancel?.()
        turnAt = clock.monotonic()
        continue
      }
      switch (event.type) {
        case 'records':
          run.input.emit(event.batch)
          break
        case 'watermark':
          this.#advance(run, event.timestamp)
          break
        case 'aside':
          this.#passAside(run, event.records)
          break
        case 'barrier':
          this.#snapshot(run, event.checkpoint, event.alignMs)
          break
        case 'end':
          run.input.end()
          this.#stageEnded()
          break
      }
      if (run.pending.length > 0 || run.refused.length > 0) await this.#drain(run)
      await this.#room(run, wake)
      if (clock.monotonic() - turnAt >= TURN_MS) {
        await this.#deps.turn()
        turnAt = clock.monotonic()
      }
    }
  }

  #emitToSplit(run: StageRun, polled: SourceBatch, batch: RecordBatch): void {
    const of = run.splits!.get(polled.split)!
    if (run.continuous === null) return this.#emitAtWatermarks(run, of, batch)
    const polledOffsets = polled.kind === 'raw' ? polled.raw.offsets : polled.offsets
    const last = polledOffsets[(polled.kind === 'raw' ? polled.raw.count : polledOffsets.length) - 1]!
    // Where some were refused, the batch has fewer records than were polled.
    const offsets = batch.origins?.offsets ?? polledOffsets
    const count = batch.values.length
    let replayed = 0
    while (replayed < count && offsets[replayed]! < of.replayUntil) replayed++
    if (replayed > 0) {
      this.#muted(run, () => this.#emitAtWatermarks(run, of, replayed === count ? batch : sliceOf(batch, 0, replayed)))
    }
    if (replayed < count) this.#emitAtWatermarks(run, of, replayed === 0 ? batch : sliceOf(batch, replayed, count))
    of.offset = last + 1
    run.moved.push({ split: polled.split, offset: of.offset, ended: false })
  }

  /** The windows that are still open fire. */
  #endSplit(run: StageRun, split: number): void {
    const of = run.splits!.get(split)!
    if (of.endCommitted) this.#muted(run, () => of.input.watermark(WATERMARK_MAX))
    else of.input.watermark(WATERMARK_MAX)
    of.ended = true
    if (run.continuous !== null) run.moved.push(...this.#progressOf(run))
  }

  /** Outputs and dead letters of the call are in their topics already: it only rebuilds state. */
  #muted(run: StageRun, call: () => void): void {
    const refused = run.refused.length
    run.muted = true
    call()
    run.muted = false
    run.refused.length = refused
  }

  #emitAtWatermarks(run: StageRun, of: SplitRun, batch: RecordBatch): void {
    const { outOfOrderMs } = run.source!.node
    const cuts = watermarkCuts(batch.timestamps, of.watermark, { outOfOrderMs, quantumMs: run.quantumMs })
    let from = 0
    for (const { to, watermark } of cuts) {
      if (to > from) of.input.emit(cuts.length === 1 ? batch : sliceOf(batch, from, to))
      if (watermark > of.watermark) of.input.watermark((of.watermark = watermark))
      from = to
    }
  }

  #replaying(run: StageRun): boolean {
    if (run.splits !== null)
      for (const { offset, replayUntil } of run.splits.values()) if (offset < replayUntil) return true
    return false
  }

  #progressOf(run: StageRun): SplitProgress[] {
    return progressOf(run.source!.reader.snapshot(), (split) => run.splits!.get(split)!.ended)
  }

  #advance(run: StageRun, watermark: Watermark): void {
    if (watermark <= run.watermark) return
    run.watermark = watermark
    run.input.watermark(watermark)
  }

  /** Those of processing time. Fired between two elements: a barrier is before or behind, and their rows are in its state. */
  #fireTimers(run: StageRun): boolean {
    let fired = false
    for (const { timers, out } of run.timed) {
      if (timers.nextMs > this.#deps.clock.now()) continue
      timers.fire(out)
      fired = true
    }
    return fired
  }

  #wakeForTimers({ timed }: StageRun, gate: InputGate): Cancel | null {
    let next = Number.POSITIVE_INFINITY
    for (const { timers } of timed) next = Math.min(next, timers.nextMs)
    if (next === Number.POSITIVE_INFINITY) return null
    const { clock } = this.#deps
    return clock.after(Math.min(Math.max(next - clock.now(), 0), TIMERS_LOOK_MS_MAX), () => gate.wake())
  }

  /** Holds the loop while a receiver has no room; a barrier may still be injected by the caller after it. */
  async #room(run: StageRun, wake: Signal): Promise<void> {
    while (!this.#over && run.outputs.some((o) => o.full)) await wake.wait()
  }

  /** A write the sink has not taken yet. Should the loop end before it awaits it, its failure is one of those that ended it. */
  #awaitLater(run: StageRun, write: Promise<void> | undefined): void {
    if (write === undefined) return
    write.catch(() => {})
    run.pending.push(write)
  }

  /** Nothing of what came before is left behind: a barrier may follow. */
  async #drain(run: StageRun): Promise<void> {
    while (run.pending.length > 0 || run.refused.length > 0) {
      const writes = run.pending
      run.pending = []
      if (run.refused.length > 0) writes.push(this.#putAside(run))
      await Promise.all(writes)
    }
  }

  async #waitOr(wake: Signal, ms: number): Promise<void> {
    const cancel = this.#deps.clock.after(ms, () => wake.notify())
    await wake.wait()
    cancel()
  }

  // ---- checkpoints --------------------------------------------------------------------------------------------------

  /**
   * The barrier in one stage. The synchronous part fixes position, state and open transaction; the barrier goes on at
   * once; what takes time runs behind it and ends in the ack.
   */
  #snapshot(run: StageRun, checkpoint: CheckpointId, alignMs: number): void {
    const open = this.#open.get(checkpoint.epoch)
    const { clock } = this.#deps
    const started = clock.monotonic()
    const barrier = this.#context.barrier(checkpoint)
    if (open) open.timestamp = barrier.timestamp
    const work: Promise<void>[] = []
    const parts: { sinks: Record<string, SinkState>; segments: StageSegments | null } = { sinks: {}, segments: null }
    if (run.source) this.#audit?.barrier(run.stage.head, checkpoint)
    if (checkpoint.epoch === this.#lastEpoch) run.timed = [] // what fires behind it would be in no epoch
    // Prepared also when the epoch was given up meanwhile: the cut through this stage is where the barrier is (A2).
    for (const { node, sink } of run.sinks) {
      const preparing = sink.prepare(checkpoint)
      const receipt = this.#audit?.newest(node.uid) // as of this barrier: the next one has another
      const prepared = preparing.then(
        (state) => void (parts.sinks[node.uid] = { ...state, ...(receipt && { receipt }) }),
      )
      // A sink that could not prepare has a transaction nobody may commit: the attempt is over, whatever the reason.
      prepared.catch((error: unknown) => this.#fail(asWeirError(error, 'PREPARE_FAILED')))
      work.push(prepared)
    }
    const { index } = run.stage
    const stored = this.#context.snapshot(index, barrier)
    if (stored) work.push(stored.then((chain) => void (parts.segments = { stage: index, chain })))
    const watermarks: Record<string, number> = { [`stage-${run.stage.index}`]: run.watermark }
    const position = run.source?.reader.snapshot()
    const recordsIn = this.#recordsIn
    if (run.source) {
      const splits: SplitWatermarksState = run.source.watermarks.snapshot()
      for (const [split, watermark] of Object.entries(splits)) watermarks[`${run.source.node.uid}/${split}`] = watermark
    }
    if (run.continuous !== null) work.push(run.continuous.sink.barrier(checkpoint, this.#progressOf(run)))
    for (const output of run.outputs) output.barrier(checkpoint)
    const syncMs = clock.monotonic() - started
    void Promise.all(work).then(
      () => {
        if (open === undefined || this.#open.get(checkpoint.epoch) !== open) return
        Object.assign(open.sinks, parts.sinks)
        Object.assign(open.watermarks, watermarks)
        if (parts.segments) open.segments.push(parts.segments)
        if (run.source && position) {
          open.sources[run.source.node.uid] = position
          open.recordsIn = Math.max(open.recordsIn, recordsIn)
        }
        open.alignMs = Math.max(open.alignMs, alignMs)
        open.syncMs = Math.max(open.syncMs, syncMs)
        if (--open.missing === 0) this.#ack(open)
      },
      (thrown: unknown) => {
        const error = asWeirError(thrown, 'SNAPSHOT_FAILED')
        // A failed upload of state is only a declined epoch: the changes are in the next snapshot.
        if (error.code.startsWith('OBJECT_STORE')) {
          this.#open.delete(checkpoint.epoch)
          this.#deps.report({ type: 'declined', checkpoint, error })
        } else this.#fail(error)
      },
    )
  }

  #ack(open: OpenCheckpoint): void {
    const { epoch } = open.checkpoint
    this.#open.delete(epoch)
    this.#triggers = this.#triggers.filter((c) => c.epoch > epoch)
    this.#positions.set(epoch, open.sources)
    const retired = this.#retired.snapshot()
    this.#deps.report({
      type: 'ack',
      checkpoint: open.checkpoint,
      snapshot: {
        subtask: this.#options.subtask,
        sources: open.sources,
        segments: open.segments,
        sinks: open.sinks,
        watermarks: open.watermarks,
        recordsIn: open.recordsIn,
        checkpoint: { epoch, timestamp: open.timestamp },
        ...(retired && { retired }),
      },
      alignMs: Math.round(open.alignMs),
      syncMs: Math.round(open.syncMs),
      asyncMs: Math.round(this.#deps.clock.monotonic() - open.startedMs),
    })
  }

  // ---- ends ---------------------------------------------------------------------------------------------------------

  #stageEnded(): void {
    if (++this.#endedStages < this.#stages.length) return
    this.#progress()
    this.#deps.report({ type: 'input-ended' })
  }

  #fail(error: WeirError): void {
    if (this.#failed || this.#over) return
    this.#failed = true
    this.#end(error)
    this.#deps.report({ type: 'failed', error })
  }

  #reportFinal(): void {
    const { state, final } = this.#context
    if (final === null || state.lifecycle !== 'CLOSING') return // it never ran
    const committed = state.committed?.checkpoint.epoch ?? null
    this.#deps.report({ type: 'finalized', committed, ahead: final.ahead })
  }

  #end(reason: WeirError): void {
    this.#cancelProgress()
    if (!this.#over) this.#abort.abort(reason)
    for (const signal of this.#wake.values()) signal.notify()
    for (const run of this.#stages) run.gate?.wake()
  }

  #reportProgress(): void {
    if (this.#over) return
    this.#progress()
    const cancel = this.#deps.clock.after(PROGRESS_INTERVAL_MS, () => this.#reportProgress())
    this.#cancelProgress = cancel
  }

  #progress(): void {
    const watermark = Math.min(...this.#stages.map((run) => run.watermark))
    this.#deps.report({ type: 'progress', recordsIn: this.#recordsIn, recordsOut: this.#recordsOut, watermark })
  }
}

/** Where a chain of operators stands: what its operators open with, and how records leave it. */
interface ChainPlace {
  readonly state: KeyedStates
  readonly watermark: Watermark
  readonly output: (partitioner: Partitioner) => Input
}

/** `keys` is null: in front of a source's chain no key is known. */
const sliceOf = ({ values, timestamps, origins }: RecordBatch, from: number, to: number): RecordBatch => ({
  keys: null,
  values: values.slice(from, to),
  timestamps: timestamps.slice(from, to),
  origins: origins && {
    places: origins.places.slice(from, to),
    offsets: origins.offsets.slice(from, to),
    ordinals: origins.ordinals?.slice(from, to) ?? null,
  },
})

const NO_STATE = {
  keyed(uid: OperatorUid): never {
    throw new WeirError({ code: 'INTERNAL', kind: 'invalid', operatorUid: uid }, `operator ${uid} has no state store`)
  },
}
