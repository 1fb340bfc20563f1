/** Binds descriptors of a graph to adapters: the one place that knows which connectors there are. */
import type {
  JobSettings,
  SinkNode,
  SourceNode,
  SourceReader,
  StagedOutput,
  SubtaskContext,
  TwoPhaseSink,
} from '@weir/dataflow'
import { LogClient, LogSink, LogSource, PaymentsSource, paymentsOptions } from '@weir/connectors'
import { KafkaConnections, KafkaSink, KafkaSource } from '@weir/kafka'
import { WeirError, type Clock } from '@weir/model'

export interface AdapterOptions {
  /** host:port; empty: jobs with Kafka connectors are refused. */
  readonly kafkaBrokers: readonly string[]
  /** host:port of the embedded log; null: jobs that use it are refused. */
  readonly log: string | null
  readonly staged: (context: SubtaskContext) => StagedOutput
}

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
        const { topic, startFrom = 'earliest', until = 'none', isolation = 'read_committed' } = descriptor
        const options = { topic, startFrom, until, isolation } as ConstructorParameters<typeof KafkaSource>[0]
        return new KafkaSource(options, { context, kafka: this.#kafka(context), clock: this.#clock })
      }
      case 'log': {
        const { topic, startFrom = 'earliest', until = 'none' } = descriptor
        const options = { topic, startFrom, until } as ConstructorParameters<typeof LogSource>[0]
        return new LogSource(options, { context, log: this.#log(context), clock: this.#clock })
      }
      case 'datagen':
        return new PaymentsSource(paymentsOptions(descriptor), { context, clock: this.#clock })
      default:
        throw unknown(descriptor.connector, node.uid)
    }
  }

  /** Throws as `source`. */
  sink(node: SinkNode, context: SubtaskContext, settings: JobSettings): TwoPhaseSink {
    const { descriptor, encodeKey, encodeValue } = node
    const { transactionTimeoutMs, checkpoint } = settings
    // One more than may be given up in a row, so that output can always go on (PROTOCOL B3).
    const poolSize = Math.max(2, checkpoint.toleratedAborts + 1)
    const topic = String(descriptor['topic'])
    const options = { topic, poolSize, transactionTimeoutMs, encodeKey, encodeValue }
    const staged = descriptor['onLost'] === 'fail' ? null : this.#options.staged(context)
    switch (descriptor.connector) {
      case 'kafka':
        return new KafkaSink(options, { context, kafka: this.#kafka(context), clock: this.#clock, staged })
      case 'log':
        return new LogSink(options, { context, log: this.#log(context), clock: this.#clock, staged })
      default:
        throw unknown(descriptor.connector, node.uid)
    }
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
    const brokers = this.#options.kafkaBrokers
    if (brokers.length === 0) {
      throw new WeirError(
        { code: 'KAFKA_NOT_CONFIGURED', kind: 'invalid', operatorUid: context.operatorUid },
        `"${context.operatorUid}" needs Kafka: set WEIR_KAFKA_BROKERS (host:port,…) in every task-manager`,
      )
    }
    const clientId = `weir-${context.jobId}-${context.operatorUid}-${context.subtask}`
    const kafka = new KafkaConnections({ brokers, clientId }, { clock: this.#clock })
    this.#opened.push(kafka)
    return kafka
  }
}

const unknown = (connector: string, uid: string): WeirError =>
  new WeirError(
    { code: 'CONNECTOR_UNKNOWN', kind: 'invalid', connector, uid },
    `"${uid}" uses connector "${connector}", which this task-manager does not have. It has: kafka, log, datagen.`,
  )
