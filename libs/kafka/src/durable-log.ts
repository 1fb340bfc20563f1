/** Topics of a cluster as a durable log: acknowledged by all in-sync replicas, in order per partition. */
import type { DurableLog } from '@weir/dataflow'
import { WeirError, type TopicRecord } from '@weir/model'
import { Kafka, Partitioners, logLevel, type Producer } from 'kafkajs'
import { calmRequestQueues } from './connections.ts'
import { IN_THE_CLEAR, forKafkajs, type KafkaSecurity } from './security.ts'

const ALL_IN_SYNC = -1
const ACK_MS = 10_000
const RETRIES = 5

export interface KafkaDurableLogOptions {
  readonly brokers: readonly string[]
  readonly clientId: string
  /** Absent: in the clear, as nobody in particular. */
  readonly security?: KafkaSecurity
}

export class KafkaDurableLog implements DurableLog {
  readonly #kafka: Kafka
  #producer: Promise<Producer> | null = null

  constructor({ brokers, clientId, security = IN_THE_CLEAR }: KafkaDurableLogOptions) {
    calmRequestQueues()
    const quiet = { logLevel: logLevel.NOTHING }
    this.#kafka = new Kafka({ brokers: [...brokers], clientId, ...quiet, ...forKafkajs(security) })
  }

  /** One at a time: the next append is sent when this one is acknowledged. */
  async append(topic: string, records: readonly TopicRecord[]): Promise<void> {
    const messages = records.map(({ key, value, timestamp, headers }) => ({
      key: bufferOf(key),
      value: bufferOf(value),
      timestamp: String(timestamp),
      headers: Object.fromEntries(headers.map(([name, of]) => [name, of === null ? undefined : Buffer.from(of)])),
    }))
    let producer: Producer | null = null
    try {
      producer = await (this.#producer ??= this.#connected())
      await producer.send({ topic, acks: ALL_IN_SYNC, timeout: ACK_MS, messages })
    } catch (cause) {
      // An idempotent producer whose batch has failed may stand at another sequence than the broker: the next is a new one.
      this.#producer = null
      producer?.disconnect().catch(() => undefined)
      throw refused(topic, cause)
    }
  }

  async close(): Promise<void> {
    const producer = await this.#producer?.catch(() => null)
    await producer?.disconnect()
  }

  async #connected(): Promise<Producer> {
    const producer = this.#kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      retry: { retries: RETRIES },
    })
    await producer.connect()
    return producer
  }
}

const bufferOf = (bytes: Uint8Array | null): Buffer | null =>
  bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function refused(topic: string, cause: unknown): WeirError {
  const { message } = cause as Error
  const type = typeOf(cause)
  if (type === 'UNKNOWN_TOPIC_OR_PARTITION') {
    return new WeirError(
      { code: 'UNKNOWN_TOPIC', kind: 'invalid', topic },
      `topic "${topic}" does not exist; create it`,
    )
  }
  if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') {
    return new WeirError(
      { code: 'RECORD_TOO_LARGE', kind: 'invalid', topic },
      `topic "${topic}" takes no record of this size (max.message.bytes)`,
    )
  }
  return new WeirError({ code: 'LOG_AWAY', kind: 'retry', topic }, `topic "${topic}": ${message}`, { cause })
}

/** kafkajs wraps what a broker said once for each layer that has tried again. */
function typeOf(error: unknown): string | undefined {
  const { type, cause } = error as { type?: string; cause?: unknown }
  return type ?? (cause === undefined ? undefined : typeOf(cause))
}
