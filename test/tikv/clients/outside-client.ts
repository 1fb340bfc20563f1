/** A client of others as a process: one command per line, words apart by tabs, one answer per line (`ok` or `error`). */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

const ANSWER_TIMEOUT_MS = 60_000

export class OutsideClient {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  #said = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
    child.stderr!.on('data', (text: Buffer) => (this.#said = (this.#said + text.toString()).slice(-2_000)))
  }

  /** @param pd members, host:port */
  static async start(
    command: readonly string[],
    pd: readonly string[],
    apiVersion: 'v1ttl' | 2,
  ): Promise<OutsideClient> {
    const [program, ...rest] = command
    const args = [...rest, pd.join(','), String(apiVersion)]
    const client = new OutsideClient(spawn(program!, args, { stdio: ['pipe', 'pipe', 'pipe'] }))
    const first = await client.#line()
    if (first !== 'ready') throw new Error(`${command.join(' ')}: ${first}\n${client.#said}`)
    return client
  }

  /** null: nothing there. */
  async get(key: string): Promise<string | null> {
    return valueOf((await this.#ask('get', key))[0])
  }

  async batchGet(keys: readonly string[]): Promise<(string | null)[]> {
    return (await this.#ask('batchGet', ...keys)).map(valueOf)
  }

  async put(key: string, value: string, ttlSeconds: number): Promise<void> {
    await this.#ask('put', key, value, String(ttlSeconds))
  }

  async delete(key: string): Promise<void> {
    await this.#ask('delete', key)
  }

  async ttl(key: string): Promise<number | null> {
    const [ttl] = await this.#ask('ttl', key)
    return ttl === '-' ? null : Number(ttl)
  }

  async swap(
    key: string,
    expected: string | null,
    value: string,
    ttlSeconds: number,
  ): Promise<{ swapped: boolean; previous: string | null }> {
    const [swapped, previous] = await this.#ask(
      'cas',
      key,
      expected === null ? '-' : `=${expected}`,
      value,
      String(ttlSeconds),
    )
    return { swapped: swapped === 'true', previous: valueOf(previous) }
  }

  stop(): void {
    this.#child.stdin!.end()
    this.#child.kill()
  }

  async #ask(...words: string[]): Promise<string[]> {
    this.#child.stdin!.write(`${words.join('\t')}\n`)
    const [outcome, ...answer] = (await this.#line()).split('\t')
    if (outcome !== 'ok') throw new Error(`${words.join(' ')}: ${answer.join(' ')}`)
    return answer
  }

  async #line(): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`no answer within ${ANSWER_TIMEOUT_MS} ms\n${this.#said}`)),
        ANSWER_TIMEOUT_MS,
      )
    })
    try {
      for (;;) {
        const next = await Promise.race([this.#lines.next(), late])
        if (next.done === true) return `error\tit has ended\n${this.#said}`
        // client-go logs where it is to answer.
        if (/^(ready|ok|error)/.test(next.value)) return next.value
      }
    } finally {
      clearTimeout(timer)
    }
  }
}

const valueOf = (word: string | undefined): string | null => (word?.startsWith('=') ? word.slice(1) : null)
