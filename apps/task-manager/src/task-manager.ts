/** The process's part: joins the fleet, gives each slice a slot (worker thread), passes commands and reports through. */
import { tellTierSums } from '@weir/idempotency'
import { WeirError, asWeirError } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import type { Logger, PoolMetrics, Tracing } from '@weir/telemetry'
import {
  FleetClient,
  ThreadHub,
  type LinkRequest,
  type SliceCommand,
  type SliceId,
  type SliceReportMessage,
} from '@weir/wire'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import type { TaskManagerConfig } from './config.ts'
import { JanitorThread } from './janitor-thread.ts'
import type { RecordSpansTold } from './record-spans.ts'
import type { PoolsTold, RestoredFrom, SlotData, TiersTold } from './slot.ts'
import { SliceTraces } from './slice-traces.ts'
import { SpareWorkers } from './spare-workers.ts'

/** A slot that does not stop by itself is terminated. */
const SLOT_STOP_TIMEOUT_MS = 15_000
/** How long a draining process waits for its slices to be moved. */
export const DRAIN_TIMEOUT_MS = 30_000

interface Slot {
  readonly slice: SliceId
  readonly worker: Worker
  stopping: boolean
}

const keyOf = ({ jobId, attempt, subtask }: SliceId): string =>
  `${jobId}/${attempt.generation}/${attempt.attempt}/${subtask}`

export class TaskManager {
  readonly #config: TaskManagerConfig
  readonly #log: Logger
  readonly #slots = new Map<string, Slot>()
  readonly #hub = new ThreadHub()
  readonly #janitor: JanitorThread
  readonly #spares: SpareWorkers
  readonly #tracing: Tracing | null
  readonly #pools: PoolMetrics | null
  readonly #traces: SliceTraces
  readonly #end = new AbortController()
  readonly #client: FleetClient
  #joined: { id: string; generation: number; leader: string } | null = null
  #serial = 0
  #emptied: () => void = () => {}

  /** Segments of state read by restores: copies on this disk, and objects in the store. */
  readonly restoredFrom = { local: 0, store: 0 }

  /** Of sampled records: parts of their way that were sent, and those for which there was no room. */
  readonly recordSpans = { told: 0, dropped: 0 }

  /** @param pod names the disk under `config.dataDir` */
  constructor(
    config: TaskManagerConfig,
    httpAddress: string,
    pod: string,
    log: Logger,
    tracing: Tracing | null = null,
    pools: PoolMetrics | null = null,
  ) {
    this.#pools = pools
    this.#tracing = tracing
    this.#traces = new SliceTraces(tracing, () => systemClock.now())
    this.#config = config
    this.#log = log
    this.#janitor = new JanitorThread(config.dataDir)
    this.#spares = new SpareWorkers(config.slots, () => this.#slotData())
    const { jobManagers, slots, listen } = config
    this.#client = new FleetClient(
      { jobManagers, slots, version: '0.1.0', httpAddress, pod, token: listen.token, tls: listen.tls },
      {
        clock: systemClock,
        random: systemRandom,
        handlers: {
          joined: (id, generation, leader) => {
            this.#joined = { id, generation, leader }
            log.info({ id, generation, leader }, 'joined')
            this.#spares.begin()
          },
          command: (command) => this.#command(command),
          janitor: (request) => {
            if (request.type === 'end') log.warn(request, 'a transaction is ended from outside')
            if (request.type === 'settle') {
              const { jobId, sink, subtask } = request.sink
              log.info({ jobId, sink, subtask }, 'a sink of a job that has ended is settled')
            }
            return this.#janitor.ask(request)
          },
          disconnected: (reason) => this.#disconnected(reason),
          slices: () => [...this.#slots.values()].map((s) => s.slice),
        },
      },
    )
  }

  /** Null while no job-manager has us. */
  get joined(): { id: string; generation: number; leader: string } | null {
    return this.#joined
  }

  get busySlots(): number {
    return this.#slots.size
  }

  /** Until `close`; rejects when this process can never join. */
  async run(): Promise<void> {
    // Whatever lies there belonged to a process that is gone: state is restored from snapshots.
    await rm(this.#stateRoot, { recursive: true, force: true })
    await this.#client.run(this.#end.signal)
  }

  /** Asks the job-manager to move the slices, waits for it (bounded), then leaves. */
  async drainAndClose(): Promise<void> {
    this.#client.drain()
    if (this.#slots.size > 0 && this.#joined !== null) {
      const emptied = new Promise<void>((resolve) => (this.#emptied = resolve))
      await Promise.race([emptied, systemClock.sleep(DRAIN_TIMEOUT_MS, this.#end.signal).catch(() => undefined)])
    }
    this.#end.abort(new Error('the process stops'))
    this.#janitor.stop('the process stops')
    await Promise.all([this.#spares.end(), ...[...this.#slots.values()].map((s) => s.worker.terminate())])
  }

  get #stateRoot(): string {
    return join(this.#config.dataDir, 'state', String(process.pid))
  }

  #command(command: SliceCommand): void {
    this.#traces.command(command)
    const key = keyOf(command.slice)
    const slot = this.#slots.get(key)
    if (command.type === 'deploy') {
      if (slot === undefined) this.#deploy(key, command)
      return
    }
    if (slot === undefined) {
      if (command.type === 'stop') this.#report({ type: 'stopped', slice: command.slice })
      return
    }
    if (command.type === 'stop') this.#stop(slot, command.mode)
    else slot.worker.postMessage(command)
  }

  #deploy(key: string, command: SliceCommand): void {
    const { slots } = this.#config
    const { slice } = command
    const busy = [...this.#slots.values()].filter((s) => !s.stopping).length
    if (busy >= slots) {
      const error = new WeirError(
        { code: 'NO_FREE_SLOT', kind: 'restart', slots },
        `all ${slots} slots of this task-manager are taken`,
      )
      return this.#report({ type: 'failed', slice, failure: error.toJSON() })
    }
    const worker = this.#spares.take()
    const slot: Slot = { slice, worker, stopping: false }
    this.#slots.set(key, slot)
    worker.on(
      'message',
      (message: SliceReportMessage | LinkRequest | RestoredFrom | TiersTold | RecordSpansTold | PoolsTold) => {
        if (!('kind' in message)) this.#report(message)
        else if (message.kind === 'restored-from') this.restoredFrom[message.source]++
        else if (message.kind === 'claim-tiers') tellTierSums(message.sums)
        else if (message.kind === 'pools') this.#pools?.told(worker, message.pools)
        else if (message.kind === 'record-spans') this.#tellOfRecords(message)
        else this.#hub.request(worker, message)
      },
    )
    worker.on('error', (thrown) => {
      const error = asWeirError(thrown, 'SLOT_CRASHED')
      this.#log.error({ slice, error: thrown }, 'slot crashed')
      this.#report({ type: 'failed', slice, failure: error.toJSON() })
    })
    worker.on('exit', (code) => {
      this.#slots.delete(key)
      this.#hub.forget(worker)
      this.#pools?.forget(worker)
      // A terminated one says nothing itself; a second "stopped" is ignored.
      if (code !== 0 || !slot.stopping) this.#report({ type: 'stopped', slice })
      if (this.#slots.size === 0) this.#emptied()
    })
    worker.postMessage(command)
  }

  #slotData(): SlotData {
    const { slots, listen, dataDir, copyBytesMax, stateCacheBytes } = this.#config
    return {
      taskManagerId: this.#joined?.id ?? '',
      listen: { ...listen, grpcPort: 0 },
      stateDir: join(this.#stateRoot, String(this.#serial++)),
      dataDir,
      copyBytesMax,
      stateCacheBytes: Math.floor(stateCacheBytes / slots),
      freeze: process.env['WEIR_FREEZE'] === '1',
      recordTraces: this.#tracing && { sampleRate: this.#config.traceSampleRate },
    }
  }

  #tellOfRecords({ spans, dropped }: RecordSpansTold): void {
    for (const span of spans) this.#tracing!.told(span)
    this.recordSpans.told += spans.length
    this.recordSpans.dropped += dropped
  }

  #stop(slot: Slot, mode: 'leave' | 'abort'): void {
    if (slot.stopping) return
    slot.stopping = true
    slot.worker.postMessage({ type: 'stop', slice: slot.slice, mode } satisfies SliceCommand)
    const cancel = systemClock.after(SLOT_STOP_TIMEOUT_MS, () => void slot.worker.terminate())
    slot.worker.once('exit', cancel)
  }

  /** Recovery resolves and fences what these slices had open: they must only stop. */
  #disconnected(reason: string): void {
    this.#joined = null
    this.#log.warn({ reason, slices: this.#slots.size }, 'disconnected')
    for (const slot of this.#slots.values()) this.#stop(slot, 'leave')
    this.#janitor.stop(reason)
    void this.#spares.end() // they know the process by the name it had
  }

  #report(report: SliceReportMessage): void {
    const { slice } = report
    if (report.type === 'failed')
      this.#traces.within(slice, () => this.#log.warn({ slice, failure: report.failure }, 'slice failed'))
    this.#traces.report(report)
    this.#client.report(report)
  }
}
