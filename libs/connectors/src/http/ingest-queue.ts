/** Records of one topic on their way into the log: one append at a time, so that what comes meanwhile shares the next. */
import type { DurableLog } from '@weir/dataflow'
import type { TopicRecord } from '@weir/model'

const APPEND_RECORDS = 1_000
const APPEND_BYTES = 512 << 10

interface Waiting {
  readonly record: TopicRecord
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class IngestQueue {
  readonly #topic: string
  readonly #log: DurableLog
  #waiting: Waiting[] = []
  #appending: Promise<void> | null = null

  constructor(topic: string, log: DurableLog) {
    this.#topic = topic
    this.#log = log
  }

  /** Resolves when the record is durable; rejects as `DurableLog.append`. */
  add(record: TopicRecord): Promise<void> {
    const durable = new Promise<void>((resolve, reject) => this.#waiting.push({ record, resolve, reject }))
    this.#appending ??= this.#append()
    return durable
  }

  async drained(): Promise<void> {
    while (this.#appending !== null) await this.#appending
  }

  async #append(): Promise<void> {
    await Promise.resolve() // those of the same turn are in it
    while (this.#waiting.length > 0) {
      const taken = this.#take()
      try {
        await this.#log.append(
          this.#topic,
          taken.map(({ record }) => record),
        )
        for (const { resolve } of taken) resolve()
      } catch (error) {
        for (const { reject } of taken) reject(error)
      }
    }
    this.#appending = null
  }

  #take(): Waiting[] {
    let [n, bytes] = [0, 0]
    while (n < this.#waiting.length && n < APPEND_RECORDS && (n === 0 || bytes < APPEND_BYTES)) {
      bytes += this.#waiting[n++]!.record.value?.byteLength ?? 0
    }
    return this.#waiting.splice(0, n)
  }
}
