/**
 * Recounts the demo's output without the engine: generates the payments again and reads the log as an outsider would.
 * Every output has a name (user and how many-th, user and window), so a missing or repeated one is found by name.
 */
import { payment, type PaymentsOptions, type TransactionalLog } from '@weir/connectors'

const WINDOW_MS = 10_000
const READ_RECORDS = 5_000

export interface Recount {
  readonly results: number
  readonly lost: number
  readonly duplicates: number
}

/** Reads on where it stopped: committed output only. */
export class Recounter {
  readonly #log: TransactionalLog
  readonly #topics: { readonly sums: string; readonly counts: string }
  readonly #positions = new Map<string, number>()
  readonly #seen = new Map<string, number>()
  readonly #users = new Map<string, { highest: number; seen: number }>()
  #results = 0
  #duplicates = 0

  constructor(log: TransactionalLog, topics: { sums: string; counts: string }) {
    this.#log = log
    this.#topics = topics
  }

  get duplicates(): number {
    return this.#duplicates
  }
  /** So far: outputs of a user that are missing below the highest one seen. */
  get gaps(): number {
    let gaps = 0
    for (const { highest, seen } of this.#users.values()) gaps += highest - seen
    return gaps
  }
  get results(): number {
    return this.#results
  }

  async readOn(): Promise<void> {
    const { sums, counts } = this.#topics
    await this.#topic(sums, (user, value) => {
      const { sum, count } = value as { sum: number; count: number }
      const repeated = this.#saw(`${user}#${count}`, sum)
      const { highest, seen } = this.#users.get(user) ?? { highest: 0, seen: 0 }
      this.#users.set(user, { highest: Math.max(highest, count), seen: repeated ? seen : seen + 1 })
    })
    await this.#topic(counts, (user, value) => {
      const { start, value: n } = value as { start: number; value: number }
      this.#saw(`${user}@${start}`, n)
    })
  }

  /** Against a bounded input that was processed to its end. */
  against(options: PaymentsOptions): Recount {
    const users = new Map<string, { sum: number; count: number }>()
    const windows = new Map<string, number>()
    for (let split = 0; split < options.splits; split++) {
      for (let offset = 0; offset < options.recordsPerSplit!; offset++) {
        const { user, amountMinor, status, ts } = payment(options, split, offset)
        if (status !== 'PAID') continue
        const { sum, count } = users.get(user) ?? { sum: 0, count: 0 }
        users.set(user, { sum: sum + amountMinor, count: count + 1 })
        const window = `${user}@${ts - (ts % WINDOW_MS)}`
        windows.set(window, (windows.get(window) ?? 0) + 1)
      }
    }
    let lost = 0
    for (const [user, { sum, count }] of users) {
      for (let n = 1; n <= count; n++) if (!this.#seen.has(`${user}#${n}`)) lost++
      // The order of a user's payments over partitions is free, their total is not.
      if (this.#seen.has(`${user}#${count}`) && this.#seen.get(`${user}#${count}`) !== sum) lost++
    }
    for (const [window, n] of windows) if (this.#seen.get(window) !== n) lost++
    // What nobody expected is as bad as a repetition.
    const expected = [...users.values()].reduce((all, { count }) => all + count, 0) + windows.size
    const duplicates = this.#duplicates + Math.max(0, this.#seen.size - expected)
    return { results: this.#results, lost, duplicates }
  }

  async #topic(topic: string, each: (user: string, value: unknown) => void): Promise<void> {
    const { endOffsets } = await this.#log.describe(topic)
    for (let partition = 0; partition < endOffsets.length; partition++) {
      const key = `${topic}/${partition}`
      for (;;) {
        const offset = this.#positions.get(key) ?? 0
        const request = { topic, partition, offset, maxRecords: READ_RECORDS, readCommitted: true, maxWaitMs: 0 }
        const { records, nextOffset } = await this.#log.read(request)
        for (const r of records) {
          each(Buffer.from(r.key!).toString(), JSON.parse(Buffer.from(r.value!).toString()))
        }
        this.#positions.set(key, nextOffset)
        if (nextOffset === offset) break
      }
    }
  }

  /** True when it was there before. */
  #saw(name: string, value: number): boolean {
    const repeated = this.#seen.has(name)
    this.#results++
    if (repeated) this.#duplicates++
    this.#seen.set(name, value)
    return repeated
  }
}
