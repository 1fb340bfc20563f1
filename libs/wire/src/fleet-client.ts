/**
 * The task-manager's end of the fleet: joins the leader, heart-beats, joins again under a new id when the stream breaks.
 */
import type { JanitorAnswer, JanitorRequest, SliceCommand, SliceId } from '@weir/job'
import {
  asWeirError,
  taskManagerId,
  type Cancel,
  type Clock,
  type Generation,
  type Random,
  type TaskManagerId,
} from '@weir/model'
import { control } from '@weir/proto'
import { batchedStream } from './batches.ts'
import { decodeCommand } from './control/commands.ts'
import { decodeAct, encodeAnswer } from './control/janitor.ts'
import { encodeReport } from './control/reports.ts'
import type { SliceReportMessage } from './control/slice-report.ts'
import { slicesOut } from './control/words.ts'
import { fromServiceError } from './errors.ts'
import { channelCredentials } from './tls/credentials.ts'
import type { TlsSettings } from './tls/settings.ts'

export interface FleetClientOptions {
  /** host:port of the job-managers, any of them. */
  readonly jobManagers: readonly string[]
  readonly slots: number
  readonly version: string
  readonly httpAddress: string
  /** Names the disk it keeps copies of state on. */
  readonly pod: string
  readonly token: string | null
  /** Absent or null: not encrypted. */
  readonly tls?: TlsSettings | null
}

/** The client's end of one Join call: reports go out, commands come in. */
export interface FleetStream {
  on(event: 'data', call: (command: control.Command) => void): unknown
  on(event: 'error', call: (error: Error) => void): unknown
  on(event: 'end', call: () => void): unknown
  write(report: control.Report): unknown
  cancel(): void
}

export interface FleetClientDeps {
  readonly clock: Clock
  readonly random: Random
  /** gRPC where it is not given. `close` comes once, at the end of the membership. */
  readonly connect?: (address: string) => { readonly stream: FleetStream; close(): void }
  readonly handlers: {
    joined(id: TaskManagerId, generation: Generation, leader: string): void
    command(command: SliceCommand): void
    /** A rejection is answered as the failure it is. */
    janitor(request: JanitorRequest): Promise<JanitorAnswer>
    /** Everything of this membership is over: stop every slice, touch nothing at the servers. */
    disconnected(reason: string): void
    slices(): readonly SliceId[]
  }
}

const RETRY_MIN_MS = 200
const RETRY_MAX_MS = 2_000
/** A frozen process accepts connections and answers nothing; gRPC by itself waits 20 s for it. */
const JOIN_TIMEOUT_MS = 3_000
export const MESSAGE_BYTES_MAX = 64 << 20
const CHANNEL = {
  'grpc.keepalive_time_ms': 2_000,
  'grpc.keepalive_timeout_ms': 2_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
}

const overGrpc = (address: string, tls: TlsSettings | null): ReturnType<NonNullable<FleetClientDeps['connect']>> => {
  const client = new control.FleetClient(address, channelCredentials(tls), CHANNEL)
  return { stream: batchedStream(client.join()), close: () => client.close() }
}

type Ended = { readonly kind: 'redirect'; readonly to: string } | { readonly kind: 'broken'; readonly reason: string }

export class FleetClient {
  readonly #options: FleetClientOptions
  readonly #deps: FleetClientDeps
  #stream: FleetStream | null = null
  /** The highest generation heard of: an older leader's commands are not for us any more. */
  #generation = 0
  #draining = false

  constructor(options: FleetClientOptions, deps: FleetClientDeps) {
    this.#options = options
    this.#deps = deps
  }

  /** Until the signal; rejects only when joining cannot ever succeed (`TOKEN_REFUSED`). */
  async run(signal: AbortSignal): Promise<void> {
    const { jobManagers } = this.#options
    let turn = 0
    let next: string | null = null
    let pause = RETRY_MIN_MS
    while (!signal.aborted) {
      const address: string = next ?? jobManagers[turn++ % jobManagers.length]!
      const before = this.#generation
      const ended = await this.#membership(address, signal)
      next = ended.kind === 'redirect' && ended.to !== '' && ended.to !== address ? ended.to : null
      if (this.#generation > before) pause = RETRY_MIN_MS
      if (next !== null) continue
      await this.#deps.clock.sleep(pause, signal).catch(() => undefined) // the loop sees the signal
      pause = Math.min(RETRY_MAX_MS, pause * 2)
    }
  }

  /** False when there is no membership: then nobody waits for it. */
  report(report: SliceReportMessage): boolean {
    if (this.#stream === null) return false
    this.#stream.write(encodeReport(report))
    return true
  }

  /** Asks to be relieved: nothing new is placed here, what runs is moved. */
  drain(): void {
    this.#draining = true
    this.#stream?.write({ body: { $case: 'drain', value: {} } })
  }

  async #membership(address: string, signal: AbortSignal): Promise<Ended> {
    const { stream, close } = this.#deps.connect?.(address) ?? overGrpc(address, this.#options.tls ?? null)
    let stopBeating: Cancel = () => {}
    let stopWaiting: Cancel = () => {}
    let joined = false
    try {
      return await new Promise<Ended>((resolve, reject) => {
        const abort = (): void => {
          stream.cancel()
          resolve({ kind: 'broken', reason: 'the process stops' })
        }
        signal.addEventListener('abort', abort, { once: true })
        const reason = `${address} did not answer within ${JOIN_TIMEOUT_MS} ms`
        stopWaiting = this.#deps.clock.after(JOIN_TIMEOUT_MS, () => resolve({ kind: 'broken', reason }))
        stream.on('data', (command: control.Command) => {
          const { body } = command
          if (body?.$case === 'notLeader') return resolve({ kind: 'redirect', to: body.value.leaderAddress })
          if (command.generation < this.#generation) return
          this.#generation = command.generation
          if (body?.$case === 'welcome') {
            joined = true
            stopWaiting()
            this.#stream = stream
            stopBeating = this.#beat(stream, body.value.heartbeatIntervalMs)
            this.#deps.handlers.joined(id, command.generation as Generation, address)
            if (this.#draining) this.drain()
            return
          }
          if (body?.$case === 'janitor' && joined) return void this.#ask(stream, body.value)
          const decoded = decodeCommand(body)
          if (decoded !== null && joined) this.#deps.handlers.command(decoded)
        })
        stream.on('error', (thrown) => {
          const error = fromServiceError(thrown, address)
          if (error.code === 'TOKEN_REFUSED') reject(error)
          else resolve({ kind: 'broken', reason: error.message })
        })
        stream.on('end', () => resolve({ kind: 'broken', reason: `${address} closed the connection` }))
        const id = taskManagerId(`tm-${this.#deps.random.nonce().slice(0, 12)}`)
        const { slots, version, httpAddress, pod, token } = this.#options
        const hello = { taskManagerId: id, slots, version, httpAddress, pod, token: token ?? '' }
        stream.write({ body: { $case: 'hello', value: hello } })
      }).then((ended) => {
        if (joined)
          this.#deps.handlers.disconnected(ended.kind === 'broken' ? ended.reason : 'another job-manager leads')
        return ended
      })
    } catch (thrown) {
      throw asWeirError(thrown, 'JOIN_FAILED', 'invalid')
    } finally {
      stopBeating()
      stopWaiting()
      this.#stream = null
      stream.on('error', () => undefined) // the cancel below is no news
      stream.cancel()
      close()
    }
  }

  /** Never throws. The answer goes to who asked: another stream is another leader. */
  async #ask(stream: FleetStream, { request, act }: control.Janitor): Promise<void> {
    const decoded = decodeAct(act)
    const answer = await (
      decoded === null ? Promise.reject(new Error('an act of another version')) : this.#deps.handlers.janitor(decoded)
    ).catch((thrown: unknown) => ({ failure: asWeirError(thrown, 'JANITOR_FAILED', 'retry').toJSON() }))
    if (this.#stream === stream) stream.write(encodeAnswer(request, answer))
  }

  #beat(stream: FleetStream, intervalMs: number): Cancel {
    let sequence = 0
    let cancel: Cancel = () => {}
    const beat = (): void => {
      const slices = slicesOut(this.#deps.handlers.slices())
      stream.write({ body: { $case: 'heartbeat', value: { sequence: sequence++, slices } } })
      cancel = this.#deps.clock.after(intervalMs, beat)
    }
    beat()
    return () => cancel()
  }
}
