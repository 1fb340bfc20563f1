/** The embedded log between processes: the service of log.proto and its client. */
import {
  ChannelCredentials,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { WeirError, asWeirError } from '@weir/model'
import { log as wire } from '@weir/proto'
import type {
  AppendRequest,
  LogRecord,
  Marker,
  OpenTransactionInfo,
  ProducerIdentity,
  TransactionalLog,
} from './port.ts'

const ERROR_KEY = 'weir-error'
const LIMITS = { 'grpc.max_receive_message_length': 64 << 20, 'grpc.max_send_message_length': 64 << 20 }
const CALL_TIMEOUT_MS = 10_000

type Handler<A, B> = (call: ServerUnaryCall<A, B>, reply: sendUnaryData<B>) => void

const handler =
  <A, B>(answer: (request: A) => Promise<B>): Handler<A, B> =>
  (call, reply) => {
    // A throw before the first await is an answer too.
    void (async () => answer(call.request))().then(
      (value) => reply(null, value),
      (thrown: unknown) => {
        const metadata = new Metadata()
        const error = asWeirError(thrown, 'LOG_FAILED', 'restart')
        metadata.set(ERROR_KEY, encodeURIComponent(JSON.stringify(error.toJSON())))
        reply({ code: status.FAILED_PRECONDITION, details: error.code, metadata })
      },
    )
  }

const optional = (bytes: Uint8Array | null): Buffer | undefined => (bytes === null ? undefined : Buffer.from(bytes))
const headersOut = (headers: LogRecord['headers']): wire.LogHeader[] =>
  (headers ?? []).map(([name, value]) => ({ name, value: optional(value) }))
const headersIn = (headers: wire.LogHeader[]): LogRecord['headers'] =>
  headers.length === 0 ? undefined : headers.map(({ name, value }) => [name, value ?? null])
const OUTCOMES = ['none', 'commit', 'abort'] as const

export interface LogService {
  /** host:port */
  readonly address: string
  close(): void
}

/** Listens on loopback: the log has no authentication of its own. */
export async function serveLog(log: TransactionalLog): Promise<LogService> {
  const server = new Server(LIMITS)
  server.addService(wire.TransactionalLogService, {
    createTopic: handler(async (r: wire.CreateTopicRequest) => ({
      created: await log.createTopic(r.topic, r.partitions),
    })),
    describe: handler(async (r: wire.DescribeRequest) => {
      const { endOffsets, stableOffsets, openTransactions } = await log.describe(r.topic)
      return { partitions: endOffsets.length, endOffsets, stableOffsets, openTransactions }
    }),
    initProducer: handler((r: wire.InitProducerRequest) => log.initProducer(r.transactionalId, r.timeoutMs)),
    append: handler(async (r: wire.AppendRequest) => {
      if (r.markerGroup !== '') {
        await log.mark(r, { group: r.markerGroup, sequence: r.markerSequence })
        return { baseOffset: 0 }
      }
      const records = r.records.map(({ key, value, timestamp, headers }) => ({
        key: key ?? null,
        value: value ?? null,
        timestamp,
        headers: headersIn(headers),
      }))
      return { baseOffset: await log.append({ ...r, records }) }
    }),
    endTransaction: handler((r: wire.EndTransactionRequest) => log.end(r, r.commit)),
    transactions: handler(async (r: wire.TransactionsRequest) => {
      const open = await log.transactions(r.prefix)
      return { transactions: open.map((t) => ({ ...t, partitions: [...t.partitions] })) }
    }),
    outcome: handler(async (r: wire.OutcomeRequest) => ({
      outcome: OUTCOMES.indexOf(await log.outcome(r.producerId, r.topic, r.partition, r.fromOffset)),
    })),
    marker: handler(async (r: wire.MarkerRequest) => {
      const sequence = await log.marker(r.group)
      return { present: sequence !== null, sequence: sequence ?? 0 }
    }),
    read: handler(async (r: wire.ReadRequest) => {
      const { records, nextOffset } = await log.read(r)
      const rows = records.map((x) => ({
        ...x,
        key: optional(x.key),
        value: optional(x.value),
        headers: headersOut(x.headers),
      }))
      return { records: rows, nextOffset, stableOffset: 0 }
    }),
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (e, p) => (e ? reject(e) : resolve(p)))
  })
  return { address: `127.0.0.1:${port}`, close: () => server.forceShutdown() }
}

export class LogClient implements TransactionalLog {
  readonly #client: wire.TransactionalLogClient
  readonly #address: string

  constructor(address: string) {
    this.#address = address
    this.#client = new wire.TransactionalLogClient(address, ChannelCredentials.createInsecure(), LIMITS)
  }

  async createTopic(topic: string, partitions: number): Promise<boolean> {
    type Reply = wire.CreateTopicResponse
    return (await this.#ask<Reply>((m, o, r) => this.#client.createTopic({ topic, partitions }, m, o, r))).created
  }

  describe(topic: string): Promise<wire.DescribeResponse> {
    return this.#ask((m, o, r) => this.#client.describe({ topic }, m, o, r))
  }

  initProducer(transactionalId: string, timeoutMs: number): Promise<ProducerIdentity> {
    return this.#ask<wire.ProducerIdentity>((m, o, r) =>
      this.#client.initProducer({ transactionalId, timeoutMs }, m, o, r),
    )
  }

  async append(request: AppendRequest): Promise<number> {
    const records = request.records.map((x) => ({
      key: optional(x.key),
      value: optional(x.value),
      timestamp: x.timestamp,
      offset: 0,
      transaction: '',
      headers: headersOut(x.headers),
    }))
    const full = { ...request, records, markerGroup: '', markerSequence: 0 }
    return (await this.#ask<wire.AppendResponse>((m, o, r) => this.#client.append(full, m, o, r))).baseOffset
  }

  async mark(producer: ProducerIdentity & { transactionalId: string }, marker: Marker): Promise<void> {
    const { transactionalId, producerId, producerEpoch } = producer
    const nothing = { topic: '', partition: 0, baseSequence: 0, records: [] }
    const mark = { markerGroup: marker.group, markerSequence: marker.sequence }
    const full = { transactionalId, producerId, producerEpoch, ...nothing, ...mark }
    await this.#ask<wire.AppendResponse>((m, o, r) => this.#client.append(full, m, o, r))
  }

  end(producer: ProducerIdentity & { transactionalId: string }, commit: boolean): Promise<ProducerIdentity> {
    const { transactionalId, producerId, producerEpoch } = producer
    const request = { transactionalId, producerId, producerEpoch, commit }
    return this.#ask<wire.ProducerIdentity>((m, o, r) => this.#client.endTransaction(request, m, o, r))
  }

  async transactions(prefix: string): Promise<readonly OpenTransactionInfo[]> {
    type Reply = wire.TransactionsResponse
    return (await this.#ask<Reply>((m, o, r) => this.#client.transactions({ prefix }, m, o, r))).transactions
  }

  async outcome(
    producerId: string,
    topic: string,
    partition: number,
    fromOffset: number,
  ): Promise<'commit' | 'abort' | 'none'> {
    const request = { producerId, producerEpoch: 0, topic, partition, fromOffset }
    const { outcome } = await this.#ask<wire.OutcomeResponse>((m, o, r) => this.#client.outcome(request, m, o, r))
    return outcome === wire.OutcomeResponse_Outcome.UNRECOGNIZED ? 'none' : OUTCOMES[outcome]
  }

  async marker(group: string): Promise<number | null> {
    const answer = await this.#ask<wire.MarkerResponse>((m, o, r) => this.#client.marker({ group }, m, o, r))
    return answer.present ? answer.sequence : null
  }

  async read(request: Parameters<TransactionalLog['read']>[0]): Promise<Awaited<ReturnType<TransactionalLog['read']>>> {
    const full = { beyondOpen: false, ...request }
    const answer = await this.#ask<wire.ReadResponse>((m, o, r) => this.#client.read(full, m, o, r))
    const records = answer.records.map(({ key, value, timestamp, offset, transaction, headers }) => ({
      key: key ?? null,
      value: value ?? null,
      timestamp,
      offset,
      transaction,
      ...(headers.length > 0 && { headers: headersIn(headers) }),
    }))
    return { records, nextOffset: answer.nextOffset }
  }

  close(): void {
    this.#client.close()
  }

  #ask<T>(
    call: (metadata: Metadata, options: { deadline: number }, reply: (e: ServiceError | null, v: T) => void) => unknown,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      call(new Metadata(), { deadline: Date.now() + CALL_TIMEOUT_MS }, (error, value) => {
        if (error === null) resolve(value)
        else reject(this.#errorOf(error))
      })
    })
  }

  #errorOf(error: ServiceError): WeirError {
    const [packed] = error.metadata?.get(ERROR_KEY) ?? []
    if (typeof packed === 'string') {
      return WeirError.fromJSON(JSON.parse(decodeURIComponent(packed)) as Parameters<typeof WeirError.fromJSON>[0])
    }
    return new WeirError(
      { code: 'LOG_UNREACHABLE', kind: 'restart', address: this.#address },
      `the embedded log at ${this.#address} does not answer (${error.details}): is the process that keeps it running?`,
      { cause: error },
    )
  }
}
