/**
 * A proxy in front of one Kafka broker that can keep a Produce back: its client loses the connection, the request has left
 * and not arrived, and is delivered later. That is a packet that a middlebox holds while the client is already on a new
 * connection. Answers name the proxy where they named the broker, so clients come through it with every connection.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** A request: i32 length · i16 api · …; an answer: i32 length · i32 correlation id · …. */
const LENGTH_BYTES = 4
const ANSWER_HEADER_BYTES = 8
const PRODUCE = 0

interface Kept {
  readonly frame: Buffer
  readonly server: Socket
  readonly answered: Promise<Buffer>
}

export class DelayingProxy {
  /** Decides what becomes of a Produce, seen as bytes; what the client sends behind it waits. */
  onProduce: (frame: Buffer) => 'pass' | 'keep' | Promise<'pass' | 'keep'> = () => 'pass'
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #kept: Kept[] = []

  private constructor(server: Server) {
    this.#server = server
  }

  /** @param broker host:port, as it calls itself */
  static async before(broker: string): Promise<DelayingProxy> {
    const server = createServer()
    const proxy = new DelayingProxy(server)
    const [host, port] = broker.split(':') as [string, string]
    server.on('connection', (client) => proxy.#join(client, host, Number(port)))
    server.listen(0, host)
    await once(server, 'listening')
    return proxy
  }

  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo
    return `${address}:${port}`
  }

  /** Requests that are kept and not delivered yet. */
  get kept(): number {
    return this.#kept.length
  }

  /** Everything kept arrives, in order. @returns the broker's answers without their header */
  async deliver(): Promise<Buffer[]> {
    const answers: Buffer[] = []
    for (const { frame, server, answered } of this.#kept.splice(0)) {
      server.write(frame)
      answers.push(await answered)
      server.destroy()
    }
    return answers
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #join(client: Socket, host: string, port: number): void {
    const server = connect({ host, port, noDelay: true })
    let cut = false
    let answer = (_frame: Buffer): void => {}
    const answered = new Promise<Buffer>((resolve) => (answer = resolve))
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one)
      one.on('error', () => undefined) // 'close' follows
      one.on('close', () => {
        this.#sockets.delete(one)
        if (!cut) other.destroy()
      })
    }

    const here = addressBytes(host, port)
    const there = addressBytes(host, (this.#server.address() as AddressInfo).port)
    eachFrame(server, (frame) => {
      if (cut) return answer(frame.subarray(ANSWER_HEADER_BYTES))
      for (let at = frame.indexOf(here); at >= 0; at = frame.indexOf(here, at + here.length)) there.copy(frame, at)
      client.write(frame)
    })
    eachFrame(client, async (frame) => {
      if (cut) return
      if (frame.readInt16BE(LENGTH_BYTES) === PRODUCE && (await this.onProduce(frame)) === 'keep') {
        cut = true
        this.#kept.push({ frame, server, answered })
        client.destroy()
      } else server.write(frame)
    })
  }
}

/** As Metadata and FindCoordinator name a broker: the text of the host, then the port in four bytes. */
function addressBytes(host: string, port: number): Buffer {
  const bytes = Buffer.alloc(host.length + 4)
  bytes.write(host, 'latin1')
  bytes.writeInt32BE(port, host.length)
  return bytes
}

/** One after the other. A frame comes with its length. */
function eachFrame(socket: Socket, take: (frame: Buffer) => void | Promise<void>): void {
  let rest = Buffer.alloc(0)
  let turn = Promise.resolve()
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes])
    while (rest.length >= LENGTH_BYTES && rest.length >= LENGTH_BYTES + rest.readInt32BE(0)) {
      const end = LENGTH_BYTES + rest.readInt32BE(0)
      const frame = Buffer.from(rest.subarray(0, end))
      rest = rest.subarray(end)
      turn = turn.then(() => take(frame))
    }
  })
}
