/** Binds descriptors of a graph to adapters: the one place that knows which connectors there are. */
import {
  poolSize,
  type HandleProof,
  type ChainedSink,
  type ContinuousSink,
  type JobSettings,
  type RegistrySettings,
  type SchemaRegistry,
  type TransactionJanitor,
  type SinkAsides,
  type SinkNode,
  type SourceNode,
  type SourceReader,
  type StagedOutput,
  type SubtaskContext,
  type Topics,
  type TwoPhaseSink,
} from '@weir/dataflow'
import {
  ChangesSource,
  FilesDestination,
  FilesSource,
  HttpDestination,
  HttpSchemaRegistry,
  LogClient,
  LogJanitor,
  LogSink,
  LogSource,
  LogTopics,
  NothingOpen,
  PaymentsSource,
  PostgresDestination,
  StagedSink,
  changesOptions,
  filesSinkOptions,
  filesSourceOptions,
  httpSinkOptions,
  paymentsOptions,
  postgresSinkOptions,
  type Destination,
} from '@weir/connectors'
import {
  KafkaConnections,
  KafkaContinuousSink,
  KafkaJanitor,
  KafkaSink,
  KafkaSource,
  KafkaTopics,
  type KafkaSecurity,
} from '@weir/kafka'
import type { ObjectStore } from '@weir/checkpoint'
import { WeirError, assert, attempt, generation, type Clock } from '@weir/model'
import type { SinkToSettle } from '@weir/wire'

/** Nothing waits for a published epoch in this scope: readers need not wait long for a process that has died. */
const CONTINUOUS_TRANSACTION_TIMEOUT_MS = 60_000

export interface AdapterOptions {
  /** host:port; empty: jobs with Kafka connectors are refused. */
  readonly kafkaBrokers: readonly string[]
  readonly kafkaSecurity: KafkaSecurity
  /** host:port of the embedded log; null: jobs that use it are refused. */
  readonly log: string | null
  readonly staged: (context: SubtaskContext) => StagedOutput
  /** A folder by its URL. */
  readonly folder: (url: string) => ObjectStore
}

/** Connectors whose output is staged until its epoch is published. */
const STAGED = ['postgres', 'files', 'http']

/** An attempt that comes behind every one the job had: its job has ended. */
const AFTER_ALL = { generation: generation(Number.MAX_SAFE_INTEGER), attempt: attempt(1) }

export class Adapters {
  readonly #options: AdapterOptions
  readonly #clock: Clock
  readonly #opened: KafkaConnections[] = []
  #logClient: LogClient | null = null

  constructor(options: AdapterOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  /** Throws `CONNECTOR_UNKNOWN`, `KAFKA_NOT_CONFIGURED` (invalid). */
  source(node: SourceNode, context: SubtaskContext): SourceReader {
    const { descriptor } = node
    switch (descriptor.connector) {
      case 'kafka': {
        const { topic, startFrom = 'earliest', until = 'none', isolation = 'read_committed', outOfRange } = descriptor
        const options = { topic, startFrom, until, isolation, outOfRange } as ConstructorParameters<
          typeof KafkaSource
        >[0]
        return new KafkaSource(options, { context, kafka: this.#kafka(context), clock: this.#clock })
      }
      case 'log': {
        const { topic, startFrom = 'earliest', until = 'none' } = descriptor
        const options = { topic, startFrom, until } as ConstructorParameters<typeof LogSource>[0]
        return new LogSource(options, { context, log: this.#log(context), clock: this.#clock })
      }
      case 'datagen':
        return new PaymentsSource(paymentsOptions(descriptor), { context, clock: this.#clock })
      case 'files': {
        const options = filesSourceOptions(descriptor)
        return new FilesSource(options, { context, objects: this.#options.folder(options.folder), clock: this.#clock })
      }
      case 'postgres':
        return new ChangesSource(changesOptions(descriptor), { context, clock: this.#clock })
      default:
        throw unknownConnector(descriptor.connector, node.uid)
    }
  }

  /** Throws as `source`; `SECRET_MISSING` (invalid). */
  sink(node: SinkNode, context: SubtaskContext, settings: JobSettings, asides: SinkAsides | null): TwoPhaseSink {
    const { descriptor, keyOf, encodeKey, encodeValue, encodeHeaders } = node
    const destination = this.#destination(node, context)
    if (destination !== null) {
      return new StagedSink({ context, clock: this.#clock, staged: this.#options.staged(context), destination, asides })
    }
    const { transactionTimeoutMs, checkpoint } = settings
    const topic = String(descriptor['topic'])
    const size = poolSize(checkpoint.toleratedAborts)
    const options = {
      topic,
      poolSize: size,
      transactionTimeoutMs,
      keyOf,
      encodeKey,
      encodeValue,
      encodeHeaders,
      asides,
    }
    const staged = descriptor['onLost'] === 'fail' ? null : this.#options.staged(context)
    switch (descriptor.connector) {
      case 'kafka':
        return new KafkaSink(options, { context, kafka: this.#kafka(context), clock: this.#clock, staged })
      case 'log':
        return new LogSink(options, { context, log: this.#log(context), clock: this.#clock, staged })
      default:
        throw unknownConnector(descriptor.connector, node.uid)
    }
  }

  /** Credentials stand in the environment of this process. */
  schemaRegistry(settings: RegistrySettings, signal: AbortSignal): SchemaRegistry {
    return new HttpSchemaRegistry(settings, { clock: this.#clock, signal, env: process.env })
  }

  /** Null: a sink of a log. */
  #destination({ descriptor, encodeValue }: SinkNode, context: SubtaskContext): Destination | null {
    switch (descriptor.connector) {
      case 'postgres':
        return new PostgresDestination(postgresSinkOptions(descriptor), context)
      case 'files': {
        const options = filesSinkOptions(descriptor, encodeValue)
        return new FilesDestination(options, { context, objects: this.#options.folder(options.folder) })
      }
      case 'http':
        return new HttpDestination(httpSinkOptions(descriptor), encodeValue, context)
      default:
        return null
    }
  }

  /** By connector: of every server this task-manager knows. `signal` ends their waits; they live until then. */
  janitors(signal: AbortSignal): ReadonlyMap<string, TransactionJanitor> {
    const { kafkaBrokers: brokers, kafkaSecurity: security, log } = this.#options
    const janitors = new Map<string, TransactionJanitor>()
    if (brokers.length > 0) {
      const kafka = new KafkaConnections({ brokers, security, clientId: 'weir-janitor' }, { clock: this.#clock })
      janitors.set('kafka', new KafkaJanitor(kafka, signal))
    }
    if (log !== null) janitors.set('log', new LogJanitor(new LogClient(log)))
    for (const connector of STAGED) janitors.set(connector, new NothingOpen())
    return janitors
  }

  /** By connector, likewise. */
  topics(signal: AbortSignal): ReadonlyMap<string, Topics> {
    const { kafkaBrokers: brokers, kafkaSecurity: security, log } = this.#options
    const topics = new Map<string, Topics>()
    if (brokers.length > 0) {
      const kafka = new KafkaConnections({ brokers, security, clientId: 'weir-topics' }, { clock: this.#clock })
      topics.set('kafka', new KafkaTopics({ kafka, clock: this.#clock, signal }))
    }
    if (log !== null) topics.set('log', new LogTopics(new LogClient(log)))
    return topics
  }

  /**
   * The recovery of a sink subtask whose job has ended, and no more: nothing is written by it but what is healed. What was
   * staged for it is not needed after it. Throws as TwoPhaseSink.recover.
   */
  async settle(of: SinkToSettle, signal: AbortSignal): Promise<readonly HandleProof[]> {
    const { jobId, sink: uid, subtask, descriptor, settings, restored } = of
    const { parallelism, maxParallelism } = settings
    const context = { jobId, attempt: AFTER_ALL, operatorUid: uid, subtask, parallelism, maxParallelism, signal }
    const unused = (): never => {
      throw new Error('internal: a settled sink was given a record')
    }
    const node = { kind: 'sink' as const, uid, descriptor, encodeKey: unused, encodeValue: unused }
    // What is healed may go to the topic of dead letters too.
    const asides = settings.deadLetters
      ? { topics: [String(settings.deadLetters['topic'])], refuse: unused, known: null, audit: null }
      : null
    const sink = this.sink(node, context, settings, asides)
    const proofs = await sink.recover(restored)
    await sink.close('leave')
    const staged = this.#options.staged(context)
    await staged.sweep('earlier-attempts').catch(() => undefined) // housekeeping: what stays costs space and nothing else
    return proofs
  }

  /** All sinks behind a source in the continuous scope; the planner lets only Kafka in. */
  continuousSink(
    source: SourceNode,
    sinks: readonly ChainedSink[],
    context: SubtaskContext,
    { commit, transactionTimeoutMs }: JobSettings,
  ): ContinuousSink {
    assert(commit.scope === 'continuous', `${source.uid} is not in the continuous scope`)
    const options = {
      sourceTopic: String(source.descriptor['topic']),
      sinks: sinks.map(({ node: { uid, descriptor, keyOf, encodeKey, encodeValue, encodeHeaders }, asides }) => {
        return { uid, topic: String(descriptor['topic']), keyOf, encodeKey, encodeValue, encodeHeaders, asides }
      }),
      intervalMs: commit.intervalMs,
      transactionTimeoutMs: Math.min(transactionTimeoutMs, CONTINUOUS_TRANSACTION_TIMEOUT_MS),
    }
    return new KafkaContinuousSink(options, { context, kafka: this.#kafka(context), clock: this.#clock })
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#opened.map((kafka) => kafka.close()))
    this.#logClient?.close()
  }

  #log(context: SubtaskContext): LogClient {
    const { log } = this.#options
    if (log === null) {
      throw new WeirError(
        { code: 'LOG_NOT_CONFIGURED', kind: 'invalid', operatorUid: context.operatorUid },
        `"${context.operatorUid}" uses the embedded log, which is there in \`weir dev\` and the demo only; use kafka here`,
      )
    }
    return (this.#logClient ??= new LogClient(log))
  }

  /** One set of connections per adapter: a fetch that waits at a broker must not hold up a commit behind it. */
  #kafka(context: SubtaskContext): KafkaConnections {
    const { kafkaBrokers: brokers, kafkaSecurity: security } = this.#options
    if (brokers.length === 0) {
      throw new WeirError(
        { code: 'KAFKA_NOT_CONFIGURED', kind: 'invalid', operatorUid: context.operatorUid },
        `"${context.operatorUid}" needs Kafka: set WEIR_KAFKA_BROKERS (host:port,…) in every task-manager`,
      )
    }
    const clientId = `weir-${context.jobId}-${context.operatorUid}-${context.subtask}`
    const kafka = new KafkaConnections({ brokers, security, clientId }, { clock: this.#clock })
    this.#opened.push(kafka)
    return kafka
  }
}

export const unknownConnector = (connector: string, uid: string): WeirError =>
  new WeirError(
    { code: 'CONNECTOR_UNKNOWN', kind: 'invalid', connector, uid },
    `"${uid}" uses connector "${connector}", which this task-manager does not have. It has: kafka, log, datagen, postgres, files, http.`,
  )
