/**
 * The data exchange between slots over gRPC (exchange.proto): raw frames one way, credits the other. One endpoint per
 * slot; one channel per peer, shared by the links to it.
 */
import {
  Client,
  Metadata,
  Server,
  type ClientDuplexStream,
  type ServerDuplexStream,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import { WeirError, asWeirError, sameAttempt } from '@weir/model'
import type { ExchangePort, InboundLink, LinkId, OutboundLink, PeerAddress } from '@weir/runtime'
import type { Http2Server, ServerHttp2Session } from 'node:http2'
import { fromServiceError, toServiceError } from './errors.ts'
import { LINK_TIMEOUT_MS, LinkEnd, bounded, keyOf } from './link.ts'
import { channelCredentials, serverCredentials } from './tls/credentials.ts'
import type { TlsSettings } from './tls/settings.ts'
import { checkToken } from './token.ts'

const identity = (b: Buffer): Buffer => b
const OPEN = {
  path: '/weir.v1.Exchange/Open',
  requestStream: true,
  responseStream: true,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
} as const
const SERVICE = { open: OPEN } satisfies ServiceDefinition
/** Of one record, where it is larger than frames are. */
export const FRAME_BYTES_MAX = 64 << 20
const LIMITS = { 'grpc.max_receive_message_length': FRAME_BYTES_MAX, 'grpc.max_send_message_length': FRAME_BYTES_MAX }
const CHANNEL = { ...LIMITS, 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 500 }
/**
 * As much as a link's credits let be on the way. HTTP/2's own 64 KiB are two frames: every further two would wait until a busy slot
 * has looked at its sockets and said that it took those.
 */
const LINK_WINDOW_BYTES = 4 << 20
/** Of all links from one slot. Node gives this one back as it reads, so it bounds no memory, only what a turn of the loop brings. */
const CONNECTION_WINDOW_BYTES = 4 * LINK_WINDOW_BYTES

type ServerCall = ServerDuplexStream<Buffer, Buffer>
type ClientCall = ClientDuplexStream<Buffer, Buffer>

export interface GrpcExchangeOptions {
  /** Where to listen; the port is chosen. */
  readonly host: string
  /** What peers are told; default: `host`. */
  readonly advertiseHost?: string
  readonly token: string | null
  /** Absent or null: not encrypted. */
  readonly tls?: TlsSettings | null
}

interface Waiting {
  readonly id: LinkId
  resolve(link: InboundLink): void
}

export class GrpcExchange implements ExchangePort {
  readonly #server: Server
  readonly #token: string | null
  readonly #tls: TlsSettings | null
  readonly #clients = new Map<string, Client>()
  /** Accepted by the slice, sender not there yet. */
  readonly #expected = new Map<string, Waiting>()
  /** Sender there, slice not yet: it may be a moment ahead. Bounded by LINK_TIMEOUT_MS each. */
  readonly #early = new Map<string, { call: ServerCall; cancel: () => void }>()
  #address = ''

  private constructor({ token, tls = null }: GrpcExchangeOptions) {
    this.#token = token
    this.#tls = tls
    this.#server = new Server(LIMITS)
    this.#server.addService(SERVICE, { open: (call: ServerCall) => this.#opened(call) })
  }

  /** Throws `EXCHANGE_LISTEN` (restart). */
  static async listen(options: GrpcExchangeOptions): Promise<GrpcExchange> {
    const exchange = new GrpcExchange(options)
    const port = await new Promise<number>((resolve, reject) => {
      exchange.#server.bindAsync(`${options.host}:0`, serverCredentials(exchange.#tls), (error, bound) => {
        if (error) reject(asWeirError(error, 'EXCHANGE_LISTEN'))
        else resolve(bound)
      })
    })
    // grpc-js has an option for the windows of a client, and none for those of a server.
    const listening = exchange.#server['http2Servers'] as ReadonlyMap<Http2Server, unknown>
    for (const server of listening.keys()) server.on('session', widen)
    exchange.#address = `${options.advertiseHost ?? options.host}:${port}`
    return exchange
  }

  /** host:port as peers reach it. */
  get address(): string {
    return this.#address
  }

  connect(id: LinkId, peer: PeerAddress, signal: AbortSignal): Promise<OutboundLink> {
    const metadata = new Metadata()
    metadata.set('weir-exchange', JSON.stringify(id))
    if (this.#token !== null) metadata.set('weir-token', this.#token)
    const call: ClientCall = this.#client(peer.exchangeAddress).makeBidiStreamRequest(
      OPEN.path,
      identity,
      identity,
      metadata,
      {},
    )
    // The receiver's headers say that the link is accepted; before them a refusal can still come.
    return bounded(
      signal,
      `connecting to ${peer.exchangeAddress}`,
      () => call.cancel(),
      (resolve, reject) => {
        const link = new GrpcOutbound(id, call, peer.exchangeAddress)
        call.once('metadata', () => resolve(link))
        link.onBroken(reject)
      },
    )
  }

  accept(id: LinkId, _peer: PeerAddress, signal: AbortSignal): Promise<InboundLink> {
    const key = keyOf(id)
    const early = this.#early.get(key)
    if (early) {
      early.cancel()
      this.#early.delete(key)
      return Promise.resolve(new GrpcInbound(id, early.call))
    }
    return bounded(
      signal,
      `waiting for slice ${id.from}`,
      () => this.#expected.delete(key),
      (resolve) => {
        this.#expected.set(key, { id, resolve })
      },
    )
  }

  async close(): Promise<void> {
    for (const { call, cancel } of this.#early.values()) {
      cancel()
      call.end()
    }
    this.#early.clear()
    for (const client of this.#clients.values()) client.close()
    this.#server.forceShutdown()
    await Promise.resolve()
  }

  #client(address: string): Client {
    let client = this.#clients.get(address)
    if (!client) this.#clients.set(address, (client = new Client(address, channelCredentials(this.#tls), CHANNEL)))
    return client
  }

  #opened(call: ServerCall): void {
    try {
      const [token] = call.metadata.get('weir-token')
      checkToken(this.#token, token?.toString())
      const id = JSON.parse(String(call.metadata.get('weir-exchange')[0])) as LinkId
      const key = keyOf(id)
      const waiting = this.#expected.get(key)
      if (waiting) {
        this.#expected.delete(key)
        return waiting.resolve(new GrpcInbound(id, call))
      }
      // A sender of another attempt must not reach this one (PROTOCOL B8): only an accept with the same name takes it.
      const timer = setTimeout(() => {
        this.#early.delete(key)
        const stale = [...this.#expected.values()].some(
          (w) => w.id.jobId === id.jobId && !sameAttempt(w.id.attempt, id.attempt),
        )
        refuse(call, key, stale ? 'another attempt is being linked' : 'no slice here expects it')
      }, LINK_TIMEOUT_MS)
      this.#early.set(key, { call, cancel: () => clearTimeout(timer) })
      call.once('cancelled', () => {
        clearTimeout(timer)
        this.#early.delete(key)
      })
    } catch (error) {
      call.emit('error', toServiceError(asWeirError(error, 'EXCHANGE_HANDSHAKE_REFUSED', 'invalid')))
    }
  }
}

function widen(session: ServerHttp2Session): void {
  if (session.destroyed) return
  session.settings({ initialWindowSize: LINK_WINDOW_BYTES })
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
}

const refuse = (call: ServerCall, key: string, why: string): void =>
  void call.emit(
    'error',
    toServiceError(
      new WeirError({ code: 'EXCHANGE_HANDSHAKE_REFUSED', kind: 'restart', link: key }, `link ${key} refused: ${why}`),
    ),
  )

const tooLarge = ({ stage }: LinkId, bytes: number): WeirError =>
  new WeirError(
    { code: 'EXCHANGE_RECORD_TOO_LARGE', kind: 'invalid', stage, bytes, bytesMax: FRAME_BYTES_MAX },
    `a record of ${bytes} bytes is on its way to stage ${stage}, and at most ${FRAME_BYTES_MAX} go from one task-manager to another: ` +
      'put less into one value in front of that keyBy, or keep the large part elsewhere and pass its name.',
  )

class GrpcOutbound extends LinkEnd implements OutboundLink {
  readonly id: LinkId
  readonly #stream: ClientCall
  #credits = 0
  #onCredit: () => void = () => {}

  constructor(id: LinkId, stream: ClientCall, peer: string) {
    super()
    this.id = id
    this.#stream = stream
    stream.on('data', (message: Buffer) => {
      this.#credits += message.readUInt32LE(0)
      this.#onCredit()
    })
    stream.on('error', (error) => this.breakWith(fromServiceError(error, peer)))
    stream.on('end', () => this.breakWith(broken(`slice ${id.to} closed the link`)))
  }

  get credits(): number {
    return this.#credits
  }

  /** Throws `EXCHANGE_RECORD_TOO_LARGE` (invalid): frames of several records are far smaller. */
  send(frame: Uint8Array): void {
    if (frame.byteLength > FRAME_BYTES_MAX) throw tooLarge(this.id, frame.byteLength)
    if (this.#credits === 0) throw new Error(`internal: link ${keyOf(this.id)} has no credit`)
    this.#credits--
    this.#stream.write(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength))
  }

  onCredit(call: () => void): void {
    this.#onCredit = call
  }

  close(): void {
    if (this.closed) return
    this.markClosed()
    this.#stream.end()
    this.#stream.cancel()
  }
}

class GrpcInbound extends LinkEnd implements InboundLink {
  readonly id: LinkId
  /** Frame and credit each wait for a turn of a busy loop at either end: with 8 two slots wait for each other two fifths of the time. */
  readonly framesMax = 16
  readonly #call: ServerCall
  /** And not told yet. */
  #granted = 0
  #isTelling = false

  constructor(id: LinkId, call: ServerCall) {
    super()
    this.id = id
    this.#call = call
    call.sendMetadata(new Metadata())
    call.on('cancelled', () => this.breakWith(broken(`slice ${id.from} is gone`)))
    call.on('error', (error: Error) => this.breakWith(broken(`link from slice ${id.from}: ${error.message}`)))
    call.on('end', () => this.breakWith(broken(`slice ${id.from} closed the link`)))
  }

  onFrame(listener: (frame: Uint8Array) => void): void {
    this.#call.on('data', (frame: Buffer) => {
      try {
        listener(frame)
      } catch (error) {
        this.breakWith(error as Error)
      }
    })
  }

  /** One message per turn of the loop says all that was granted in it. */
  grant(frames: number): void {
    this.#granted += frames
    if (!this.#isTelling) this.#tell()
  }

  #tell(): void {
    if (this.closed || this.#granted === 0) return
    const message = Buffer.allocUnsafe(4)
    message.writeUInt32LE(this.#granted, 0)
    this.#granted = 0
    this.#isTelling = true
    this.#call.write(message, (error?: Error | null) => {
      this.#isTelling = false
      if (!error) this.#tell()
    })
  }

  close(): void {
    if (this.closed) return
    this.markClosed()
    this.#call.end()
  }
}

const broken = (why: string): WeirError => new WeirError({ code: 'EXCHANGE_BROKEN', kind: 'restart' }, why)
