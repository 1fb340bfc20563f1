/**
 * Records by HTTP, in front of a topic. A request cannot be asked for again, so it is no source of a job: it is answered with
 * 2xx when the durable log has its record, and jobs read the log, as often as they must. Deploys, restarts and failures of
 * jobs are nothing to the ones that send.
 *
 * What an answer says:
 * - 2xx: the record is durable; it is never lost again
 * - 503: it is not, or nobody knows; send it again, with the same Idempotency-Key, after Retry-After
 * - 4xx: it never will be
 *
 * A record that was sent again may be in the log twice, with one header `idempotency-key`: jobs tell them by it.
 */
import type { DurableLog } from '@weir/dataflow'
import { WeirError, asWeirError, type Clock } from '@weir/model'
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { IngestQueue } from './ingest-queue.ts'

export interface IngestOptions {
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  /** Asked for as `Authorization: Bearer …`; null: nobody is asked, and only loopback may be listened at. */
  readonly token: string | null
  /** Those that may be written to. */
  readonly topics: readonly string[]
  /** Of one record. */
  readonly bodyBytesMax: number
  /** Taken and not durable yet, over all requests: above it requests are answered with 503. */
  readonly waitingBytesMax: number
}
export const INGEST_DEFAULTS = {
  host: '127.0.0.1',
  port: 8090,
  bodyBytesMax: 1 << 20,
  waitingBytesMax: 64 << 20,
} as const

const CONNECTIONS_MAX = 10_000
/** Of a request: its whole body must be there by then. */
const REQUEST_MS = 30_000
const RETRY_AFTER_S = 1
const KEY_CHARS_MAX = 255
/** Request headers that become headers of the record. */
const CARRIED = ['idempotency-key', 'content-type', 'traceparent', 'tracestate'] as const
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/

class Refusal extends Error {
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message)
    this.status = status
    this.code = code
    this.headers = headers
  }
}
const later = (code: string, message: string): Refusal =>
  new Refusal(503, code, message, { 'retry-after': String(RETRY_AFTER_S) })

export class IngestServer {
  readonly #options: IngestOptions
  readonly #clock: Clock
  readonly #queues: ReadonlyMap<string, IngestQueue>
  readonly #server: Server
  #waitingBytes = 0

  /** Throws `INGEST_UNGUARDED` (invalid): beyond loopback without a token. */
  constructor(options: IngestOptions, deps: { readonly log: DurableLog; readonly clock: Clock }) {
    if (options.token === null && !LOOPBACK.test(options.host)) {
      throw new WeirError(
        { code: 'INGEST_UNGUARDED', kind: 'invalid', host: options.host },
        `whoever reaches ${options.host} could write to ${options.topics.join(', ')}: set a token, or listen at 127.0.0.1`,
      )
    }
    this.#options = options
    this.#clock = deps.clock
    this.#queues = new Map(options.topics.map((topic) => [topic, new IngestQueue(topic, deps.log)]))
    this.#server = createServer(
      { requestTimeout: REQUEST_MS },
      (request, response) => void this.#answer(request, response),
    )
    this.#server.maxConnections = CONNECTIONS_MAX
  }

  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    const { host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, resolve)
    })
    return { host, port: (this.#server.address() as AddressInfo).port }
  }

  /** What was taken is answered first. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeIdleConnections()
    await Promise.all([...this.#queues.values()].map((queue) => queue.drained()))
    await closed
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  /** Never throws. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#take(request)
      reply(response, 200, { acknowledged: true })
    } catch (thrown) {
      const refusal = thrown instanceof Refusal ? thrown : refusalOf(asWeirError(thrown, 'INGEST_FAILED', 'retry'))
      const { status, code, message, headers } = refusal
      // What is still being sent is not read: the connection ends with the answer.
      if (!request.complete) response.setHeader('connection', 'close')
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
      reply(response, status, { code, message })
      if (!request.complete) response.once('finish', () => request.destroy())
    }
  }

  async #take(request: IncomingMessage): Promise<void> {
    this.#admit(request)
    const [, name] = /^\/topics\/([^/?]+)$/.exec(request.url ?? '') ?? []
    const queue = name === undefined ? undefined : this.#queues.get(decoded(name))
    if (queue === undefined) {
      throw new Refusal(404, 'TOPIC_NOT_SERVED', `POST to /topics/TOPIC; served: ${this.#options.topics.join(', ')}`)
    }
    if (request.method !== 'POST') throw new Refusal(405, 'METHOD', 'records are sent by POST', { allow: 'POST' })
    const headers = headersOf(request)
    let held = 0
    const hold = (bytes: number): void => {
      if (this.#waitingBytes + bytes > this.#options.waitingBytesMax) {
        throw later('BACK_PRESSURE', `${this.#waitingBytes} bytes wait to be durable; send it again a little later`)
      }
      held += bytes
      this.#waitingBytes += bytes
    }
    try {
      const value = await this.#body(request, hold)
      const key = request.headers['weir-key']
      const record = { key: typeof key === 'string' ? Buffer.from(key) : null, value, headers }
      await queue.add({ ...record, timestamp: this.#clock.now() })
    } finally {
      this.#waitingBytes -= held
    }
  }

  #admit({ headers: { authorization = '' } }: IncomingMessage): void {
    const { token } = this.#options
    if (token === null || same(authorization, `Bearer ${token}`)) return
    throw new Refusal(401, 'UNAUTHENTICATED', 'Authorization: Bearer with this server’s token is missing or wrong', {
      'www-authenticate': 'Bearer',
    })
  }

  async #body(request: IncomingMessage, hold: (bytes: number) => void): Promise<Buffer> {
    const { bodyBytesMax } = this.#options
    const tooLarge = (): Refusal => new Refusal(413, 'BODY_TOO_LARGE', `a record has at most ${bodyBytesMax} bytes`)
    const declared = Number(request.headers['content-length'] ?? 0)
    if (declared > bodyBytesMax) throw tooLarge()
    hold(declared)
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > bodyBytesMax) throw tooLarge()
      if (bytes > declared) hold(Math.min(chunk.length, bytes - declared))
      chunks.push(chunk)
    }
    if (bytes === 0) throw new Refusal(400, 'BODY_EMPTY', 'the body is the record; it is empty')
    return Buffer.concat(chunks, bytes)
  }
}

/** Throws 400 for a key that cannot be one. */
function headersOf({ headers }: IncomingMessage): [string, Buffer][] {
  const key = headers['idempotency-key']
  if (key !== undefined && (typeof key !== 'string' || !/^[\x21-\x7e]+$/.test(key) || key.length > KEY_CHARS_MAX)) {
    throw new Refusal(400, 'IDEMPOTENCY_KEY', `Idempotency-Key is 1 to ${KEY_CHARS_MAX} visible ASCII characters`)
  }
  return CARRIED.flatMap((name): [string, Buffer][] => {
    const value = headers[name]
    return typeof value === 'string' ? [[name, Buffer.from(value)]] : []
  })
}

function refusalOf({ kind, code, message }: WeirError): Refusal {
  if (kind !== 'invalid') return later(code, message)
  return new Refusal(code === 'UNKNOWN_TOPIC' ? 404 : 400, code, message)
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return ''
  }
}

/** In the same time, whatever is wrong. */
const same = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b))
const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
