/** One store of the peer: answers the requests for the regions it leads, as far as faults let it. */
import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js'
import { tikvpb, type errorpb, type kvrpcpb } from '@weir/proto/tikv'
import type { FaultPlan } from './faults.ts'
import { healthServer, healthService } from './health.ts'
import { listen } from './listen.ts'
import type { RawData } from './raw-data.ts'
import { methods, type Method, type MethodRules, type Methods } from './requests.ts'
import type { Topology } from './topology.ts'

interface AnyRequest {
  readonly context: kvrpcpb.Context | undefined
  readonly cf: string
}
type Batched = NonNullable<tikvpb.BatchCommandsRequest_Request['cmd']>

export interface StoreDependencies {
  readonly id: bigint
  readonly topology: Topology
  readonly data: RawData
  readonly boundaryOf: (wire: Buffer) => Buffer
  readonly faults: () => FaultPlan
  readonly credentials: ServerCredentials
}

/** The answer never comes. */
const NEVER = Symbol('never')
/** The connection is lost instead. */
const LOST = Symbol('lost')

export class StoreServer {
  readonly #deps: StoreDependencies
  #server: Server | null = null
  #port = 0
  /** Requests by method. */
  readonly counts = new Map<string, number>()
  /** Requests that said to be repeated. */
  retries = 0

  constructor(deps: StoreDependencies) {
    this.#deps = deps
  }

  get id(): bigint {
    return this.#deps.id
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  /** Again after `stop`: at the same port. */
  async start(): Promise<void> {
    const server = new Server({ 'grpc.max_receive_message_length': 64 << 20 })
    const unary =
      <M extends Method>(method: M) =>
      (call: ServerUnaryCall<Methods[M][0], Methods[M][1]>, reply: sendUnaryData<Methods[M][1]>): void => {
        void this.#answer(method, call.request).then((response) => {
          if (response === LOST) reply({ code: status.UNAVAILABLE, details: 'Connection dropped' })
          else if (response !== NEVER) reply(null, response)
        })
      }
    server.addService(tikvpb.TikvService, {
      rawGet: unary('rawGet'),
      rawBatchGet: unary('rawBatchGet'),
      rawPut: unary('rawPut'),
      rawBatchPut: unary('rawBatchPut'),
      rawDelete: unary('rawDelete'),
      rawBatchDelete: unary('rawBatchDelete'),
      rawScan: unary('rawScan'),
      rawGetKeyTtl: unary('rawGetKeyTtl'),
      rawCompareAndSwap: unary('rawCompareAndSwap'),
      batchCommands: (stream) => this.#stream(stream),
    } satisfies tikvpb.TikvServer)
    server.addService(healthService, healthServer)
    this.#port = await listen(server, this.#port, this.#deps.credentials)
    this.#server = server
  }

  /** At once: connections break, new ones are refused. */
  stop(): void {
    this.#server?.forceShutdown()
    this.#server = null
  }

  async #answer<M extends Method>(
    method: M,
    request: Methods[M][0],
  ): Promise<Methods[M][1] | typeof NEVER | typeof LOST> {
    const { id, topology, data, boundaryOf, faults } = this.#deps
    const rules: MethodRules<Methods[M][0], Methods[M][1]> = methods[method]
    const { context, cf } = request as AnyRequest
    this.counts.set(method, (this.counts.get(method) ?? 0) + 1)
    if (context === undefined) return rules.refused('no context')
    if (context.isRetryRequest) this.retries++
    const fault = faults()({ storeId: id, method, regionId: context.regionId })
    if (fault?.type === 'hangBefore') return NEVER
    if (fault?.type === 'regionError') return withRegionError(rules, fault.error)
    if (fault?.type === 'delay') await new Promise((resolve) => setTimeout(resolve, fault.ms))
    const keys = rules.keys(request)
    const refusal = topology.refusal(id, context, keys.map(boundaryOf))
    if (refusal !== null) return withRegionError(rules, refusal)
    const error = data.refusal(context, keys, cf, rules.ttls?.(request) ?? [])
    const response = error === '' ? rules.apply(data, request) : rules.refused(error)
    if (fault?.type === 'hangBehind') return NEVER
    return fault?.type === 'loseAnswer' ? LOST : response
  }

  /** client-go sends its commands so. An answer that is lost takes the stream with it, as a connection does. */
  #stream(stream: ServerDuplexStream<tikvpb.BatchCommandsRequest, tikvpb.BatchCommandsResponse>): void {
    stream.on('data', ({ requests, requestIds }: tikvpb.BatchCommandsRequest) => {
      requests.forEach(({ cmd }, i) => {
        void this.#batched(cmd!).then((response) => {
          if (response === LOST) stream.destroy()
          else if (response !== NEVER && !stream.destroyed)
            stream.write({ responses: [{ cmd: response }], requestIds: [requestIds[i]!] })
        })
      })
    })
    stream.on('error', () => {})
    stream.on('end', () => stream.end())
  }

  async #batched(
    cmd: Batched,
  ): Promise<NonNullable<tikvpb.BatchCommandsResponse_Response['cmd']> | typeof NEVER | typeof LOST> {
    if (cmd.$case === 'Empty') return { $case: 'Empty', value: { testId: cmd.value.testId } }
    const method = `r${cmd.$case.slice(1)}` as Method
    const response = await this.#answer(method, cmd.value as Methods[Method][0])
    if (response === NEVER || response === LOST) return response
    return { $case: cmd.$case, value: response } as NonNullable<tikvpb.BatchCommandsResponse_Response['cmd']>
  }
}

const withRegionError = <Request, Response>(rules: MethodRules<Request, Response>, error: errorpb.Error): Response => ({
  ...rules.refused(''),
  regionError: error,
})
