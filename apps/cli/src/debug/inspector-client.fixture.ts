/** A debugger as an editor is one: Chrome's protocol over a WebSocket. */
import { once } from 'node:events'
import { SourceMap } from 'node:module'

interface Message {
  readonly id?: number
  readonly method?: string
  readonly params?: Readonly<Record<string, unknown>>
  readonly result?: Readonly<Record<string, unknown>>
  readonly error?: { readonly message: string }
}

export interface Paused {
  readonly callFrames: readonly {
    readonly callFrameId: string
    readonly functionName: string
    readonly url: string
    readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber?: number }
  }[]
}
export interface Script {
  readonly scriptId: string
  readonly url: string
  readonly sourceMapURL: string
}

export class InspectorClient {
  readonly #socket: WebSocket
  readonly #answers = new Map<number, (message: Message) => void>()
  readonly #events: Message[] = []
  #look = (): void => {}
  #serial = 0

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as Message
      if (message.id === undefined) this.#events.push(message)
      else this.#answers.get(message.id)!(message)
      this.#look()
    })
  }

  static async attach(url: string): Promise<InspectorClient> {
    const socket = new WebSocket(url)
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve, { once: true })
      socket.addEventListener('error', () => reject(new Error(`no inspector at ${url}`)), { once: true })
    })
    return new InspectorClient(socket)
  }

  async send(method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#serial
    const answer = new Promise<Message>((resolve) => this.#answers.set(id, resolve))
    this.#socket.send(JSON.stringify({ id, method, params }))
    const { result, error } = await answer
    if (error !== undefined) throw new Error(`${method}: ${error.message}`)
    return result!
  }

  /** The next event that fits, of those there are or will be; it is told once. */
  event<T>(method: string, fits: (params: T) => boolean = () => true): Promise<T> {
    return new Promise((resolve) => {
      this.#look = () => {
        const at = this.#events.findIndex((one) => one.method === method && fits(one.params as T))
        if (at < 0) return
        this.#look = () => {}
        resolve(this.#events.splice(at, 1)[0]!.params as T)
      }
      this.#look()
    })
  }

  /** What has stopped goes on. Resolves when the other side has closed, too. */
  async close(): Promise<void> {
    const closed = once(this.#socket, 'close')
    this.#socket.close()
    await closed
  }
}

/** Where a text stands in a source file, by the map of the script a debugger has. Lines and columns from 0. */
export class MappedScript {
  readonly #map: SourceMap
  readonly #lines: number

  constructor({ sourceMapURL }: Script, source: string) {
    const [, base64 = ''] = sourceMapURL.split(';base64,')
    this.#map = new SourceMap(JSON.parse(Buffer.from(base64, 'base64').toString()) as never)
    this.#lines = source.split('\n').length
  }

  originOf(line: number, column: number): { readonly file: string; readonly line: number } {
    const entry = this.#map.findEntry(line, column) as { originalSource?: string; originalLine?: number }
    return { file: entry.originalSource ?? '', line: entry.originalLine ?? -1 }
  }

  /** The first line of the script that comes from there. */
  lineOf(file: string, line: number): number {
    for (let at = 0; at < this.#lines; at++) {
      // Behind its indentation.
      const found = this.originOf(at, 6)
      if (found.file.endsWith(file) && found.line === line) return at
    }
    throw new Error(`no line of the script comes from ${file}:${line + 1}`)
  }
}
