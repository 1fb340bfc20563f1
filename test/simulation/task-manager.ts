/**
 * A task-manager process: the real FleetClient, and slots that run the real Slice. A slot is a thread: it dies with the
 * process and can be terminated alone. What apps/task-manager does with Worker and MessagePort is done here with pipes.
 */
import { atParallelism, poolSize, type Plan, type SinkAsides, type SinkNode, type SubtaskContext } from '@weir/dataflow'
import { LogSink, LogSource } from '@weir/connectors'
import { InFlightObjects, ObjectStagedOutput, putPatiently, segmentKey } from '@weir/metadata'
import { WeirError, asWeirError, type CheckpointId } from '@weir/model'
import { Slice, type SliceReport } from '@weir/runtime'
import { FleetClient, type SliceCommand, type SliceId, type SliceReportMessage } from '@weir/wire'
import { openControlStream } from './control-stream.ts'
import { SimExchange } from './exchange.ts'
import type { Fleet } from './fleet.ts'
import { janitor } from './janitor.ts'
import { SimLogClient } from './log-client.ts'
import { PLAIN, SimObjectStore } from './objects.ts'
import { SimStateStore } from './state-store.ts'
import { Process } from './world.ts'

/** As in apps/task-manager. */
const SLOT_STOP_TIMEOUT_MS = 15_000
const SLOTS = 2

interface SlotHandle {
  readonly slice: SliceId
  readonly slot: Slot
  stopping: boolean
}

const keyOf = (s: SliceId): string => `${s.jobId}/${s.attempt.generation}/${s.attempt.attempt}/${s.subtask}`

export class TaskManagerProcess {
  readonly process: Process
  readonly #fleet: Fleet
  readonly #client: FleetClient
  readonly #slots = new Map<string, SlotHandle>()
  #serial = 0

  constructor(fleet: Fleet, process: Process) {
    this.process = process
    this.#fleet = fleet
    const { world, network } = fleet
    this.#client = new FleetClient(
      {
        jobManagers: fleet.jobManagerHosts,
        slots: SLOTS,
        version: 'sim',
        httpAddress: process.host,
        pod: process.host,
        token: null,
      },
      {
        clock: process.clock,
        random: fleet.random,
        connect: (address) =>
          openControlStream(process, fleet.jobManagerAt(address)?.process ?? null, network, (call) =>
            fleet.jobManagerAt(address)?.fleetServer.handle(call),
          ),
        handlers: {
          joined: (id, generation) => world.trace(`${process.name} joined as ${id} g${generation}`),
          command: (command) => this.#command(command),
          janitor: (request) => janitor(fleet, process, request),
          disconnected: (reason) => this.#disconnected(reason),
          slices: () => [...this.#slots.values()].map((s) => s.slice),
        },
      },
    )
    const never = new AbortController()
    process.run(() => void this.#client.run(never.signal).catch((error: unknown) => fleet.crashed(process, error)))
  }

  #command(command: SliceCommand): void {
    const key = keyOf(command.slice)
    const handle = this.#slots.get(key)
    if (command.type === 'deploy') {
      if (handle === undefined) this.#deploy(key, command)
      return
    }
    if (handle === undefined) {
      if (command.type === 'stop') this.#client.report({ type: 'stopped', slice: command.slice })
      return
    }
    if (command.type === 'stop') this.#stop(handle, command.mode)
    else handle.slot.post(command)
  }

  #deploy(key: string, command: Extract<SliceCommand, { type: 'deploy' }>): void {
    const { slice } = command
    const busy = [...this.#slots.values()].filter((s) => !s.stopping).length
    if (busy >= SLOTS) {
      const error = new WeirError({ code: 'NO_FREE_SLOT', kind: 'restart' }, 'all slots are taken')
      return void this.#client.report({ type: 'failed', slice, failure: error.toJSON() })
    }
    const { host, name, clock } = this.process
    const thread = new Process(this.#fleet.world, host, `${name}/${this.#serial++}`, clock.drift)
    const slot = new Slot(this.#fleet, thread, {
      report: (report) => this.process.run(() => void this.#client.report(report)),
      exited: (clean) =>
        this.process.run(() => {
          this.#slots.delete(key)
          if (!clean || !handle.stopping) this.#client.report({ type: 'stopped', slice })
        }),
    })
    this.process.onDeath(() => thread.kill())
    this.process.onFreeze(() => thread.freeze())
    this.process.onThaw(() => thread.thaw())
    const handle: SlotHandle = { slice, slot, stopping: false }
    this.#slots.set(key, handle)
    slot.post(command)
  }

  #stop(handle: SlotHandle, mode: 'leave' | 'abort'): void {
    if (handle.stopping) return
    handle.stopping = true
    handle.slot.post({ type: 'stop', slice: handle.slice, mode })
    this.process.clock.after(SLOT_STOP_TIMEOUT_MS, () => handle.slot.terminate())
  }

  #disconnected(reason: string): void {
    this.#fleet.world.trace(`${this.process.name} disconnected: ${reason}`)
    for (const handle of this.#slots.values()) this.#stop(handle, 'leave')
  }
}

type Body<T> = T extends unknown ? Omit<T, 'slice'> : never

interface MainThread {
  report(report: SliceReportMessage): void
  exited(clean: boolean): void
}

/** With barriers that overtake there must be something to be overtaken. */
function slowed(sink: LogSink, wait: () => Promise<void>): LogSink {
  const write = sink.write.bind(sink)
  sink.write = (batch) => {
    const room = write(batch)
    return Promise.all([room, wait()]).then(() => undefined)
  }
  return sink
}

/** A worker thread with one slice in it, from its deploy to its stop: what apps/task-manager/src/slot.ts does. */
class Slot {
  readonly #fleet: Fleet
  readonly #thread: Process
  readonly #main: MainThread
  #slice: Slice | null = null
  readonly #ended = new AbortController()
  #failed = false
  #turn: Promise<void> = Promise.resolve()

  constructor(fleet: Fleet, thread: Process, main: MainThread) {
    this.#fleet = fleet
    this.#thread = thread
    this.#main = main
  }

  post(command: SliceCommand): void {
    this.#soon(() => this.#thread.run(() => this.#received(command)))
  }

  terminate(): void {
    if (this.#thread.standing === 'dead') return
    this.#thread.kill()
    this.#main.exited(false)
  }

  #soon(call: () => void): void {
    this.#fleet.world.after(0.05, call)
  }

  #received(command: SliceCommand): void {
    const id = command.slice
    const slice = this.#slice
    switch (command.type) {
      case 'deploy':
        return this.#inTurn(id, 'DEPLOY_FAILED', () => this.#deploy(id, command.parallelism))
      case 'recover':
        return this.#inTurn(id, 'RECOVER_FAILED', async () => {
          const proofs = await this.#slice!.recover(command.snapshot, command.poison)
          this.#fleet.world.trace(`${this.#thread.name} recovered ${JSON.stringify(proofs)}`)
          this.#tell(id, { type: 'recovered', proofs: proofs.map(({ proof, ...of }) => ({ ...of, ...proof })) })
        })
      case 'run':
        return this.#inTurn(id, 'RUN_FAILED', () => this.#slice!.run(command.peers))
      case 'trigger':
        this.#fleet.triggered(command.checkpoint)
        return slice?.trigger(command.checkpoint, command.last, command.cut, command.degraded)
      case 'give-up':
        return slice?.giveUp(command.checkpoint, command.timedOut)
      case 'commit':
        return slice?.commit(command.epoch, command.upTo)
      case 'align':
        this.#fleet.aligned++
        return slice?.align(command.bounds)
      case 'rates':
        return slice?.adjustRates(command.limits)
      case 'stop':
        void this.#stop(id, command.mode).catch((error: unknown) => {
          this.#fail(id, asWeirError(error, 'STOP_FAILED'))
          this.#exit(false)
        })
    }
  }

  #inTurn(id: SliceId, code: string, call: () => Promise<void>): void {
    this.#turn = this.#turn.then(call).catch((error: unknown) => this.#fail(id, asWeirError(error, code)))
  }

  async #deploy(id: SliceId, parallelism: number): Promise<void> {
    const { world, network, switchboard } = this.#fleet
    await this.#thread.clock.sleep(world.chance.between(1, 20)) // the bundle
    const exchange = new SimExchange(this.#thread, network, switchboard)
    this.#slice = this.#sliceOf(id, atParallelism(this.#fleet.plan, parallelism), exchange)
    this.#tell(id, { type: 'deployed', exchangeAddress: exchange.address })
  }

  #sliceOf(id: SliceId, plan: Plan, exchange: SimExchange): Slice {
    const { clock } = this.#thread
    const { network, s3 } = this.#fleet
    const { jobId, attempt, subtask } = id
    const objects = new SimObjectStore(this.#thread, network, s3)
    return new Slice(
      { jobId, attempt, subtask, plan, freeze: true },
      {
        clock,
        exchange,
        createSource: (node, context) => {
          const log = new SimLogClient(this.#thread, network, this.#fleet.kafka)
          const options = { topic: String(node.descriptor['topic']), startFrom: 'earliest', until: 'latest' } as const
          return new LogSource(options, { context, log, clock })
        },
        createSink: (node, context, asides) => this.#sink(node, context, asides, objects),
        createContinuousSink: ({ uid }) => {
          throw new Error(`${uid}: the simulated log has no continuous scope`)
        },
        openState: (stage, { signal }) => {
          const budgetMs = plan.job.settings.checkpoint.alignTimeoutMs
          const keyOf = (checkpoint: CheckpointId): string => segmentKey(jobId, checkpoint, subtask, stage)
          const put = (key: string, bytes: Uint8Array) => putPatiently(objects, key, bytes, { clock, signal, budgetMs })
          return Promise.resolve(
            new SimStateStore({ objects, put, keyOf, maxParallelism: plan.job.settings.maxParallelism }),
          )
        },
        inFlight: new InFlightObjects({ jobId, subtask }, objects, {
          ...{ clock, signal: this.#ended.signal, budgetMs: plan.job.settings.checkpoint.alignTimeoutMs },
        }),
        report: (report) => this.#reported(id, report),
        turn: () => clock.sleep(0.01),
      },
    )
  }

  #sink(node: SinkNode, context: SubtaskContext, asides: SinkAsides | null, objects: SimObjectStore): LogSink {
    const { plan, slowness } = this.#fleet
    const { settings } = plan.job
    const { transactionTimeoutMs, checkpoint } = settings
    const { clock } = this.#thread
    const log = new SimLogClient(this.#thread, this.#fleet.network, this.#fleet.kafka)
    const options = {
      topic: String(node.descriptor['topic']),
      poolSize: poolSize(checkpoint.toleratedAborts),
      transactionTimeoutMs,
      encodeKey: node.encodeKey,
      encodeValue: node.encodeValue,
      asides,
    }
    const heals = node.descriptor['onLost'] !== 'fail'
    const staged = heals ? new ObjectStagedOutput(context, { objects, clock, codec: PLAIN }) : null
    const sink = new LogSink(options, { context, log, clock, staged })
    return plan.unaligned === null ? sink : slowed(sink, () => clock.sleep(slowness.between(0, 150)))
  }

  #reported(id: SliceId, report: SliceReport): void {
    switch (report.type) {
      case 'failed':
        return this.#fail(id, report.error)
      case 'declined':
        return this.#tell(id, { type: 'declined', checkpoint: report.checkpoint, failure: report.error.toJSON() })
      default:
        return this.#tell(id, report)
    }
  }

  async #stop(id: SliceId, mode: 'leave' | 'abort'): Promise<void> {
    this.#ended.abort()
    await this.#slice?.stop(mode)
    this.#tell(id, { type: 'stopped' })
    this.#exit(true)
  }

  #exit(clean: boolean): void {
    this.#soon(() => {
      if (this.#thread.standing === 'dead') return
      this.#thread.kill()
      this.#main.exited(clean)
    })
  }

  #fail(id: SliceId, error: WeirError): void {
    if (this.#failed) return
    this.#failed = true
    this.#fleet.world.trace(`${this.#thread.name} failed: ${error.code} ${error.message}`)
    this.#tell(id, { type: 'failed', failure: error.toJSON() })
  }

  #tell(slice: SliceId, report: Body<SliceReportMessage>): void {
    const message = (
      report.type === 'progress' ? { ...report, slice } : structuredClone({ ...report, slice })
    ) as SliceReportMessage
    this.#soon(() => this.#main.report(message))
  }
}
