/** What loops without an engine are made of: the clients of Kafka, and sums in a Map that are committed every second. */
import { readFileSync } from 'node:fs'
import { KafkaConnections, KafkaSink, KafkaSource } from '@weir/kafka'
import { attempt, epoch, generation, jobId, operatorUid, subtask } from '@weir/model'
import { systemClock } from '@weir/runtime/system'

const COMMIT_EVERY_MS = 1_000

export interface LoopOptions {
  readonly brokers: string
  readonly orders: string
  readonly sums: string
  readonly name: string
  /** Of `parallelism` threads: each reads its share of the partitions. */
  readonly thread: number
  readonly parallelism: number
}

/** As the bench starts loops: brokers, topic of the orders, topic of the sums, name. */
export const loopArguments = (): Omit<LoopOptions, 'thread' | 'parallelism'> => {
  const [brokers, orders, sums, name] = process.argv.slice(2) as [string, string, string, string]
  return { brokers, orders, sums, name }
}

export interface Amounts {
  readonly keys: string[]
  readonly amounts: number[]
  readonly timestamps: number[]
}

export class Sums {
  readonly source: KafkaSource
  readonly #sink: KafkaSink
  readonly #identity = { generation: generation(1), attempt: attempt(1) }
  readonly #totals = new Map<string, number>()
  #commits = 0
  #committedAt = performance.now()

  constructor({ brokers, orders, sums, name, thread, parallelism }: LoopOptions) {
    const context = {
      jobId: jobId(name),
      attempt: this.#identity,
      operatorUid: operatorUid('loop'),
      subtask: subtask(thread),
      parallelism,
      maxParallelism: 128,
      signal: new AbortController().signal,
    }
    const connect = (): KafkaConnections =>
      new KafkaConnections({ brokers: [brokers], clientId: name }, { clock: systemClock })
    const text = (value: unknown): string => String(value)
    this.source = new KafkaSource(
      { topic: orders, startFrom: 'earliest', until: 'latest', isolation: 'read_committed' },
      { context, kafka: connect(), clock: systemClock },
    )
    this.#sink = new KafkaSink(
      { topic: sums, poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: text, encodeValue: text },
      { context, kafka: connect(), clock: systemClock, staged: null },
    )
  }

  async open(): Promise<void> {
    await this.source.open(null)
    await this.#sink.recover(null)
  }

  /** Commits, too, when it is time. One call at a time. */
  async add({ keys, amounts, timestamps }: Amounts): Promise<void> {
    const values = keys.map((key, i) => {
      const sum = (this.#totals.get(key) ?? 0) + amounts[i]!
      this.#totals.set(key, sum)
      return sum
    })
    await this.#sink.write({ keys, values, timestamps })
    if (performance.now() - this.#committedAt > COMMIT_EVERY_MS) await this.commit()
  }

  async commit(): Promise<void> {
    const { sequence } = await this.#sink.prepare({ ...this.#identity, epoch: epoch(++this.#commits) })
    await this.#sink.commit(sequence)
    this.#committedAt = performance.now()
  }
}

/** Reads to the end. @param each of these was read: who it is of, how much, when */
export async function readOrders(
  source: KafkaSource,
  each: (user: string, amount: number, timestamp: number) => void,
  behindBatch: () => Promise<void> | undefined,
): Promise<number> {
  let records = 0
  for (;;) {
    const polled = await source.poll(2_000)
    if (polled === 'end') return records
    if (polled === 'idle' || polled.kind !== 'raw') continue
    const { raw } = polled
    for (let i = 0; i < raw.count; i++) {
      const order = JSON.parse(raw.buffer.toString('utf8', raw.valueStart[i], raw.valueEnd[i])) as {
        user: string
        amountMinor: number
      }
      each(order.user, order.amountMinor, raw.timestamps[i]!)
    }
    records += raw.count
    await behindBatch()
  }
}

/** One JSON line about the process. */
export class Measured {
  readonly #cpu = process.cpuUsage()
  readonly #startedAt = performance.now()

  tell(records: number): void {
    const seconds = (performance.now() - this.#startedAt) / 1_000
    const { user, system } = process.cpuUsage(this.#cpu)
    const peakMiB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1_024
    console.log(JSON.stringify({ records, seconds, cpuSeconds: (user + system) / 1e6, peakMiB }))
  }
}
