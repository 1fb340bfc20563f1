/** A TCP proxy in front of a server, with a delay on everything a client sends. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export class Toxic {
  /** On its way to the server, ms; takes effect with the next bytes. */
  latencyMs = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

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
    server.pipe(client)
    client.on('data', (bytes) => {
      if (this.latencyMs === 0) server.write(bytes)
      else setTimeout(() => server.write(bytes), this.latencyMs)
    })
  }
}
