/**
 * A TCP proxy in front of a server: delays what clients send, or keeps it back and delivers it later, as a network does
 * that was parted and healed. Nothing is lost or reordered within a connection, and nobody's connection is closed.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

type Way = 'to-server' | 'to-client'

export class Toxic {
  /** On its way to the server, ms; takes effect with the next bytes. */
  latencyMs = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #held: { to: Socket; bytes: Buffer }[] = []
  #holding: readonly Way[] = []
  #watch: { readonly text: string; readonly seen: () => void } | null = null

  private constructor(server: Server) {
    this.#server = server
  }

  static async before(host: string, port: number): Promise<Toxic> {
    const server = createServer()
    const toxic = new Toxic(server)
    server.on('connection', (client) => toxic.#join(client, connect({ host, port, noDelay: true })))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return toxic
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** A partition: from now on no byte arrives anywhere, until `release`. */
  part(): void {
    this.#holding = ['to-server', 'to-client']
  }

  /**
   * Keeps back everything clients send from the first bytes on that contain `text` (a key, a request's name): that
   * request has left its sender and has not arrived. Resolves when it happens.
   */
  holdFrom(text: string): Promise<void> {
    return new Promise((resolve) => (this.#watch = { text, seen: resolve }))
  }

  /** Everything kept back is delivered, in order; the network is whole again. */
  release(): void {
    this.#holding = []
    this.#watch = null
    for (const { to, bytes } of this.#held.splice(0)) if (to.writable) to.write(bytes)
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #join(client: Socket, server: Socket): void {
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        this.#sockets.delete(one)
        other.destroy()
      })
    }
    server.on('data', (bytes) => this.#pass('to-client', client, bytes))
    client.on('data', (bytes) => {
      if (this.#watch !== null && bytes.includes(this.#watch.text)) {
        this.#holding = ['to-server']
        this.#watch.seen()
        this.#watch = null
      }
      if (this.latencyMs === 0) this.#pass('to-server', server, bytes)
      else setTimeout(() => this.#pass('to-server', server, bytes), this.latencyMs)
    })
  }

  #pass(way: Way, to: Socket, bytes: Buffer): void {
    if (this.#holding.includes(way)) this.#held.push({ to, bytes })
    else if (to.writable) to.write(bytes)
  }
}
