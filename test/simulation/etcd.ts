/**
 * etcd as the metadata room uses it: keys with create and mod revisions, transactions that compare them, leases. One
 * server, linearizable by construction. The client has the few methods of etcd3 that are called, so that the real
 * election and the real stores run over it.
 */
import type { Etcd3 } from 'etcd3'
import type { Network, Server } from './network.ts'
import type { Process, World } from './world.ts'

interface Entry {
  readonly value: string
  readonly create: number
  readonly mod: number
  readonly lease: string | null
}
interface Lease {
  readonly ttlMs: number
  expiresAt: number
}

type Op =
  | { readonly type: 'get'; readonly key: string }
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly lease: string | null }
interface Compare {
  readonly key: string
  readonly column: 'Create' | 'Mod' | 'Value'
  readonly value: number | string
}
interface KeyValue {
  readonly value: Buffer
  readonly create_revision: string
  readonly mod_revision: string
}
interface TxnAnswer {
  readonly succeeded: boolean
  readonly header: { readonly revision: string }
  readonly responses: { readonly response_range: { readonly kvs: KeyValue[] } }[]
}

const CALL_TIMEOUT_MS = 2_000
/** In the history: what follows was written after a restore. */
export const RESTORED = 'restored'

export class SimEtcd implements Server {
  readonly host = 'etcd'
  readonly #world: World
  #up = true
  #revision = 1
  readonly #entries = new Map<string, Entry>()
  readonly #leases = new Map<string, Lease>()
  #backup: { readonly revision: number; readonly entries: ReadonlyMap<string, Entry> } | null = null
  /** Every value a key ever had: for the checkers. */
  readonly history: { readonly key: string; readonly value: string; readonly revision: number }[] = []
  onPut: (key: string, value: string) => void = () => {}

  constructor(world: World) {
    this.#world = world
  }

  get up(): boolean {
    return this.#up
  }

  /** A server that comes back gives every lease its whole time again, as a new etcd leader does. */
  set up(up: boolean) {
    if (up && !this.#up) for (const lease of this.#leases.values()) lease.expiresAt = this.#world.now + lease.ttlMs
    this.#up = up
    if (up) for (const id of this.#leases.keys()) this.#watch(id)
  }

  put(key: string, value: string, lease: string | null = null): void {
    const revision = ++this.#revision
    const create = this.#entries.get(key)?.create ?? revision
    this.#entries.set(key, { value, create, mod: revision, lease })
    this.history.push({ key, value, revision })
    this.#world.trace(`etcd put ${key} @${revision}`)
    this.onPut(key, value)
  }

  value(key: string): string | null {
    return this.#entries.get(key)?.value ?? null
  }

  range(key: string): KeyValue[] {
    const entry = this.#entries.get(key)
    if (entry === undefined) return []
    return [{ value: Buffer.from(entry.value), create_revision: String(entry.create), mod_revision: String(entry.mod) }]
  }

  prefix(prefix: string): Record<string, string> {
    const all = [...this.#entries].filter(([key]) => key.startsWith(prefix))
    return Object.fromEntries(all.map(([key, { value }]) => [key, value]))
  }

  txn(compares: readonly Compare[], success: readonly Op[], failure: readonly Op[]): TxnAnswer {
    const succeeded = compares.every(({ key, column, value }) => {
      const entry = this.#entries.get(key)
      if (column === 'Value') return entry?.value === value
      return (column === 'Create' ? (entry?.create ?? 0) : (entry?.mod ?? 0)) === value
    })
    const responses = (succeeded ? success : failure).map((op) => {
      if (op.type === 'get') return { response_range: { kvs: this.range(op.key) } }
      if (op.lease !== null && !this.#leases.has(op.lease)) throw new Error('requested lease not found')
      this.put(op.key, op.value, op.lease)
      return { response_range: { kvs: [] } }
    })
    return { succeeded, header: { revision: String(this.#revision) }, responses }
  }

  grant(id: string, ttlMs: number): void {
    this.#leases.set(id, { ttlMs, expiresAt: this.#world.now + ttlMs })
    this.#watch(id)
  }

  /** Seconds left; 0: gone. */
  renew(id: string): number {
    const lease = this.#leases.get(id)
    if (lease === undefined) return 0
    lease.expiresAt = this.#world.now + lease.ttlMs
    return lease.ttlMs / 1_000
  }

  revoke(id: string): void {
    if (!this.#leases.delete(id)) return
    for (const [key, entry] of [...this.#entries]) {
      if (entry.lease !== id) continue
      this.#entries.delete(key)
      this.#revision++
      this.#world.trace(`etcd delete ${key}`)
    }
  }

  /** Leases end before their time; returns how many. */
  expireLeases(): number {
    const ids = [...this.#leases.keys()]
    for (const id of ids) this.revoke(id)
    return ids.length
  }

  backup(): void {
    this.#backup = { revision: this.#revision, entries: new Map(this.#entries) }
  }

  /** False: there is no backup yet. The jobs' records are kept: a job that is forgotten is no finding. */
  restore(): boolean {
    if (this.#backup === null) return false
    this.#world.trace(`etcd restored from @${this.#revision} to @${this.#backup.revision}`)
    this.#revision = this.#backup.revision
    const jobs = [...this.#entries].filter(([key]) => key.includes('/jobs/'))
    this.#entries.clear()
    for (const [key, entry] of [...this.#backup.entries, ...jobs])
      if (entry.lease === null) this.#entries.set(key, entry)
    this.#leases.clear()
    this.history.push({ key: RESTORED, value: '', revision: this.#revision })
    return true
  }

  #watch(id: string): void {
    const lease = this.#leases.get(id)
    if (lease === undefined) return
    this.#world.at(lease.expiresAt, () => {
      if (!this.#up || this.#leases.get(id) !== lease) return
      if (lease.expiresAt > this.#world.now) this.#watch(id)
      else this.revoke(id)
    })
  }
}

interface PutOp {
  readonly op: Op
  value(value: string): PutOp
  lease(id: string): PutOp
}
interface GetOp {
  readonly op: Op
  exec(): Promise<{ kvs: KeyValue[] }>
  string(): Promise<string | null>
}

/** The methods of etcd3 that libs/metadata calls, over the simulated network. */
export function etcdClientOf(process: Process, network: Network, etcd: SimEtcd): Etcd3 {
  const call = <T>(what: string, handle: () => T, timeoutMs = CALL_TIMEOUT_MS): Promise<T> =>
    network.call(process, etcd, what, timeoutMs, handle)

  const get = (key: string): GetOp => ({
    op: { type: 'get', key },
    exec: () => call(`get ${key}`, () => ({ kvs: etcd.range(key) })),
    string: () => call(`get ${key}`, () => etcd.value(key)),
  })
  const put = (key: string, value = '', lease: string | null = null): PutOp => ({
    op: { type: 'put', key, value, lease },
    value: (text) => put(key, text, lease),
    lease: (id) => put(key, value, id),
  })
  const txn = (compares: readonly Compare[], success: readonly Op[], failure: readonly Op[]) => ({
    and: (key: string, column: Compare['column'], _is: string, value: number | string) =>
      txn([...compares, { key, column, value }], success, failure),
    then: (...ops: { op: Op }[]) => comparing(compares, ops, failure),
    else: (...ops: { op: Op }[]) =>
      comparing(
        compares,
        success.map((op) => ({ op })),
        ops.map((o) => o.op),
      ),
  })
  // Without `then`, which would make it look like a promise.
  const comparing = (compares: readonly Compare[], success: readonly { op: Op }[], failure: readonly Op[]) => ({
    else: (...ops: { op: Op }[]) =>
      comparing(
        compares,
        success,
        ops.map((o) => o.op),
      ),
    commit: () =>
      call(`txn ${[...new Set(compares.map((c) => c.key))].join(' ')}`, () =>
        etcd.txn(
          compares,
          success.map((o) => o.op),
          failure,
        ),
      ),
  })
  const client = {
    get,
    put,
    if: (key: string, column: Compare['column'], _is: string, value: number | string) =>
      txn([{ key, column, value }], [], []),
    getAll: () => ({
      prefix: (prefix: string) => ({ strings: () => call(`range ${prefix}`, () => etcd.prefix(prefix)) }),
    }),
    leaseClient: {
      leaseGrant: ({ ID, TTL }: { ID: string; TTL: number }) => call('grant', () => etcd.grant(ID, TTL * 1_000)),
      leaseRevoke: ({ ID }: { ID: string }) => call('revoke', () => etcd.revoke(ID)),
      leaseKeepAlive: () => {
        let onData: (answer: { TTL: number }) => void = () => {}
        let onError: (error: Error) => void = () => {}
        return Promise.resolve({
          on(event: 'data' | 'error', listener: never) {
            if (event === 'data') onData = listener
            else onError = listener
          },
          write: ({ ID }: { ID: string }) =>
            void call('renew', () => etcd.renew(ID), RENEW_TIMEOUT_MS).then((TTL) => onData({ TTL }), onError),
          end() {},
        })
      },
    },
    close() {},
  }
  return client as unknown as Etcd3
}

/** Half of the lease's time, as the election asks for. */
const RENEW_TIMEOUT_MS = 1_000
