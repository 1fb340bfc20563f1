/**
 * The data exchange between slots of one process: a MessagePort per link, frames are handed over without a copy. The
 * process's main thread only introduces the two ends to each other (`ThreadHub`).
 */
import { WeirError } from '@weir/model'
import type { ExchangePort, InboundLink, LinkId, OutboundLink, PeerAddress } from '@weir/runtime'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { LinkEnd, bounded, keyOf } from './link.ts'

/** A slot asks the hub for its end of a link. */
export interface LinkRequest {
  readonly kind: 'link-request'
  readonly key: string
}
/** The hub's answer, once both ends have asked. */
export interface LinkIntroduced {
  readonly kind: 'link-introduced'
  readonly key: string
  readonly port: MessagePort
}

/** What the hub posts through: a Worker, or a port in a test. */
export interface Poster {
  postMessage(message: unknown, transfer: readonly MessagePort[]): void
}

/** Lives in the main thread. Whoever has asked and is gone is forgotten by `forget`. */
export class ThreadHub {
  readonly #waiting = new Map<string, Poster>()

  request(from: Poster, { key }: LinkRequest): void {
    const other = this.#waiting.get(key)
    if (other === undefined || other === from) {
      this.#waiting.set(key, from)
      return
    }
    this.#waiting.delete(key)
    const { port1, port2 } = new MessageChannel()
    from.postMessage({ kind: 'link-introduced', key, port: port1 } satisfies LinkIntroduced, [port1])
    other.postMessage({ kind: 'link-introduced', key, port: port2 } satisfies LinkIntroduced, [port2])
  }

  forget(poster: Poster): void {
    for (const [key, waiting] of this.#waiting) if (waiting === poster) this.#waiting.delete(key)
  }
}

/** Lives in the slot. */
export class ThreadExchange implements ExchangePort {
  readonly #ask: (request: LinkRequest) => void
  readonly #expected = new Map<string, (port: MessagePort) => void>()

  constructor(ask: (request: LinkRequest) => void) {
    this.#ask = ask
  }

  introduced({ key, port }: LinkIntroduced): void {
    const take = this.#expected.get(key)
    this.#expected.delete(key)
    if (take) take(port)
    else port.close() // asked for, and given up meanwhile: the other end sees it break
  }

  async connect(id: LinkId, _peer: PeerAddress, signal: AbortSignal): Promise<OutboundLink> {
    return new ThreadOutbound(id, await this.#port(id, signal))
  }

  async accept(id: LinkId, _peer: PeerAddress, signal: AbortSignal): Promise<InboundLink> {
    return new ThreadInbound(id, await this.#port(id, signal))
  }

  #port(id: LinkId, signal: AbortSignal): Promise<MessagePort> {
    const key = keyOf(id)
    const what = `linking slices ${id.from} and ${id.to}`
    return bounded(
      signal,
      what,
      () => this.#expected.delete(key),
      (resolve) => {
        this.#expected.set(key, resolve)
        this.#ask({ kind: 'link-request', key })
      },
    )
  }
}

const gone = (id: LinkId): WeirError =>
  new WeirError({ code: 'EXCHANGE_BROKEN', kind: 'restart' }, `the other end of link ${keyOf(id)} is gone`)

class ThreadOutbound extends LinkEnd implements OutboundLink {
  readonly id: LinkId
  readonly #port: MessagePort
  #credits = 0
  #onCredit: () => void = () => {}

  constructor(id: LinkId, port: MessagePort) {
    super()
    this.id = id
    this.#port = port
    port.on('message', (frames: number) => {
      this.#credits += frames
      this.#onCredit()
    })
    port.on('close', () => this.breakWith(gone(id)))
  }

  get credits(): number {
    return this.#credits
  }

  send(frame: Uint8Array): void {
    if (this.#credits === 0) throw new Error(`internal: link ${keyOf(this.id)} has no credit`)
    this.#credits--
    const whole = frame.byteOffset === 0 && frame.byteLength === frame.buffer.byteLength
    this.#port.postMessage(frame, whole ? [frame.buffer as ArrayBuffer] : [])
  }

  onCredit(call: () => void): void {
    this.#onCredit = call
  }

  close(): void {
    if (this.closed) return
    this.markClosed()
    this.#port.close()
  }
}

class ThreadInbound extends LinkEnd implements InboundLink {
  readonly id: LinkId
  /** More bring nothing (docs/PERFORMANCE.md). */
  readonly framesMax = 8
  readonly #port: MessagePort

  constructor(id: LinkId, port: MessagePort) {
    super()
    this.id = id
    this.#port = port
    port.on('close', () => this.breakWith(gone(id)))
  }

  onFrame(listener: (frame: Uint8Array) => void): void {
    this.#port.on('message', (frame: Uint8Array) => {
      try {
        listener(frame)
      } catch (error) {
        this.breakWith(error as Error)
      }
    })
  }

  grant(frames: number): void {
    if (!this.closed) this.#port.postMessage(frames)
  }

  close(): void {
    if (this.closed) return
    this.markClosed()
    this.#port.close()
  }
}

/** Threads of one process are linked by ports, everybody else by gRPC. */
export class SlotExchange implements ExchangePort {
  readonly #own: string
  readonly #threads: ExchangePort
  readonly #network: ExchangePort

  constructor(ownTaskManagerId: string, threads: ExchangePort, network: ExchangePort) {
    this.#own = ownTaskManagerId
    this.#threads = threads
    this.#network = network
  }

  connect(id: LinkId, peer: PeerAddress, signal: AbortSignal): Promise<OutboundLink> {
    return this.#to(peer).connect(id, peer, signal)
  }

  accept(id: LinkId, peer: PeerAddress, signal: AbortSignal): Promise<InboundLink> {
    return this.#to(peer).accept(id, peer, signal)
  }

  #to(peer: PeerAddress): ExchangePort {
    return peer.taskManagerId === this.#own ? this.#threads : this.#network
  }
}
