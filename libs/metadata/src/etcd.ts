/** The etcd client as this room needs it: quick to recover, every unary call with a deadline. */
import { InterceptingCall, type Interceptor } from '@grpc/grpc-js'
import { noop } from 'cockatiel'
import { Etcd3 } from 'etcd3'
import { PoolMeter, WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'

export interface EtcdOptions {
  /** `host:port` or URLs. */
  readonly hosts: readonly string[]
  /** Clusters sharing an etcd keep apart by it. */
  readonly cluster: string
}

export const CALL_TIMEOUT_MS = 2_000

export function etcdClient(options: EtcdOptions): Etcd3 {
  const calls = { open: 0 }
  const client = new Etcd3({
    hosts: options.hosts.map((host) => (host.includes('://') ? host : `http://${host}`)),
    dialTimeout: CALL_TIMEOUT_MS,
    defaultCallOptions: (context) => (context.isStream ? {} : { deadline: Date.now() + CALL_TIMEOUT_MS }),
    // The default circuit breaker keeps refusing for seconds after etcd is back.
    faultHandling: { host: () => noop, global: noop },
    grpcOptions: {
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 2_000,
      interceptors: [counting(calls)],
    } as GrpcOptions,
  })
  const meter = new PoolMeter('etcd', systemClock, () => {
    // HTTP/2: calls share one connection for each server that is asked.
    return { open: calls.open > 0 ? 1 : 0, busy: calls.open, waiting: 0, max: null }
  })
  const close = client.close.bind(client)
  client.close = () => {
    meter.close()
    close()
  }
  return client
}

/** etcd3 hands them on to its clients as they are; its type names the channel's options only. */
type GrpcOptions = NonNullable<ConstructorParameters<typeof Etcd3>[0]>['grpcOptions']

/** Unary calls; a lease and a watch are open for as long as they live. */
const counting =
  (calls: { open: number }): Interceptor =>
  (options, nextCall) => {
    const { requestStream, responseStream } = options.method_definition
    if (requestStream || responseStream) return new InterceptingCall(nextCall(options))
    return new InterceptingCall(nextCall(options), {
      start(metadata, _listener, next) {
        calls.open++
        next(metadata, {
          onReceiveStatus(status, nextStatus) {
            calls.open--
            nextStatus(status)
          },
        })
      },
    })
  }

export const leaderKey = (cluster: string): string => `/weir/${cluster}/leader`
export const jobKey = (cluster: string, job: string): string => `/weir/${cluster}/jobs/${job}`
export const jobsPrefix = (cluster: string): string => `/weir/${cluster}/jobs/`
export const headRegisterKey = (cluster: string, job: string): string => `/weir/${cluster}/heads/${job}`

/**
 * Who decides in a cluster is fixed by its first job-manager: one that trusts the object store beside one that does not would
 * each miss what the other has published. Throws `ARBITERS_CHANGED` (invalid), or kind `retry` when etcd is away.
 */
export async function fixArbiters(client: Etcd3, cluster: string, wanted: string): Promise<void> {
  const key = `/weir/${cluster}/arbiters`
  let fixed: string | null
  try {
    await client.if(key, 'Create', '==', 0).then(client.put(key).value(wanted)).commit()
    fixed = await client.get(key).string()
  } catch (error) {
    throw etcdUnavailable('asking who decides in this cluster', error)
  }
  if (fixed === wanted) return
  throw new WeirError(
    { code: 'ARBITERS_CHANGED', kind: 'invalid', cluster, fixed, wanted },
    `cluster "${cluster}" was set up with the arbiters "${fixed}", this job-manager would use "${wanted}": either the object ` +
      'store has stopped (or begun) to honour conditional writes, or WEIR_ARBITERS differs. Give every job-manager of a ' +
      'cluster the same, or use another WEIR_CLUSTER.',
  )
}

export const etcdUnavailable = (what: string, cause: unknown): WeirError =>
  cause instanceof WeirError
    ? cause
    : new WeirError(
        { code: 'ETCD_UNAVAILABLE', kind: 'retry' },
        `${what}: no answer from etcd (${(cause as Error).message}). Check WEIR_ETCD and that etcd is healthy.`,
        { cause },
      )
