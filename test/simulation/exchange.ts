/** Links between slots over the simulated network: in order, with credits, broken by partitions and deaths. */
import { WeirError } from '@weir/model'
import {
  CHANNEL_CREDITS,
  type ExchangePort,
  type InboundLink,
  type LinkId,
  type OutboundLink,
  type PeerAddress,
} from '@weir/runtime'
import { LINK_TIMEOUT_MS } from '@weir/wire'
import { Pipe, pairOf, type Network } from './network.ts'
import type { Process } from './world.ts'

/** A connection that carries nothing for so long is given up (gRPC keep-alive: 2 s and 2 s). */
export const KEEPALIVE_MS = 4_000

/** Where slots find each other, as DNS and listen queues do. */
export class Switchboard {
  readonly endpoints = new Map<string, SimExchange>()
}

const keyOf = (id: LinkId): string =>
  `${id.jobId}/${id.attempt.generation}/${id.attempt.attempt}/${id.from}>${id.to}#${id.stage}.${id.input}`

export class SimExchange implements ExchangePort {
  readonly address: string
  readonly process: Process
  readonly #network: Network
  readonly #switchboard: Switchboard
  readonly #early = new Map<string, Wire>()
  readonly #expected = new Map<string, (wire: Wire) => void>()

  constructor(process: Process, network: Network, switchboard: Switchboard) {
    this.process = process
    this.#network = network
    this.#switchboard = switchboard
    this.address = process.name
    switchboard.endpoints.set(this.address, this)
  }

  connect(id: LinkId, peer: PeerAddress, signal: AbortSignal): Promise<OutboundLink> {
    const there = this.#switchboard.endpoints.get(peer.exchangeAddress)
    return this.#bounded(signal, `connecting to ${peer.exchangeAddress}`, (resolve) => {
      if (there === undefined) return
      const wire = new Wire(id, this.process, there.process, this.#network)
      wire.forward(() => there.#opened(id, wire))
      wire.onAccepted = () => resolve(wire.out)
    })
  }

  accept(id: LinkId, _peer: PeerAddress, signal: AbortSignal): Promise<InboundLink> {
    const key = keyOf(id)
    const early = this.#early.get(key)
    if (early !== undefined) {
      this.#early.delete(key)
      early.accept()
      return Promise.resolve(early.in)
    }
    return this.#bounded(signal, `waiting for slice ${id.from}`, (resolve) => {
      this.#expected.set(key, (wire) => {
        wire.accept()
        resolve(wire.in)
      })
    })
  }

  #opened(id: LinkId, wire: Wire): void {
    const key = keyOf(id)
    const waiting = this.#expected.get(key)
    if (waiting === undefined) this.#early.set(key, wire)
    else {
      this.#expected.delete(key)
      waiting(wire)
    }
  }

  #bounded<T>(signal: AbortSignal, what: string, start: (resolve: (value: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error)
      const cancel = this.process.clock.after(LINK_TIMEOUT_MS, () =>
        reject(new WeirError({ code: 'EXCHANGE_TIMEOUT', kind: 'restart' }, `${what} took too long`)),
      )
      const aborted = (): void => {
        cancel()
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', aborted, { once: true })
      start((value) => {
        cancel()
        signal.removeEventListener('abort', aborted)
        resolve(value)
      })
    })
  }
}

/** One TCP stream between two slots: both directions in order, or broken. */
class Wire {
  readonly out: OutboundLink
  readonly in: InboundLink
  onAccepted: () => void = () => {}
  readonly #sender: Process
  readonly #receiver: Process
  readonly #network: Network
  readonly #forwardPipe: Pipe
  readonly #backPipe: Pipe
  #accepted = false
  #credits = 0
  #onFrame: (frame: Uint8Array) => void = () => {}
  #onCredit = (): void => {}
  readonly #ends = {
    out: { closed: false, broken: null as Error | null, call: (_: Error): void => {} },
    in: { closed: false, broken: null as Error | null, call: (_: Error): void => {} },
  }

  constructor(id: LinkId, sender: Process, receiver: Process, network: Network) {
    this.#sender = sender
    this.#receiver = receiver
    this.#network = network
    this.#forwardPipe = new Pipe(network, sender, receiver)
    this.#backPipe = new Pipe(network, receiver, sender)
    const credits = (): number => this.#credits
    this.out = {
      id,
      get credits() {
        return credits()
      },
      send: (frame) => {
        if (this.#credits-- <= 0) throw new Error('sent without credit')
        const copy = Uint8Array.from(frame)
        this.forward(() => this.#onFrame(copy))
      },
      onCredit: (call) => void (this.#onCredit = call),
      onBroken: (call) => this.#listen('out', call),
      close: () => this.#close('out'),
    }
    this.in = {
      id,
      framesMax: CHANNEL_CREDITS,
      onFrame: (call) => void (this.#onFrame = call),
      onBroken: (call) => this.#listen('in', call),
      grant: (frames) =>
        this.#back(() => {
          this.#credits += frames
          this.#onCredit()
        }),
      close: () => this.#close('in'),
    }
    sender.onDeath(() => this.#died('in', `slice ${id.from} is gone`))
    receiver.onDeath(() => this.#died('out', `slice ${id.to} is gone`))
    if (sender.host !== receiver.host) {
      network.onCut((pair) => {
        if (pair === pairOf(sender.host, receiver.host)) this.#watch()
      })
      this.#watch()
    }
  }

  accept(): void {
    this.#back(() => {
      if (this.#accepted) return
      this.#accepted = true
      this.onAccepted()
    })
  }

  forward(call: () => void): void {
    this.#forwardPipe.send(call)
  }

  #back(call: () => void): void {
    this.#backPipe.send(call)
  }

  #listen(end: 'in' | 'out', call: (error: Error) => void): void {
    const side = this.#ends[end]
    side.call = call
    if (side.broken !== null && !side.closed) call(side.broken)
  }

  #break(end: 'in' | 'out', why: string): void {
    const side = this.#ends[end]
    if (side.closed || side.broken !== null) return
    side.broken = new WeirError({ code: 'EXCHANGE_BROKEN', kind: 'restart' }, why)
    side.call(side.broken)
  }

  #close(end: 'in' | 'out'): void {
    this.#ends[end].closed = true
    const other = end === 'in' ? 'out' : 'in'
    const call = (): void => this.#break(other, 'the other side closed the link')
    if (end === 'in') this.#back(call)
    else this.forward(call)
  }

  #died(survivor: 'in' | 'out', why: string): void {
    const process = survivor === 'in' ? this.#receiver : this.#sender
    this.#network.world.after(this.#network.latency(this.#sender.host, this.#receiver.host), () => {
      if (!this.#unreachable()) process.run(() => this.#break(survivor, why))
      this.#sever()
    })
  }

  #unreachable(): boolean {
    return this.#network.isCut(this.#sender.host, this.#receiver.host)
  }

  #sever(): void {
    this.#forwardPipe.sever()
    this.#backPipe.sever()
  }

  #watch(): void {
    this.#network.world.after(KEEPALIVE_MS, () => {
      if (!this.#unreachable()) return
      this.#sever()
      this.#sender.run(() => this.#break('out', 'no answer to keep-alives'))
      this.#receiver.run(() => this.#break('in', 'no answer to keep-alives'))
    })
  }
}
