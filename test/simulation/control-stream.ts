/**
 * The stream between a task-manager and a job-manager, with both its ends: what FleetClient and FleetServer are given
 * instead of a gRPC call. In order in each direction; it ends when a side ends it, dies, or is unreachable for too long.
 */
import { EventEmitter } from 'node:events'
import { control } from '@weir/proto'
import type { FleetCall, FleetStream } from '@weir/wire'
import { KEEPALIVE_MS } from './exchange.ts'
import { Pipe, pairOf, type Network } from './network.ts'
import type { Process } from './world.ts'

export function openControlStream(
  client: Process,
  server: Process | null,
  network: Network,
  join: (call: FleetCall) => void,
): { stream: FleetStream; close(): void } {
  const stream = new ControlStream(client, server, network)
  if (server === null)
    client.world.after(network.latency(client.host, client.host), () =>
      client.run(() => stream.toClient('error', unreachable())),
    )
  else stream.up(() => join(stream.call as unknown as FleetCall))
  return { stream: stream.clientEnd as unknown as FleetStream, close() {} }
}

const unreachable = (): Error => Object.assign(new Error('connection refused'), { code: 14, details: 'unreachable' })

class ControlStream {
  readonly clientEnd = new EventEmitter() as EventEmitter & { write(r: control.Report): void; cancel(): void }
  readonly call = new EventEmitter() as EventEmitter & {
    write(c: control.Command): void
    end(): void
    writableLength: number
  }
  readonly #client: Process
  readonly #server: Process | null
  readonly #network: Network
  readonly #upPipe: Pipe | null
  readonly #downPipe: Pipe | null
  #clientOver = false
  #serverOver = false

  constructor(client: Process, server: Process | null, network: Network) {
    this.#client = client
    this.#server = server
    this.#network = network
    this.#upPipe = server && new Pipe(network, client, server)
    this.#downPipe = server && new Pipe(network, server, client)
    this.clientEnd.write = (report) => {
      const bytes = control.Report.encode(report).finish()
      this.up(() => this.call.emit('data', control.Report.decode(bytes)))
    }
    this.clientEnd.cancel = () => {
      if (this.#clientOver) return
      this.#clientOver = true
      this.up(() => this.#endServer('cancelled'))
    }
    this.call.writableLength = 0
    this.call.write = (command) => {
      const bytes = control.Command.encode(command).finish()
      this.#down(() => this.toClient('data', control.Command.decode(bytes)))
    }
    this.call.end = () => {
      this.#serverOver = true
      this.#down(() => this.toClient('end', undefined))
    }
    // As grpc-js does: an error emitted at the server's end becomes the status the client gets.
    this.call.on('error', (error: Error) => this.#down(() => this.toClient('error', error)))
    client.onDeath(() => this.#later(() => this.#server?.run(() => this.#endServer('cancelled'))))
    if (server !== null) {
      server.onDeath(() => this.#later(() => client.run(() => this.toClient('error', unreachable()))))
      network.onCut((pair) => {
        if (pair === pairOf(client.host, server.host)) this.#watch()
      })
      // A frozen process does not answer keep-alives.
      server.onFreeze(() => this.#watch())
      this.#watch()
    }
  }

  up(call: () => void): void {
    this.#upPipe?.send(() => {
      if (!this.#serverOver) call()
    })
  }

  toClient(event: 'data' | 'error' | 'end', value: unknown): void {
    if (this.#clientOver) return
    if (event !== 'data') this.#clientOver = true
    this.clientEnd.emit(event, value)
  }

  #down(call: () => void): void {
    this.#downPipe?.send(call)
  }

  #endServer(event: string): void {
    if (this.#serverOver) return
    this.#serverOver = true
    this.call.emit(event)
  }

  /** The other machine's kernel says that the connection is gone, as soon as it can. */
  #later(call: () => void): void {
    const { world } = this.#client
    if (this.#server === null) return
    const { host } = this.#server
    world.after(this.#network.latency(this.#client.host, host), () => {
      if (!this.#network.isCut(this.#client.host, host)) call()
      else if (!this.#clientOver) world.after(RESET_RETRY_MS, () => this.#later(call))
    })
  }

  #watch(): void {
    const { world } = this.#client
    world.after(KEEPALIVE_MS, () => {
      if (this.#clientOver || !this.#unreachable()) return
      this.#upPipe!.sever()
      this.#downPipe!.sever()
      this.#client.run(() => this.toClient('error', unreachable()))
      // The server hears of it when it can be reached again; its watchdog is quicker.
    })
  }

  #unreachable(): boolean {
    return this.#server!.standing === 'frozen' || this.#network.isCut(this.#client.host, this.#server!.host)
  }
}

const RESET_RETRY_MS = 50
