/** Worker ids in etcd: two keys each, as worker-lease.ts says. Every change compares the holder's create revision and its value. */
import { noop } from 'cockatiel'
import { Etcd3 } from 'etcd3'
import { WeirError } from '@weir/model'
import { randomInt } from 'node:crypto'
import type { Extended, WorkerIds } from './generator.ts'
import { WORKERS } from './layout.ts'
import type { Holder, Mark } from './worker-lease.ts'

export interface EtcdWorkersOptions {
  /** `host:port` or URLs. */
  readonly hosts: readonly string[]
  /** Clusters sharing an etcd keep apart by it. Ids are unique within one. */
  readonly cluster: string
  readonly datacenter: number
  /** Of the lease: whole seconds × 1,000, as in the generator's settings. */
  readonly ttlMs: number
}

/** Of every call: shorter than the time between two renewals of a lease of 10 s. */
const CALL_TIMEOUT_MS = 2_000

export class EtcdWorkerIds implements WorkerIds {
  readonly #client: Etcd3
  readonly #prefix: string
  readonly #ttlSeconds: number

  constructor({ hosts, cluster, datacenter, ttlMs }: EtcdWorkersOptions) {
    this.#prefix = `/weir/${cluster}/dtxid/${datacenter}/`
    this.#ttlSeconds = ttlMs / 1_000
    this.#client = new Etcd3({
      hosts: hosts.map((host) => (host.includes('://') ? host : `http://${host}`)),
      dialTimeout: CALL_TIMEOUT_MS,
      defaultCallOptions: (context) => (context.isStream ? {} : { deadline: Date.now() + CALL_TIMEOUT_MS }),
      // The default circuit breaker keeps refusing for seconds after etcd is back.
      faultHandling: { host: () => noop, global: noop },
      grpcOptions: { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 500 },
    })
  }

  async list(): Promise<{ taken: Set<number>; marks: Map<number, number> }> {
    const taken = new Set<number>()
    const marks = new Map<number, number>()
    await this.#asked('listing worker ids', async () => {
      const all = await this.#client
        .getAll()
        .prefix(this.#prefix)
        .limit(2 * WORKERS)
        .strings()
      for (const [key, value] of Object.entries(all)) {
        const [kind, worker] = key.slice(this.#prefix.length).split('/')
        if (kind === 'holder') taken.add(Number(worker))
        if (kind === 'mark') marks.set(Number(worker), Number(value))
      }
    })
    return { taken, marks }
  }

  claim(worker: number, nonce: string): Promise<{ holder: Holder; mark: Mark } | null> {
    return this.#asked(`claiming worker id ${worker}`, async () => {
      // Chosen here, below 2^47: the client reads 64-bit ids as doubles (see metadata/etcd-election.ts).
      const leaseId = String(randomInt(1, 2 ** 47))
      await this.#client.leaseClient.leaseGrant({ ID: leaseId, TTL: this.#ttlSeconds })
      try {
        const key = this.#holderKey(worker)
        const won = await this.#client
          .if(key, 'Create', '==', 0)
          .then(this.#client.put(key).value(nonce).lease(leaseId), this.#client.get(this.#markKey(worker)))
          .commit()
        if (!won.succeeded) {
          this.#revoke(leaseId)
          return null
        }
        const holder = { worker, leaseId, revision: String(won.header.revision), nonce }
        return { holder, mark: markOf(won.responses[1]!.response_range.kvs[0]) }
      } catch (error) {
        this.#revoke(leaseId) // it may have been won
        throw error
      }
    })
  }

  renew({ leaseId }: Holder): Promise<boolean> {
    return this.#asked('renewing a lease', async () => {
      const stream = await this.#client.leaseClient.leaseKeepAlive({ deadline: Date.now() + CALL_TIMEOUT_MS })
      try {
        return await new Promise<boolean>((resolve, reject) => {
          stream.on('data', (answer: { TTL: string | number }) => resolve(Number(answer.TTL) > 0))
          stream.on('error', reject)
          stream.on('end', () => reject(new Error('the stream ended without an answer')))
          stream.write({ ID: leaseId })
        })
      } finally {
        stream.end()
      }
    })
  }

  extend(holder: Holder, value: number, over: string | null): Promise<Extended> {
    const [holderKey, markKey] = [this.#holderKey(holder.worker), this.#markKey(holder.worker)]
    return this.#asked(`raising the mark of worker id ${holder.worker}`, async () => {
      const done = await this.#client
        .if(holderKey, 'Create', '==', Number(holder.revision))
        .and(holderKey, 'Value', '==', holder.nonce)
        .and(markKey, 'Mod', '==', Number(over ?? 0))
        .then(this.#client.put(markKey).value(String(value)))
        .else(this.#client.get(holderKey), this.#client.get(markKey))
        .commit()
      if (done.succeeded) return { kind: 'extended', mark: { value, revision: String(done.header.revision) } }
      const [there, mark] = done.responses.map(({ response_range: range }) => range.kvs[0])
      const ours = there?.create_revision === holder.revision && there.value.toString() === holder.nonce
      return ours ? { kind: 'moved', mark: markOf(mark) } : { kind: 'gone' }
    })
  }

  async giveBack({ leaseId }: Holder): Promise<void> {
    // The key goes with its lease. Not reachable: it runs out.
    await this.#client.leaseClient.leaseRevoke({ ID: leaseId }).catch(() => undefined)
  }

  close(): void {
    this.#client.close()
  }

  #revoke(leaseId: string): void {
    void this.#client.leaseClient.leaseRevoke({ ID: leaseId }).catch(() => undefined)
  }

  async #asked<T>(what: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (cause) {
      throw new WeirError(
        { code: 'DTXID_UNAVAILABLE', kind: 'retry' },
        `${what}: no answer from etcd (${(cause as Error).message}). Check WEIR_ETCD and that etcd is healthy.`,
        { cause },
      )
    }
  }

  #holderKey(worker: number): string {
    return `${this.#prefix}holder/${worker}`
  }

  #markKey(worker: number): string {
    return `${this.#prefix}mark/${worker}`
  }
}

const markOf = (kv: { readonly value: Buffer; readonly mod_revision: string } | undefined): Mark =>
  kv === undefined ? { value: 0, revision: null } : { value: Number(kv.value.toString()), revision: kv.mod_revision }
