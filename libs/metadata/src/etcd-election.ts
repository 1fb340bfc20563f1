/**
 * Election by one leased key. The key's create revision and its value name a term; every change a leader makes in etcd compares
 * both, so a leader that does not know yet that it has lost can change nothing there. At the lease's end by its own clock a
 * leader becomes a caretaker (PROTOCOL A8); the term ends only when etcd says that the lease is gone: an etcd that was
 * away and has kept the lease finds its leader still at work.
 */
import type { Election, LeaderRecord, Leadership, ObjectStore } from '@weir/checkpoint'
import { WeirError, asWeirError, generation, type Clock, type Generation } from '@weir/model'
import type { Etcd3 } from 'etcd3'
import { randomInt } from 'node:crypto'
import { etcdUnavailable, leaderKey } from './etcd.ts'
import type { EtcdTerm } from './etcd-stores.ts'
import { GENERATION_KEY } from './keys.ts'

export interface EtcdElectionOptions {
  readonly cluster: string
  /** Whole seconds: etcd's unit. */
  readonly ttlSeconds: number
  /** False: the object store honours no conditions (C2), and the leader key alone keeps generations apart. */
  readonly conditionalObjects: boolean
}
/** A won term as the etcd stores need it. */
export interface EtcdLeadership extends Leadership {
  readonly term: EtcdTerm
}

/** How often a candidate asks whether the key is free. */
const CANDIDATE_POLL_MS = 200
const RETRY_MS = 500

export class EtcdElection implements Election {
  readonly #client: Etcd3
  readonly #options: EtcdElectionOptions
  readonly #clock: Clock
  readonly #objects: ObjectStore

  constructor(client: Etcd3, objects: ObjectStore, options: EtcdElectionOptions, clock: Clock) {
    this.#client = client
    this.#objects = objects
    this.#options = options
    this.#clock = clock
  }

  async campaign(self: Omit<LeaderRecord, 'generation'>, signal: AbortSignal): Promise<EtcdLeadership> {
    for (;;) {
      signal.throwIfAborted()
      try {
        const leadership = await this.#tryOnce(self, signal)
        if (leadership !== null) return leadership
        await this.#clock.sleep(CANDIDATE_POLL_MS, signal)
      } catch (thrown) {
        signal.throwIfAborted()
        const error = asWeirError(thrown, 'CAMPAIGN_FAILED', 'retry')
        if (error.kind === 'invalid') throw error
        await this.#clock.sleep(RETRY_MS, signal)
      }
    }
  }

  async leader(): Promise<LeaderRecord | null> {
    try {
      const value = await this.#client.get(leaderKey(this.#options.cluster)).string()
      return value === null || value === '' ? null : (JSON.parse(value) as LeaderRecord)
    } catch (error) {
      throw etcdUnavailable('asking for the leader', error)
    }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** Null when somebody else leads. */
  async #tryOnce(self: Omit<LeaderRecord, 'generation'>, signal: AbortSignal): Promise<EtcdLeadership | null> {
    const key = leaderKey(this.#options.cluster)
    if ((await this.#client.get(key).exec()).kvs.length > 0) return null
    // Counted from before the request: etcd cannot have begun to count earlier.
    const aliveSince = this.#clock.monotonic()
    const lease = new Lease(this.#client)
    try {
      await lease.grant(this.#options.ttlSeconds)
      const put = this.#client.put(key).value('').lease(lease.id)
      const won = await this.#client.if(key, 'Create', '==', 0).then(put).commit()
      if (!won.succeeded) {
        await lease.revoke()
        return null
      }
      const term = won.header.revision
      const alive = new KeepAlive(lease, this.#options.ttlSeconds * 1_000, aliveSince, this.#clock)
      try {
        const own = await this.#claimGeneration(Number(term))
        const value = JSON.stringify({ generation: own, ...self } satisfies LeaderRecord)
        const announced = await this.#client
          .if(key, 'Create', '==', Number(term))
          .then(this.#client.put(key).value(value).lease(lease.id))
          .commit()
        if (!announced.succeeded || !alive.live) throw new Error('the lease ended during the election')
        signal.addEventListener('abort', () => alive.end('the process stops leading'), { once: true })
        return {
          generation: own,
          term: { revision: term, record: value },
          signal: alive.signal,
          get live() {
            return alive.live
          },
          resign: () => alive.resign(),
        }
      } catch (error) {
        await alive.resign()
        throw error
      }
    } catch (error) {
      throw etcdUnavailable('election', error)
    }
  }

  /**
   * generation = max(election revision, highest ever used + 1), decided by a compare-and-swap in the object store: a
   * rebuilt etcd starts its revisions again, generations must not (PROTOCOL C1).
   */
  async #claimGeneration(revision: number): Promise<Generation> {
    for (;;) {
      const stored = await this.#objects.get(GENERATION_KEY)
      const last =
        stored === null ? 0 : (JSON.parse(Buffer.from(stored.bytes).toString()) as { generation: number }).generation
      const own = Math.max(revision, last + 1)
      const condition = !this.#options.conditionalObjects
        ? undefined
        : stored === null
          ? { ifNoneMatch: '*' as const }
          : { ifMatch: stored.etag }
      const put = await this.#objects.put(GENERATION_KEY, Buffer.from(JSON.stringify({ generation: own })), condition)
      if (put.kind === 'stored') return generation(own)
      // Lost to another candidate, or the answer to our own was: both leave a higher number behind. Each round is one
      // term's, so this ends.
    }
  }
}

/**
 * A lease whose id we choose: the client library reads 64-bit ids as doubles where it does not find its optional `long`
 * package (seen under vitest), and etcd's own ids do not fit into a double.
 */
class Lease {
  readonly id = String(randomInt(1, 2 ** 47))
  readonly #client: Etcd3

  constructor(client: Etcd3) {
    this.#client = client
  }

  async grant(ttlSeconds: number): Promise<void> {
    await this.#client.leaseClient.leaseGrant({ ID: this.id, TTL: ttlSeconds })
  }

  /** Seconds it still has; 0 when it is gone. */
  async renew(timeoutMs: number): Promise<number> {
    const stream = await this.#client.leaseClient.leaseKeepAlive({ deadline: Date.now() + timeoutMs })
    try {
      return await new Promise<number>((resolve, reject) => {
        stream.on('data', (answer: { TTL: string | number }) => resolve(Number(answer.TTL)))
        stream.on('error', reject)
        stream.write({ ID: this.id })
      })
    } finally {
      stream.end()
    }
  }

  async revoke(): Promise<void> {
    await this.#client.leaseClient.leaseRevoke({ ID: this.id })
  }
}

/** Keeps a lease and knows, by its own clock, until when it surely holds. */
class KeepAlive {
  readonly #lease: Lease
  readonly #ttlMs: number
  readonly #clock: Clock
  readonly #abort = new AbortController()
  #heldUntil: number
  #cancelNext: () => void = () => {}

  constructor(lease: Lease, ttlMs: number, aliveSince: number, clock: Clock) {
    this.#lease = lease
    this.#ttlMs = ttlMs
    this.#clock = clock
    this.#heldUntil = aliveSince + ttlMs
    this.#plan()
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get live(): boolean {
    return !this.signal.aborted && this.#clock.monotonic() < this.#heldUntil
  }

  end(reason: string): void {
    if (this.#abort.signal.aborted) return
    this.#cancelNext()
    this.#abort.abort(new WeirError({ code: 'LEADERSHIP_LOST', kind: 'fenced' }, `leadership ended: ${reason}`))
  }

  async resign(): Promise<void> {
    this.end('resigned')
    // Not reachable: then the lease runs out by itself.
    await this.#lease.revoke().catch(() => undefined)
  }

  #plan(): void {
    this.#cancelNext = this.#clock.after(this.#ttlMs / 4, () => void this.#beat())
  }

  async #beat(): Promise<void> {
    const sentAt = this.#clock.monotonic()
    try {
      if ((await this.#lease.renew(this.#ttlMs / 2)) <= 0) return this.end('etcd says that the lease is gone')
      this.#heldUntil = sentAt + this.#ttlMs
    } catch {
      // Silence proves nothing: a caretaker goes on asking until etcd answers, one way or the other.
    }
    if (!this.signal.aborted) this.#plan()
  }
}
