/**
 * The audit log in a topic: the entries of the file, in their order, each at least once. The file is the spool: what no broker has
 * acknowledged lies there, also over restarts, and how far it was sent stands beside it. Who reads the topic knows a repeated
 * entry by its `id` and `step`.
 */
import type { DurableLog } from '@weir/dataflow'
import { WeirError, asWeirError, type Clock, type TopicRecord } from '@weir/model'
import type { Logger } from '@weir/telemetry'
import { open, readFile, rename, type FileHandle } from 'node:fs/promises'
import type { AuditEntry } from './entry.ts'

export interface AuditTopicOptions {
  /** Of the audit file. */
  readonly path: string
  readonly topic: string
  /** Key of the records: entries with one key are in order. */
  readonly key: string
  /** So many bytes may wait; then nothing is changed until a broker has taken some. */
  readonly waitingBytesMax: number
}

export interface AuditTopicDeps {
  readonly topics: DurableLog
  readonly clock: Clock
  readonly log: Pick<Logger, 'warn' | 'info'>
}

const BATCH_BYTES = 256 << 10
const RETRY_MS = 500
const RETRY_MS_MAX = 10_000
/** A process that ends does not wait for Kafka to come back. */
const CLOSE_MS = 2_000
const NEWLINE = 0x0a

export class AuditTopic {
  readonly #options: AuditTopicOptions
  readonly #deps: AuditTopicDeps
  readonly #file: FileHandle
  /** Bytes of the file that are sent. */
  #sent: number
  #size: number
  #grown: () => void = () => {}
  readonly #end = new AbortController()
  readonly #running: Promise<void>

  private constructor(options: AuditTopicOptions, deps: AuditTopicDeps, file: FileHandle, sent: number, size: number) {
    this.#options = options
    this.#deps = deps
    this.#file = file
    this.#sent = sent
    this.#size = size
    this.#running = this.#run()
  }

  /** Sends from now on; no broker need be there. @param options of a file that is there. Throws `AUDIT_UNWRITABLE` (invalid). */
  static async open(options: AuditTopicOptions, deps: AuditTopicDeps): Promise<AuditTopic> {
    try {
      const file = await open(options.path, 'r')
      const { size } = await file.stat()
      const sent = Number(await readFile(marker(options.path), 'utf8').catch(() => '0'))
      // Another file is there by now: it begins anew.
      return new AuditTopic(options, deps, file, Number.isSafeInteger(sent) && sent <= size ? sent : 0, size)
    } catch (cause) {
      throw asWeirError(cause, 'AUDIT_UNWRITABLE', 'invalid')
    }
  }

  get waitingBytes(): number {
    return this.#size - this.#sent
  }

  /** Throws `AUDIT_BEHIND` (retry). */
  requireRoom(): void {
    const { topic, waitingBytesMax } = this.#options
    if (this.waitingBytes < waitingBytesMax) return
    throw new WeirError(
      { code: 'AUDIT_BEHIND', kind: 'retry', topic, waitingBytes: this.waitingBytes, waitingBytesMax },
      `${this.waitingBytes} bytes of the audit log wait for topic "${topic}" (at most ${waitingBytesMax}), and nothing is changed ` +
        'until a broker has taken some: see the warnings of this job-manager for what Kafka says',
    )
  }

  /** The file has so many bytes. */
  grown(size: number): void {
    this.#size = size
    this.#grown()
  }

  /** What has not been sent by then is sent by the next process with this file. */
  async close(): Promise<void> {
    this.#end.abort(new Error('the audit log is closed'))
    this.#grown()
    const { topics, clock } = this.#deps
    const ended = this.#running.then(() => topics.close())
    await Promise.race([ended, clock.sleep(CLOSE_MS)])
    await this.#file.close()
  }

  async #run(): Promise<void> {
    const { signal } = this.#end
    let failures = 0
    while (!signal.aborted) {
      try {
        const { records, end } = await this.#next()
        if (end === this.#sent) {
          await new Promise<void>((resolve) => {
            this.#grown = resolve
            if (this.#size > end || signal.aborted) resolve()
          })
          continue
        }
        if (signal.aborted) return
        if (records.length > 0) await this.#deps.topics.append(this.#options.topic, records)
        await this.#mark(end)
        if (failures > 0) this.#deps.log.info({ waitingBytes: this.waitingBytes }, 'the audit log is sent again')
        failures = 0
      } catch (thrown) {
        if (signal.aborted) return
        const { topic } = this.#options
        const error = asWeirError(thrown, 'AUDIT_UNSENT', 'retry').toJSON()
        this.#deps.log.warn({ topic, error, waitingBytes: this.waitingBytes }, 'the audit log waits for its topic')
        const pause = Math.min(RETRY_MS * 2 ** Math.min(failures++, 10), RETRY_MS_MAX)
        await this.#deps.clock.sleep(pause, signal).catch(() => undefined)
      }
    }
  }

  /** Whole lines behind what is sent, at most a batch of them, or one that is longer; `end` is where they end. */
  async #next(): Promise<{ readonly records: TopicRecord[]; readonly end: number }> {
    for (let bytes = BATCH_BYTES; ; bytes *= 2) {
      const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(bytes), 0, bytes, this.#sent)
      const last = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE)
      if (last < 0 && bytesRead === bytes) continue
      const lines = buffer
        .subarray(0, last + 1)
        .toString()
        .split('\n')
        .slice(0, -1)
      return { records: lines.flatMap((line) => this.#record(line)), end: this.#sent + last + 1 }
    }
  }

  /** None of half a line, which a process has left that died. */
  #record(line: string): TopicRecord[] {
    let entry: AuditEntry
    try {
      entry = JSON.parse(line) as AuditEntry
    } catch {
      return []
    }
    return [{ key: Buffer.from(this.#options.key), value: Buffer.from(line), timestamp: entry.at, headers: [] }]
  }

  /** Beside the file, so that it goes where the file goes. */
  async #mark(end: number): Promise<void> {
    const path = marker(this.#options.path)
    const file = await open(`${path}.part`, 'w', 0o640)
    try {
      await file.writeFile(String(end))
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(`${path}.part`, path)
    this.#sent = end
  }
}

const marker = (path: string): string => `${path}.sent`
