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
 * `recovery.ts` brings it to an epoch, `links.ts` opens its channels, `chains.ts` builds its operators; the loops are
 * `source-loop.ts` and `stage-loop.ts`, its part in checkpoints is `participation.ts`, and `slice-scope.ts` is what they share.
 *
 * A record goes one way: source loop → chain → partitioner → channel → stage loop → chain → sink. A barrier takes the
 * same way: injected between two batches of the source loop, aligned at the gate, snapshotted, sent on at once; what is
 * slow about a snapshot (uploads, flushes) runs behind it.
 */
import { NO_POISON, type AlignBound, type Poison, type RateLimits, type StageOutput } from '@weir/dataflow'
import { WATERMARK_MIN, WeirError, asWeirError, type Cancel, type CheckpointId, type Epoch } from '@weir/model'
import { PLAIN_CUT, type Cut, type SubtaskSnapshot } from '@weir/checkpoint'
import { reachOf } from './cutting-reader.ts'
import { bufferTimeoutOf } from './buffer-timeout.ts'
import { buildChains } from './chains.ts'
import type { InputChannel, OutputChannel } from './channel.ts'
import type { OvertakingGate } from './gate-event.ts'
import { InputGate } from './input-gate.ts'
import { endsOf, openChannels } from './links.ts'
import { Broadcast, Forward, type Outlet } from './outlet.ts'
import { Participation } from './participation.ts'
import { Partitioner } from './partitioner.ts'
import type { PeerAddress } from './ports.ts'
import { recoverSlice, type SinkProof } from './recovery.ts'
import type { SliceDeps, SliceOptions } from './slice-ports.ts'
import { SliceScope } from './slice-scope.ts'
import { sourceLoop } from './source-loop.ts'
import { lowsOf, splitTimesOf } from './split-timing.ts'
import { claimCountsOf, lateCountsOf } from './operator-counts.ts'
import { metricsOf } from './slice-metrics.ts'
import { ratesOf } from './source-pace.ts'
import { stageLoop } from './stage-loop.ts'
import type { InFlightElement } from './restored-flight.ts'
import type { Sender, StageRun } from './stage-run.ts'
import type { StreamContext } from './stream-context.ts'

const PROGRESS_INTERVAL_MS = 100
/** Of so many reports one tells of every split. */
const SPLITS_TOLD_EVERY = 10
/** How long `stop` waits for loops that are inside user code or an adapter's wait. */
const STOP_WAIT_MS = 5_000

export class Slice {
  readonly #scope: SliceScope
  readonly #participation: Participation
  #loops: Promise<void>[] = []
  #channels: (OutputChannel | InputChannel)[] = []
  #endedStages = 0
  #stopped = false
  #progressTold = 0
  #cancelProgress: Cancel = () => {}

  constructor(options: SliceOptions, deps: SliceDeps) {
    this.#scope = new SliceScope(options, deps)
    this.#scope.signal.addEventListener('abort', () => this.#cancelProgress(), { once: true })
    this.#participation = new Participation(this.#scope)
  }

  /** Lifecycle, snapshots and what is dirty. */
  get context(): StreamContext {
    return this.#scope.context
  }

  /**
   * Opens sources, sinks and state and brings them to the restored epoch. Nothing flows before `run`.
   * Sinks go first: a lost or unknown transaction must be found before anything else is touched.
   */
  async recover(snapshot: SubtaskSnapshot | null, poison: Poison = NO_POISON): Promise<readonly SinkProof[]> {
    return recoverSlice(this.#scope, snapshot, poison)
  }

  /** Links the slices and starts the loops. */
  async run(peers: readonly PeerAddress[]): Promise<void> {
    const scope = this.#scope
    const { inputs, outputs } = await openChannels(scope, peers)
    if (scope.over) return
    for (const run of scope.stages) {
      const { stage } = run
      const channelsOut = outputs[stage.index]!
      run.outputs = stage.outputs.map((output, i) => this.#outlet(run, output, channelsOut[i]!))
      run.bufferTimeout = bufferTimeoutOf(scope, run)
      const channels = inputs.get(stage.index)
      if (channels) {
        run.senders = this.#sendersTo(run, peers)
        run.gate = this.#gate(run, channels)
        this.#channels.push(...channels)
      }
      this.#channels.push(...channelsOut.flat())
      buildChains(scope, run)
    }
    this.#tellRestoredWatermarks()
    scope.context.start()
    const deps = {
      ...{ scope, participation: this.#participation },
      // The first epoch may be waited for, and is triggered by what this tells.
      begun: () => this.#progress(),
      ended: () => this.#stageEnded(),
    }
    for (const run of scope.stages) {
      const loop = run.source ? sourceLoop(run, run.source, deps) : stageLoop(run, run.gate!, deps)
      this.#loops.push(loop.catch((error: unknown) => scope.fail(asWeirError(error, 'SLICE_FAILED'))))
    }
    this.#reportProgress()
  }

  /**
   * The barrier of a new epoch: injected by every source loop between two batches. `last`: and nothing behind it. `cut`: in front of which
   * record. `degraded`: the job's degrade switch behind it.
   */
  trigger(checkpoint: CheckpointId, last = false, cut: Cut = PLAIN_CUT, degraded = false): void {
    this.#scope.degradeSwitch.told(checkpoint.epoch, degraded)
    this.#participation.trigger(checkpoint, last, cut)
  }

  /** The epoch will never be published. Its barrier is dropped; what its sinks prepared stays prepared (PROTOCOL A2). `timedOut`: says what it had waited for. */
  giveUp(checkpoint: CheckpointId, timedOut = false): void {
    this.#participation.giveUp(checkpoint, timedOut)
  }

  /** How far sources may be read, as splits of other subtasks are. */
  align(bounds: readonly AlignBound[]): void {
    for (const { source } of this.#scope.stages) {
      const bound = bounds.find((of) => of.source === source?.node.uid)
      if (bound !== undefined) source?.timing?.bound(bound.atMost)
    }
  }

  /** How fast sources may be read from now on, over all subtasks; those not named stay as they are. */
  adjustRates(limits: RateLimits): void {
    for (const { source, stage } of this.#scope.stages) {
      const limit = source && limits[source.node.uid]
      if (!limit) continue
      source.pace.adjust(limit)
      this.#scope.wakeOf(stage.index).notify()
    }
  }

  /** Ends exactly the named sequences. Runs beside the loops (PROTOCOL B3); commits of one slice follow each other. */
  commit(epoch: Epoch, upTo: Readonly<Record<string, number>>, traceparent?: string): void {
    this.#participation.commit(epoch, upTo, traceparent)
  }

  /** Ends everything; afterwards nothing of this slice is alive. Safe to call in any state. */
  async stop(mode: 'leave' | 'abort'): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    const { claims, context, deps, retired, stages, traces } = this.#scope
    const { clock } = deps
    this.#scope.end(new WeirError({ code: 'SLICE_STOPPED', kind: 'restart' }, 'the slice was stopped'))
    await Promise.race([Promise.all([...this.#loops, this.#participation.settled]), clock.sleep(STOP_WAIT_MS)])
    for (const channel of this.#channels) channel?.close()
    const closed = context.close()
    traces?.close()
    this.#reportFinal()
    await Promise.allSettled([
      Promise.race([closed, clock.sleep(STOP_WAIT_MS)]), // user code is in it
      retired.close(mode),
      claims.close(),
      ...stages.flatMap((run) => [
        ...run.sinks.map(({ sink }) => sink.close(mode)),
        run.continuous?.sink.close(mode),
        run.source?.reader.close(),
      ]),
    ])
  }

  /**
   * Receivers begin where *they* had come to, which may be behind what this side had told them: the slowest of its channels. Who is
   * ahead and stands still (it has no partition, or gets no records) would hold them back for ever.
   */
  #tellRestoredWatermarks(): void {
    for (const { outputs, watermark } of this.#scope.stages)
      if (watermark > WATERMARK_MIN) for (const output of outputs) output.watermark(watermark)
  }

  #outlet({ stage: from }: StageRun, { stage, input }: StageOutput, channels: readonly OutputChannel[]): Outlet {
    const { maxParallelism, options } = this.#scope
    const { route } = options.plan.stages[stage]!.inputs[input]!
    if (route === 'forward') return new Forward(channels[0]!, { stage, input })
    if (route === 'broadcast') return new Broadcast(channels, { stage, input })
    const overtaking = this.#mayOvertake(stage)
    const partitioner = new Partitioner(channels, { stage, input, maxParallelism, overtaking })
    if (overtaking) partitioner.onBarrier((checkpoint) => this.#participation.barrierSent(from.index, checkpoint))
    return partitioner
  }

  #sendersTo({ stage }: StageRun, peers: readonly PeerAddress[]): readonly Sender[] {
    const { options } = this.#scope
    return stage.inputs.flatMap(({ stage: from, route, operand }, input) =>
      endsOf(route, options.subtask, peers).map(({ subtask }) => {
        return { uid: this.#scope.headOf(from), subtask, input, operand }
      }),
    )
  }

  #gate({ stage, watermark, inFlight, senders }: StageRun, channels: readonly InputChannel[]): InputGate {
    const { deps, options } = this.#scope
    const overtaking: OvertakingGate = {
      bytesMax: this.#scope.inFlightBytesMax,
      nameOf: (channel) => {
        const { input, subtask: from } = senders[channel]!
        return { stage: stage.index, input, from, to: options.subtask }
      },
      onOvertaken: () => this.#scope.wakeOf(stage.index).notify(),
    }
    // Channels are in the order of the peers, whatever that is in this attempt.
    const channelOf = ({ from, input }: InFlightElement): number =>
      senders.findIndex((sender) => sender.subtask === from && sender.input === input)
    const inChannels = inFlight.map((of) => ({ channel: channelOf(of), element: of.element }))
    return new InputGate(
      channels,
      {
        ...{
          attempt: options.attempt,
          restored: watermark,
          inFlight: inChannels,
          operands: senders.map(({ operand }) => operand),
        },
        overtaking: this.#mayOvertake(stage.index) ? overtaking : null,
      },
      () => deps.clock.monotonic(),
    )
  }

  #mayOvertake(stage: number): boolean {
    return this.#scope.options.plan.unaligned?.stages[stage] ?? false
  }

  #stageEnded(): void {
    if (++this.#endedStages < this.#scope.stages.length) return
    this.#progress()
    this.#scope.deps.report({ type: 'input-ended' })
  }

  #reportFinal(): void {
    const { state, final } = this.#scope.context
    if (final === null || state.lifecycle !== 'CLOSING') return // it never ran
    const committed = state.committed?.checkpoint.epoch ?? null
    this.#scope.deps.report({ type: 'finalized', committed, ahead: final.ahead })
  }

  #reportProgress(): void {
    const { deps, over, stages } = this.#scope
    if (over) return
    this.#progress()
    const adaptive = stages.flatMap(({ source }) => (source?.pace.isAdaptive ? [source.pace] : []))
    const dueMs = adaptive.length === 0 ? 0 : deps.clock.monotonic() + PROGRESS_INTERVAL_MS
    this.#cancelProgress = deps.clock.after(PROGRESS_INTERVAL_MS, () => {
      for (const pace of adaptive) pace.looked(dueMs)
      this.#reportProgress()
    })
  }

  #progress(): void {
    const { deps, recordsIn, recordsOut, stages } = this.#scope
    const watermark = Math.min(...stages.map((run) => run.watermark))
    const reach = reachOf(stages)
    const isTold = this.#progressTold++ % SPLITS_TOLD_EVERY === 0
    const splits = isTold ? splitTimesOf(stages) : undefined
    const claims = isTold ? claimCountsOf(stages) : undefined
    const late = isTold ? lateCountsOf(stages) : undefined
    const lows = lowsOf(stages)
    const rates = ratesOf(stages, isTold)
    const metrics = isTold ? metricsOf(stages, (stage) => this.#scope.headOf(stage), deps.clock.monotonic()) : undefined
    const more = {
      ...(reach !== undefined && { reach }),
      ...(splits && { splits }),
      ...(claims && { claims }),
      ...(lows && { lows }),
      ...(late && { late }),
      ...(rates && { rates }),
      ...(metrics && { metrics }),
    }
    deps.report({ type: 'progress', recordsIn, recordsOut, watermark, ...more })
  }
}
