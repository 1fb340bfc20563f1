/**
 * Connections to one Kafka cluster: kafkajs keeps sockets, TLS, metadata and coordinator look-up; requests and answers
 * are ours. One object per thread, shared by all sources and sinks in it.
 */
import { PoolMeter, WeirError, type Clock, type PoolState } from '@weir/model'
import { Kafka, logLevel, type Admin } from 'kafkajs'
import Cluster from 'kafkajs/src/cluster/index.js'
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js'
import Encoder from 'kafkajs/src/protocol/encoder.js'
import { apiVersions, type ApiCall, type Protocol } from './wire/apis.ts'
import { Reader } from './wire/bytes.ts'
import { IN_THE_CLEAR, forKafkajs, openSocket, type KafkaSecurity } from './security.ts'
import { errorName, mustWait } from './wire/errors.ts'

/** Time for one broker to accept a connection, ms. */
const CONNECT_TIMEOUT_MS = 5_000
/** Time for one answer, ms; longer than the broker's own waits. */
const REQUEST_TIMEOUT_MS = 35_000
/** How long a request is repeated while the broker says "later" or is away, ms. */
export const RETRY_BUDGET_MS = 60_000
const RETRY_DELAY_MS = 20
const RETRY_DELAY_MAX_MS = 500
/** Before the n-th repetition, ms. */
export const retryDelayMs = (n: number): number => Math.min(RETRY_DELAY_MS * 2 ** Math.min(n, 10), RETRY_DELAY_MAX_MS)
/** Brokers have AddPartitionsToTxn 4 since they verify a Produce of the older protocol against it: Kafka 3.6. */
export const ADD_PARTITIONS_TO_TXN = 24
export const VERIFYING = 4

type KafkajsBroker = Awaited<ReturnType<Cluster['findBroker']>>
const COORDINATOR = { group: 0, transaction: 1 } as const
const NOT_THE_COORDINATOR = [15, 16]

/** Who is to answer a request. */
export type Addressee =
  | { readonly leaderOf: { readonly topic: string; readonly partition: number } }
  | { readonly coordinatorOf: 'group' | 'transaction'; readonly id: string }
  | { readonly nodeId: string }

export interface KafkaConnectionOptions {
  readonly brokers: readonly string[]
  readonly clientId: string
  /** Absent: in the clear, as nobody in particular. */
  readonly security?: KafkaSecurity
}

export class KafkaConnections {
  readonly #options: KafkaConnectionOptions
  readonly #clock: Clock
  readonly #cluster: Cluster
  readonly #meter: PoolMeter
  #connected: Promise<void> | null = null
  #closed: Promise<void> | null = null
  /** `group <id>` or `transaction <id>` → node id of its coordinator. */
  readonly #coordinators = new Map<string, string>()

  constructor(options: KafkaConnectionOptions, deps: { clock: Clock }) {
    calmRequestQueues()
    this.#options = options
    this.#clock = deps.clock
    const quiet = { namespace: () => quiet, error() {}, warn() {}, info() {}, debug() {} }
    this.#cluster = new Cluster({
      logger: quiet,
      socketFactory: openSocket,
      ...forKafkajs(options.security ?? IN_THE_CLEAR),
      brokers: options.brokers,
      clientId: options.clientId,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      metadataMaxAge: 300_000,
      retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 500 },
      allowAutoTopicCreation: false,
    })
    this.#meter = new PoolMeter('kafka', deps.clock, () => connectionsOf(this.#cluster))
  }

  /** Throws `KAFKA_UNAVAILABLE` (retry) naming the brokers, and `KAFKA_CLOSED` (retry) behind `close`. */
  connect(): Promise<void> {
    if (this.#closed !== null) return Promise.reject(connectionsClosed())
    this.#connected ??= this.#cluster.connect().catch((cause: unknown) => {
      this.#connected = null
      throw this.#unavailable(cause)
    })
    return this.#connected
  }

  /** For good: kafkajs would connect again for whoever still asks, and nobody would close that connection. */
  close(): Promise<void> {
    this.#meter.close()
    this.#closed ??= this.#cluster.disconnect()
    return this.#closed
  }

  admin(): Admin {
    return new Kafka({
      clientId: this.#options.clientId,
      brokers: [...this.#options.brokers],
      logLevel: logLevel.NOTHING,
      ...forKafkajs(this.#options.security ?? IN_THE_CLEAR),
    }).admin()
  }

  /** Partition ids, ascending. Throws `UNKNOWN_TOPIC`, `TOPIC_NAME_INVALID` (both invalid). */
  async partitions(topic: string): Promise<number[]> {
    await this.connect()
    try {
      await this.#cluster.addTargetTopic(topic)
    } catch (cause) {
      const { type } = cause as { readonly type?: string }
      if (type === 'UNKNOWN_TOPIC_OR_PARTITION') throw unknownTopic(topic)
      if (type === 'INVALID_TOPIC_EXCEPTION') throw invalidTopicName(topic)
      throw this.#unavailable(cause)
    }
    const partitions = this.#cluster.findTopicPartitionMetadata(topic)
    if (partitions.length === 0) throw unknownTopic(topic)
    return partitions.map((p) => p.partitionId).sort((a, b) => a - b)
  }

  /**
   * The transaction protocol of the cluster. Throws `TRANSACTIONS_UNSAFE` (invalid) for brokers before 3.6: a Produce that
   * is late there opens a transaction which nobody ends, and readers wait behind it for ever (PROTOCOL C3).
   */
  async transactionProtocol(): Promise<Protocol> {
    const { requests, features } = await this.anyBroker(apiVersions())
    if ((features.get('transaction.version') ?? 0) >= 2) return 'v2'
    if ((requests.get(ADD_PARTITIONS_TO_TXN) ?? 0) >= VERIFYING) return 'v1'
    throw new WeirError(
      { code: 'TRANSACTIONS_UNSAFE', kind: 'invalid', brokers: this.#options.brokers },
      `the brokers at ${this.#options.brokers.join(', ')} are older than Kafka 3.6 and do not verify transactional writes: a delayed one could block every read_committed reader of the topic for ever. Upgrade them; Kafka 4.0 with transaction.version=2 is the best choice`,
    )
  }

  /**
   * One request, sent once. Rejects when there is no answer, which proves nothing: it may have been carried out.
   * `again`: it is a repetition, so leaders and addresses are looked up anew.
   */
  async ask<T extends { errorCode: number }>(to: Addressee, api: ApiCall<T>, again = false): Promise<T> {
    await this.connect()
    if (again && !('coordinatorOf' in to)) await this.#cluster.refreshMetadata()
    if ('nodeId' in to) return this.toBroker(to.nodeId, api)
    if ('leaderOf' in to) {
      return this.send(await this.#leader(to.leaderOf.topic, to.leaderOf.partition), api)
    }
    const name = `${to.coordinatorOf} ${to.id}`
    try {
      const answer = await this.send(await this.#coordinator(name, to.coordinatorOf, to.id), api)
      if (NOT_THE_COORDINATOR.includes(answer.errorCode)) this.#coordinators.delete(name)
      return answer
    } catch (error) {
      this.#coordinators.delete(name)
      throw error
    }
  }

  /** To the leader of a partition; "later" and lost connections are repeated inside the budget, other codes are answered. */
  toLeader<T extends { errorCode: number }>(
    topic: string,
    partition: number,
    api: ApiCall<T>,
    signal: AbortSignal,
  ): Promise<T> {
    return this.#patiently({ leaderOf: { topic, partition } }, api, signal)
  }

  toGroup<T extends { errorCode: number }>(group: string, api: ApiCall<T>, signal: AbortSignal): Promise<T> {
    return this.#patiently({ coordinatorOf: 'group', id: group }, api, signal)
  }

  toTransaction<T extends { errorCode: number }>(id: string, api: ApiCall<T>, signal: AbortSignal): Promise<T> {
    return this.#patiently({ coordinatorOf: 'transaction', id }, api, signal)
  }

  /** Node id, as the last look at the brokers said; of no broker where none leads. */
  leaderOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
    const found = this.#cluster.findTopicPartitionMetadata(topic).find((p) => p.partitionId === partition)
    return String(found?.leader ?? -1)
  }

  /** To every leader of the topic at once: for fetches. `partitions` are grouped by leader. */
  async byLeader(topic: string, partitions: readonly number[]): Promise<Map<string, number[]>> {
    const leaders = new Map(
      this.#cluster.findTopicPartitionMetadata(topic).map((p) => [p.partitionId, String(p.leader)]),
    )
    const groups = new Map<string, number[]>()
    for (const p of partitions) {
      const leader = leaders.get(p) ?? '-1'
      groups.set(leader, [...(groups.get(leader) ?? []), p])
    }
    return groups
  }

  async toBroker<T>(nodeId: string, api: ApiCall<T>): Promise<T> {
    if (this.#closed !== null) throw connectionsClosed()
    return this.send(await this.#cluster.findBroker({ nodeId }), api)
  }

  async refresh(): Promise<void> {
    if (this.#closed !== null) throw connectionsClosed()
    return this.#cluster.refreshMetadata()
  }

  async anyBroker<T>(api: ApiCall<T>): Promise<T> {
    await this.connect()
    await this.#cluster.refreshMetadata() // kafkajs finds the controller only in metadata it has already
    return this.send(await this.#cluster.findControllerBroker(), api)
  }

  /** To each broker there is: for what every coordinator answers for itself. */
  async everyBroker<T extends { errorCode: number }>(
    api: ApiCall<T>,
    signal: AbortSignal,
  ): Promise<{ readonly nodeId: string; readonly answer: T }[]> {
    await this.connect()
    await this.#cluster.refreshMetadata()
    const nodeIds = Object.keys(this.#cluster.brokerPool.brokers)
    return Promise.all(nodeIds.map(async (nodeId) => ({ nodeId, answer: await this.toNode(nodeId, api, signal) })))
  }

  /** As `toLeader`, to a broker by its id. */
  toNode<T extends { errorCode: number }>(nodeId: string, api: ApiCall<T>, signal: AbortSignal): Promise<T> {
    return this.#patiently({ nodeId }, api, signal)
  }

  async send<T>(broker: KafkajsBroker, api: ApiCall<T>): Promise<T> {
    const { apiKey, apiVersion, apiName, payload, read } = api
    const call = {
      request: { apiKey, apiVersion, apiName, encode: () => Promise.resolve(encoded(payload)) },
      response: {
        decode: (answer: Buffer) => Promise.resolve({ answer }),
        parse: ({ answer }: { answer: Buffer }) => Promise.resolve(read(new Reader(answer))),
      },
      logResponseError: false,
    }
    return this.#meter.during(() => broker.connectionPool.send(call) as Promise<T>)
  }

  async #leader(topic: string, partition: number): Promise<KafkajsBroker> {
    return this.#cluster.findBroker({ nodeId: this.leaderOf({ topic, partition }) })
  }

  async #coordinator(name: string, type: 'group' | 'transaction', id: string): Promise<KafkajsBroker> {
    const nodeId = this.#coordinators.get(name)
    if (nodeId !== undefined) return this.#cluster.findBroker({ nodeId })
    const broker = await this.#cluster.findGroupCoordinator({ groupId: id, coordinatorType: COORDINATOR[type] })
    this.#coordinators.set(name, String(broker.nodeId))
    return broker
  }

  /** Repeats while the answer is "later" or there is none. A repeat proves nothing about the first (PROTOCOL C8). */
  async #patiently<T extends { errorCode: number }>(to: Addressee, api: ApiCall<T>, signal: AbortSignal): Promise<T> {
    await this.connect()
    const deadline = this.#clock.monotonic() + RETRY_BUDGET_MS
    for (let n = 0; ; n++) {
      signal.throwIfAborted()
      let why: string
      let cause: unknown
      try {
        const answer = await this.ask(to, api, n > 0)
        if (!mustWait(answer.errorCode)) return answer
        why = errorName(answer.errorCode)
      } catch (error) {
        if (error instanceof WeirError) throw error
        why = String(error)
        cause = error
      }
      if (this.#clock.monotonic() >= deadline) {
        throw new WeirError(
          { code: 'KAFKA_UNAVAILABLE', kind: 'retry', request: api.apiName, last: why },
          `${api.apiName} had no answer for ${RETRY_BUDGET_MS} ms (last: ${why}); check the brokers ${this.#options.brokers.join(', ')}`,
          { cause },
        )
      }
      await this.#clock.sleep(retryDelayMs(n), signal)
    }
  }

  #unavailable(cause: unknown): WeirError {
    const { brokers } = this.#options
    return new WeirError(
      { code: 'KAFKA_UNAVAILABLE', kind: 'retry', brokers },
      `no Kafka broker answers at ${brokers.join(', ')}: ${String((cause as Error).message ?? cause)}. Start it, or correct the address (WEIR_KAFKA_BROKERS) or the credentials (WEIR_KAFKA_SASL, WEIR_KAFKA_TLS).`,
      { cause },
    )
  }
}

const connectionsClosed = (): WeirError =>
  new WeirError(
    { code: 'KAFKA_CLOSED', kind: 'retry' },
    'the connections to Kafka are closed: what used them is being stopped',
  )

export const unknownTopic = (topic: string): WeirError =>
  new WeirError(
    { code: 'UNKNOWN_TOPIC', kind: 'invalid', topic },
    `topic "${topic}" does not exist; create it before the job starts (\`weir topics JOB.ts\` lists all the job needs)`,
  )

const invalidTopicName = (topic: string): WeirError =>
  new WeirError(
    { code: 'TOPIC_NAME_INVALID', kind: 'invalid', topic },
    `${JSON.stringify(topic)} cannot be the name of a topic: at most 249 of a-z, A-Z, 0-9, ".", "_" and "-"`,
  )

/** Each broker has a connection for fetches and one for all else. Who waits is held back by a broker that asked for it. */
function connectionsOf({ brokerPool }: Cluster): PoolState {
  const connections = Object.values(brokerPool.brokers).flatMap(({ connectionPool }) => connectionPool.pool)
  return {
    open: connections.filter((connection) => connection.isConnected()).length,
    busy: connections.reduce((sum, { requestQueue }) => sum + requestQueue.inflight.size, 0),
    waiting: connections.reduce((sum, { requestQueue }) => sum + requestQueue.pending.length, 0),
    max: null,
  }
}

/** kafkajs checks that a payload is its own Encoder. */
function encoded(payload: Buffer): unknown {
  // As if it had been written: a copy would be as large again, zeroed first.
  return Object.assign(new Encoder(1), { buf: payload, offset: payload.length })
}

/**
 * kafkajs arms a timer with `throttledUntil − now`, negative when nothing is throttled and nothing waits; Node 24 warns
 * about each. Without anything to check there is no need for the timer.
 */
export function calmRequestQueues(): void {
  const prototype: RequestQueue & { calm?: true } = RequestQueue.prototype
  if (prototype.calm) return
  prototype.calm = true
  const check = prototype.scheduleCheckPendingRequests
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) check.call(this)
  }
}
