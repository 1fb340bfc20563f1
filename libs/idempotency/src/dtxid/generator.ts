/**
 * Transaction ids of one process: the id source (id-source.ts) driven by real clocks, etcd and a job-manager's time. Ids are made
 * here, without a question to anybody; what is asked goes on beside it.
 */
import { asWeirError, type Cancel, type Clock, type Random } from '@weir/model'
import { blockedError, invalidSetting } from './errors.ts'
import { IdSource, type DtxIdStatus, type SourceEffect, type SourceEvent } from './id-source.ts'
import { DATACENTERS, WORKERS, layout63, layout68, type IdLayout } from './layout.ts'
import { LEASE_DEFAULTS, type Holder, type LeaseSettings, type Mark } from './worker-lease.ts'

/** The keys of a datacenter's worker ids. Every call may throw: then nothing is known of its outcome. */
export interface WorkerIds {
  list(): Promise<{ readonly taken: ReadonlySet<number>; readonly marks: ReadonlyMap<number, number> }>
  /** Null: somebody else holds it. What a claim that throws may have won must be given back, or run out. */
  claim(worker: number, nonce: string): Promise<{ readonly holder: Holder; readonly mark: Mark } | null>
  /** False: it is not ours any more. */
  renew(holder: Holder): Promise<boolean>
  /** Changes the mark from the revision `over` (null: there is none) while the id is ours; `moved` tells what is there instead. */
  extend(holder: Holder, value: number, over: string | null): Promise<Extended>
  /** Never throws. */
  giveBack(holder: Holder): Promise<void>
  close(): void
}
export type Extended = { readonly kind: 'extended' | 'moved'; readonly mark: Mark } | { readonly kind: 'gone' }

/** A job-manager's clock, ms since 1970. May throw. */
export interface FleetClock {
  now(): Promise<number>
  close(): void
}

export interface DtxIdOptions extends Partial<LeaseSettings> {
  /** 0 … 31; generators of one datacenter share its worker ids. */
  readonly datacenter: number
}
export interface DtxIdDeps {
  readonly clock: Clock
  readonly random: Random
  readonly workers: WorkerIds
  readonly fleet: FleetClock
  /** Of calls that failed: for logs. */
  readonly failed?: (what: SourceEffect['type'], error: unknown) => void
}

/** Of one `nextMany`: as many as the 63-bit form has in 32 ms. */
export const NEXT_MANY_MAX = 4_096
export const TAKE_TIMEOUT_MS = 5_000
const TAKE_POLL_MS = 2
/** Of the lease's time, between two looks at it. */
const TICKS_PER_TTL = 20

export const dtxIds63 = (options: DtxIdOptions, deps: DtxIdDeps): DtxIds<bigint> => new DtxIds(layout63, options, deps)
export const dtxIds68 = (options: DtxIdOptions, deps: DtxIdDeps): DtxIds<string> => new DtxIds(layout68, options, deps)

export class DtxIds<Id> {
  readonly #deps: DtxIdDeps
  readonly #clock: Clock
  readonly #source: IdSource<Id>
  readonly #tickMs: number
  #cancel: Cancel = () => {}
  #closed = false

  /** Begins to ask for a worker id at once. Throws `DTXID_INVALID` (invalid) for settings that cannot be. */
  constructor(layout: IdLayout<Id>, options: DtxIdOptions, deps: DtxIdDeps) {
    const settings = { ...LEASE_DEFAULTS, ...options }
    validate(settings)
    this.#deps = deps
    this.#clock = deps.clock
    this.#source = new IdSource(layout, settings)
    this.#tickMs = settings.ttlMs / TICKS_PER_TTL
    this.#tick()
  }

  /**
   * The next id: higher than every one before, of this process and of the worker id. Throws, as a rule with kind `retry`:
   * `DTXID_LEASE_LOST` (no worker id is held), `DTXID_DRIFT` (the clocks are being compared, or nobody tells the fleet's time),
   * `DTXID_EXHAUSTED` (all ids up to 50 ms ahead are used), `DTXID_MARK_UNSAFE` (etcd is late). `take` waits instead.
   */
  next(): Id {
    const id = this.#source.next(this.#clock.now(), this.#clock.monotonic())
    return id === undefined ? this.#refuse() : id
  }

  /** `next` with undefined instead of an error: for loops that have something better to do than wait. */
  tryNext(): Id | undefined {
    const id = this.#source.next(this.#clock.now(), this.#clock.monotonic())
    if (id === undefined) this.#doubt()
    return id
  }

  /** 1 … NEXT_MANY_MAX ids, in order, with one look at the clocks. All or an error, as `next`; then some are never used. */
  nextMany(count: number): Id[] {
    checkCount(count)
    const wall = this.#clock.now()
    const monotonic = this.#clock.monotonic()
    const ids: Id[] = []
    while (ids.length < count) {
      const id = this.#source.next(wall, monotonic)
      if (id === undefined) return this.#refuse()
      ids.push(id)
    }
    return ids
  }

  /** Waits for what passes by itself. Throws what `next` throws when it has not passed within `timeoutMs`. */
  async take(timeoutMs = TAKE_TIMEOUT_MS): Promise<Id> {
    return (await this.takeMany(1, timeoutMs))[0]!
  }

  /** `nextMany` that waits: other calls may come between, the ids are in order all the same. */
  async takeMany(count: number, timeoutMs = TAKE_TIMEOUT_MS): Promise<Id[]> {
    checkCount(count)
    const ids: Id[] = []
    for (const end = this.#clock.monotonic() + timeoutMs; ; await this.#clock.sleep(TAKE_POLL_MS)) {
      for (let id = this.tryNext(); id !== undefined; id = this.tryNext()) if (ids.push(id) === count) return ids
      if (this.#closed || this.#source.blocked === 'out-of-time' || this.#clock.monotonic() >= end)
        return this.#refuse()
    }
  }

  get status(): DtxIdStatus {
    return this.#source.status
  }

  /** Gives the worker id back. Nothing is given out afterwards. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cancel()
    await Promise.all(this.#source.on({ type: 'release' }, this.#now()).map((effect) => this.#perform(effect)))
    this.#deps.workers.close()
    this.#deps.fleet.close()
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  #refuse(): never {
    const why = this.#source.blocked
    this.#doubt()
    throw blockedError(why, { status: this.#source.status })
  }

  #doubt(): void {
    if (this.#source.newDoubt) this.#run(this.#source.doubt(this.#clock.monotonic()))
  }

  #now(): { wall: number; monotonic: number } {
    return { wall: this.#clock.now(), monotonic: this.#clock.monotonic() }
  }

  #tick(): void {
    this.#tell({ type: 'tick', now: this.#clock.monotonic() })
    this.#cancel = this.#clock.after(this.#tickMs, () => this.#tick())
  }

  #tell(event: SourceEvent): void {
    this.#run(this.#source.on(event, this.#now()))
  }

  #run(effects: readonly SourceEffect[]): void {
    for (const effect of effects) void this.#perform(effect)
  }

  /** Never throws: what went wrong is an answer. */
  async #perform(effect: SourceEffect): Promise<void> {
    const askedAt = this.#clock.monotonic()
    try {
      const answer = await this.#ask(effect, askedAt)
      if (answer !== null) this.#tell(answer)
    } catch (error) {
      this.#deps.failed?.(effect.type, asWeirError(error, 'DTXID_UNAVAILABLE', 'retry'))
      if (effect.type === 'ask-time') return this.#tell({ type: 'time-unanswered' })
      if (effect.type === 'give-back') return
      const of = 'holder' in effect ? effect.holder : null
      this.#tell({ type: 'unanswered', what: effect.type, of, now: this.#clock.monotonic() })
    }
  }

  async #ask(effect: SourceEffect, askedAt: number): Promise<SourceEvent | null> {
    const { workers, fleet, random } = this.#deps
    const now = (): number => this.#clock.monotonic()
    switch (effect.type) {
      case 'ask-time': {
        const fleetNow = await fleet.now()
        return { type: 'time', answer: { sentAt: askedAt, receivedAt: now(), fleetNow } }
      }
      case 'list':
        return { type: 'listed', ...(await workers.list()), draw: random.next(), now: now() }
      case 'claim': {
        const won = await workers.claim(effect.worker, random.nonce())
        return won === null ? { type: 'taken', now: now() } : { type: 'claimed', ...won }
      }
      case 'renew':
        return (await workers.renew(effect.holder))
          ? { type: 'renewed', of: effect.holder, askedAt }
          : { type: 'gone', of: effect.holder, now: now() }
      case 'extend': {
        const extended = await workers.extend(effect.holder, effect.value, effect.over)
        if (extended.kind === 'gone') return { type: 'gone', of: effect.holder, now: now() }
        return { type: extended.kind, of: effect.holder, mark: extended.mark }
      }
      case 'give-back':
        await workers.giveBack(effect.holder)
        return null
    }
  }
}

function validate(settings: LeaseSettings & { readonly datacenter: number }): void {
  const { datacenter, workers, ttlMs, marginMs, markAheadMs, retryMs } = settings
  whole('datacenter', datacenter, 0, DATACENTERS - 1)
  whole('workers', workers, 1, WORKERS)
  whole('ttlMs', ttlMs, 2_000, 600_000)
  if (ttlMs % 1_000 !== 0) throw invalidSetting('ttlMs', ttlMs, 'etcd counts leases in whole seconds')
  whole('marginMs', marginMs, Math.ceil(ttlMs / 20), Math.floor(ttlMs / 2))
  whole('markAheadMs', markAheadMs, 1_000, 600_000)
  whole('retryMs', retryMs, 10, 60_000)
}

const checkCount = (count: number): void => whole('count', count, 1, NEXT_MANY_MAX)

function whole(setting: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw invalidSetting(setting, value, `it must be a whole number from ${min} to ${max}`)
}
