/**
 * A TCP proxy in front of a server: lets so many bytes through in a second, or keeps back what clients send and delivers it later, as a network
 * does that was parted and healed. Nothing is lost or reordered within a connection, and nobody's connection is closed. What a
 * client has sent and is kept back arrives even when the client is dead by then.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

type Way = 'to-server' | 'to-client'
/** A key or a name that is in the bytes, or a look at them. One look per chunk read from the socket. */
export type Match = string | ((bytes: Buffer) => boolean)

interface Connection {
  readonly client: Socket
  readonly server: Socket
  /** The first bytes of the client: who it is. */
  opening: string
}
interface Hold {
  readonly ways: readonly Way[]
  /** Only connections whose client said this at the beginning. */
  readonly of: string | null
}

const OPENING_BYTES = 4_096

export class Toxic {
  /** What the line to the server takes, over all connections; a client that sends more has to wait. */
  bytesPerSecond = Infinity
  #lineFreeMs = 0
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  readonly #held: { to: Socket; bytes: Buffer }[] = []
  /** Their other end is gone; they end when what is kept back has been delivered. */
  readonly #ending = new Set<Socket>()
  #hold: Hold | null = null
  #watch: { readonly match: Match; readonly seen: () => void } | null = null

  private constructor(server: Server) {
    this.#server = server
  }

  /** @param at where it listens; by default on any free port. */
  static async before(host: string, port: number, at = { host: '127.0.0.1', port: 0 }): Promise<Toxic> {
    const server = createServer()
    const toxic = new Toxic(server)
    server.on('connection', (client) => toxic.#join(client, connect({ host, port, noDelay: true })))
    server.listen(at.port, at.host)
    await once(server, 'listening')
    return toxic
  }

  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo
    return `${address}:${port}`
  }

  /**
   * A partition: from now on no byte arrives, until `release`.
   *
   * @param of only on connections whose client said this in its first bytes
   */
  part(of: string | null = null, ways: readonly Way[] = ['to-server', 'to-client']): void {
    this.#hold = { ways, of }
  }

  /**
   * Keeps back everything clients send from the first bytes on that match: that request has left its sender and has not
   * arrived. Resolves when it happens.
   */
  holdFrom(match: Match): Promise<void> {
    return new Promise((resolve) => (this.#watch = { match, seen: resolve }))
  }

  /** Ends a `holdFrom` that has not happened. */
  ignore(): void {
    this.#watch = null
  }

  /** Everything kept back is delivered, in order; the network is whole again. */
  release(): void {
    this.#hold = null
    this.#watch = null
    for (const { to, bytes } of this.#held.splice(0)) if (to.writable) to.write(bytes)
    for (const socket of this.#ending) socket.end()
    this.#ending.clear()
  }

  /** As `release`, but what was kept back is lost, and the connections it was on with it. */
  drop(): void {
    for (const { to } of this.#held.splice(0)) to.destroy()
    this.release()
  }

  async close(): Promise<void> {
    for (const { client, server } of this.#connections) for (const socket of [client, server]) socket.destroy()
    for (const socket of this.#ending) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #join(client: Socket, server: Socket): void {
    const connection: Connection = { client, server, opening: '' }
    this.#connections.add(connection)
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('error', () => undefined) // 'close' follows
      one.on('close', () => {
        this.#connections.delete(connection)
        if (this.#held.some((h) => h.to === other)) this.#ending.add(other)
        else other.destroy()
      })
    }
    server.on('data', (bytes) => this.#pass('to-client', connection, bytes))
    client.on('data', (bytes) => {
      if (connection.opening.length < OPENING_BYTES) connection.opening += bytes.toString('latin1')
      const watch = this.#watch
      if (watch !== null && (typeof watch.match === 'string' ? bytes.includes(watch.match) : watch.match(bytes))) {
        this.#hold = { ways: ['to-server'], of: null }
        this.#watch = null
        watch.seen()
      }
      const wait = this.#lineMs(bytes.length)
      if (wait === 0) return this.#pass('to-server', connection, bytes)
      client.pause()
      setTimeout(() => {
        this.#pass('to-server', connection, bytes)
        client.resume()
      }, wait)
    })
  }

  /** Until the last of the bytes is through, ms. */
  #lineMs(bytes: number): number {
    if (this.bytesPerSecond === Infinity) return 0
    const now = performance.now()
    this.#lineFreeMs = Math.max(now, this.#lineFreeMs) + (bytes * 1_000) / this.bytesPerSecond
    return this.#lineFreeMs - now
  }

  #pass(way: Way, connection: Connection, bytes: Buffer): void {
    const to = way === 'to-server' ? connection.server : connection.client
    const hold = this.#hold
    if (hold?.ways.includes(way) && (hold.of === null || connection.opening.includes(hold.of)))
      this.#held.push({ to, bytes })
    else if (to.writable) to.write(bytes)
  }
}
