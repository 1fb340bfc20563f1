/** One gRPC channel per address, shared by all calls. */
import {
  credentials,
  Metadata,
  status,
  type ChannelCredentials,
  type ClientUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js'
import { keyspacepb, pdpb, tikvpb } from '@weir/proto/tikv'

/** A batch of 512 values of any size TiKV takes: its own default for a message is 10 MiB. */
const MESSAGE_BYTES_MAX = 64 << 20
/** grpc-js waits 1 s before it connects again; a tier that is back should be used again at once. */
const RECONNECT_MS = { first: 100, longest: 1_000 }

export interface TlsOptions {
  /** PEM. For PD and all stores alike, as TiKV's own `security` section has it. */
  readonly ca: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
  /** Where the certificate names another host than the address. */
  readonly serverName?: string
}

/** Why a call has no answer. `unreachable`: it was not sent; `unanswered`: it may have been. */
export type Failure = {
  readonly kind: 'unreachable' | 'unanswered' | 'refused'
  readonly message: string
  readonly code: number
}
export type Answer<A> = { readonly ok: true; readonly value: A } | ({ readonly ok: false } & Failure)

export type Reply<A> = (error: ServiceError | null, value: A) => void
/** Starts a call on a generated client. */
export type Call<C, A> = (
  client: C,
  metadata: Metadata,
  options: { deadline: number },
  reply: Reply<A>,
) => ClientUnaryCall

interface Clients {
  readonly kv: tikvpb.TikvClient
  readonly pd: pdpb.PDClient
  readonly keyspace: keyspacepb.KeyspaceClient
}

export class Channels {
  readonly #credentials: ChannelCredentials
  readonly #options: Record<string, string | number>
  readonly #clients = new Map<string, Clients>()
  readonly #metadata = new Metadata()

  constructor(tls: TlsOptions | null) {
    this.#credentials = tls === null ? credentials.createInsecure() : credentials.createSsl(tls.ca, tls.key, tls.cert)
    this.#options = {
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
      'grpc.initial_reconnect_backoff_ms': RECONNECT_MS.first,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MS.longest,
      // grpc-js would repeat a call by itself where a service configuration says so: a write must not be.
      'grpc.enable_retries': 0,
      ...(tls?.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': tls.serverName }),
    }
  }

  /** @param timeoutMs > 0; rejects only with the signal's reason */
  ask<N extends keyof Clients, A>(
    address: string,
    service: N,
    timeoutMs: number,
    signal: AbortSignal,
    call: Call<Clients[N], A>,
  ): Promise<Answer<A>> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error)
      const deadline = Date.now() + Math.max(1, timeoutMs)
      const running = call(this.#at(address)[service], this.#metadata, { deadline }, (error, value) => {
        signal.removeEventListener('abort', aborted)
        if (signal.aborted) reject(signal.reason as Error)
        else resolve(error === null ? { ok: true, value } : { ok: false, ...failureOf(error) })
      })
      const aborted = (): void => running.cancel()
      signal.addEventListener('abort', aborted, { once: true })
    })
  }

  close(): void {
    for (const clients of this.#clients.values()) for (const client of Object.values(clients)) client.close()
    this.#clients.clear()
  }

  #at(address: string): Clients {
    const known = this.#clients.get(address)
    if (known !== undefined) return known
    const kv = new tikvpb.TikvClient(address, this.#credentials, this.#options)
    // One connection for what one address serves.
    const shared = { ...this.#options, channelOverride: kv.getChannel() }
    const made = {
      kv,
      pd: new pdpb.PDClient(address, this.#credentials, shared),
      keyspace: new keyspacepb.KeyspaceClient(address, this.#credentials, shared),
    }
    this.#clients.set(address, made)
    return made
  }
}

const NOT_SENT = /No connection established|ECONNREFUSED|Name resolution failed/

function failureOf({ code, details }: ServiceError): Failure {
  const message = `${status[code] ?? code} ${details}`
  if (code === status.UNAVAILABLE) return { kind: NOT_SENT.test(details) ? 'unreachable' : 'unanswered', message, code }
  if (
    code === status.DEADLINE_EXCEEDED ||
    code === status.CANCELLED ||
    code === status.INTERNAL ||
    code === status.UNKNOWN
  )
    return { kind: 'unanswered', message, code }
  return { kind: 'refused', message, code }
}
