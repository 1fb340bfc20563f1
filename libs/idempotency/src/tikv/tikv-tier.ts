/**
 * Claims in TiKV (`tier.ts`): one compare-and-swap with TTL per entry, so a claim and its time are one atomic write.
 *
 * An entry's value names its owner, so a write that is sent again because its answer was lost finds itself there, and has won.
 * TiKV has no compare-and-delete: what is released becomes a tombstone for a short time. It outlives the deadline of every
 * call that may still be under way, so that a delayed claim finds it there instead of nothing.
 */
import { WeirError, type Clock, type Random } from '@weir/model'
import {
  BrokenCircuitError,
  circuitBreaker,
  ConsecutiveBreaker,
  handleWhen,
  type CircuitBreakerPolicy,
} from 'cockatiel'
import type { ClaimTier, TierClaim, TierEntry, TierSwap } from '../tier.ts'
import { Channels } from './channels.ts'
import { codecV1, codecV2 } from './key-codec.ts'
import { PdFailure, PlacementDriver } from './placement-driver.ts'
import { RawKv, type Swapped } from './raw-kv.ts'
import { Stores } from './stores.ts'
import { settingsOf, type TikvOptions, type TikvSettings } from './tikv-options.ts'
import { probeTtl } from './ttl-probe.ts'

/** Calls of one batch at a time: RawCompareAndSwap takes one key. */
const IN_FLIGHT_MAX = 128
/** Each round is lost to somebody else's write of the same key. */
const SWAP_ROUNDS_MAX = 16
const TOMBSTONE_SECONDS = 20
/** So many calls without an answer, one after the other, and the next ones fail at once; after the pause one tries again. */
export const BREAKER = { failures: 5, pauseMs: 1_000 }

export interface TikvTierOptions extends TikvOptions {
  /** Led by it, keys of several users share a cluster. */
  readonly namespace: string
}

export class TikvTier implements ClaimTier {
  readonly #namespace: string
  readonly #kv: RawKv
  readonly #channels: Channels
  readonly #breaker: CircuitBreakerPolicy
  #isClosed = false

  private constructor(namespace: string, kv: RawKv, channels: Channels) {
    this.#namespace = namespace
    this.#kv = kv
    this.#channels = channels
    this.#breaker = circuitBreaker(handleWhen(isOutage), {
      halfOpenAfter: BREAKER.pauseMs,
      breaker: new ConsecutiveBreaker(BREAKER.failures),
    })
  }

  /** Throws `TIKV_OPTIONS`, `TIKV_KEYSPACE`, `TIKV_TTL_DISABLED` (invalid), `CLAIM_TIER_UNAVAILABLE` (retry). */
  static async open(
    options: TikvTierOptions,
    deps: { readonly clock: Clock; readonly random: Random },
    signal: AbortSignal,
  ): Promise<TikvTier> {
    const settings = settingsOf(options)
    const channels = new Channels(settings.tls)
    try {
      const kv = await connect(settings, channels, deps, signal)
      return new TikvTier(options.namespace, kv, channels)
    } catch (error) {
      channels.close()
      throw isOutage(error) ? unavailable(error) : error
    }
  }

  async claim(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly TierClaim[]> {
    const answers = new Array<TierClaim>(entries.length)
    await this.#inParallel(chainsByKey(entries), signal, async ({ at, entry }) => {
      const { swapped, there } = await this.#put(entry, null, signal)
      // Nothing there and yet not swapped is what only a swap can be told.
      answers[at] = swapped ? { won: true } : { won: false, there: there! }
    })
    return answers
  }

  async get(key: string, signal: AbortSignal): Promise<string | null> {
    const value = await this.#run(signal, () => this.#kv.get(this.#key(key), signal))
    return textOf(value)
  }

  async getMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (string | null)[]> {
    const wanted = keys.map((key) => this.#key(key))
    const found = await this.#run(signal, () => this.#kv.batchGet(wanted, signal))
    return wanted.map((key) => textOf(found.get(key.toString('latin1')) ?? null))
  }

  async swap(entry: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierSwap> {
    const { swapped, there } = await this.#put(entry, expected, signal)
    return swapped ? { swapped: true } : { swapped: false, there }
  }

  async release(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    const { swapped, previous } = await this.#run(signal, () =>
      this.#kv.compareAndSwap(this.#key(key), valueOf(value), TOMBSTONE, TOMBSTONE_SECONDS, signal),
    )
    return swapped || textOf(previous) === null
  }

  close(): Promise<void> {
    this.#isClosed = true
    this.#channels.close()
    return Promise.resolve()
  }

  /** Puts the entry where `expected`, or already the entry itself, is. */
  async #put({ key, value, ttlMs }: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierPut> {
    const at = this.#key(key)
    const own = valueOf(value)
    let assumed = expected === null ? null : valueOf(expected)
    for (let round = 0; round < SWAP_ROUNDS_MAX; round++) {
      const before = assumed
      const { swapped, previous }: Swapped = await this.#run(signal, () =>
        this.#kv.compareAndSwap(at, before, own, secondsFor(ttlMs), signal),
      )
      if (swapped) return { swapped: true, there: value }
      const there = textOf(previous)
      if (there !== value && there !== expected) return { swapped: false, there }
      // Ours already (its time begins again), a tombstone, or what was expected has come meanwhile.
      assumed = previous
    }
    throw unavailable(new Error(`"${key}" was changed by others ${SWAP_ROUNDS_MAX} times during one write`))
  }

  async #run<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    if (this.#isClosed) throw new WeirError({ code: 'CLAIM_TIER_CLOSED', kind: 'restart' }, 'the tier was closed')
    try {
      return await this.#breaker.execute(call)
    } catch (error) {
      throw isOutage(error) || error instanceof BrokenCircuitError ? unavailable(error) : error
    }
  }

  /** Entries of one key one behind the other, in order; the chains side by side, within the bound. */
  async #inParallel(
    chains: readonly (readonly Numbered[])[],
    signal: AbortSignal,
    each: (numbered: Numbered) => Promise<void>,
  ): Promise<void> {
    let next = 0
    let failed = false
    const work = async (): Promise<void> => {
      while (next < chains.length && !failed) {
        const chain = chains[next++]!
        for (const numbered of chain) await each(numbered)
      }
    }
    if (chains.length === 0) await this.#run(signal, () => Promise.resolve())
    const workers = Array.from({ length: Math.min(IN_FLIGHT_MAX, chains.length) }, () =>
      work().catch((error: unknown) => {
        failed = true
        throw error
      }),
    )
    // All of them: what is under way must not go on behind the caller's back.
    const ends = await Promise.allSettled(workers)
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  #key(key: string): Buffer {
    return Buffer.from(`${this.#namespace}\0${key}`)
  }
}

interface TierPut {
  readonly swapped: boolean
  readonly there: string | null
}

interface Numbered {
  readonly at: number
  readonly entry: TierEntry
}

async function connect(
  settings: TikvSettings,
  channels: Channels,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  signal: AbortSignal,
): Promise<RawKv> {
  const { pd: endpoints, apiVersion, keyspace, deadlineMs, openMs } = settings
  const deadline = clock.monotonic() + openMs
  const pd = new PlacementDriver({ endpoints }, { channels, clock })
  const id = keyspace === null ? 0 : await pd.keyspace(keyspace, deadline, signal)
  const codec = apiVersion === 2 ? codecV2(id) : codecV1
  const deps = { channels, pd, stores: new Stores({ pd, clock }), codec, clock, random }
  // Connections are made now: the first claim should not pay for them.
  const patient = new RawKv({ deadlineMs: openMs }, deps)
  await probeTtl(patient, Buffer.from(`weir.probe.${random.nonce()}`), signal)
  return new RawKv({ deadlineMs }, deps)
}

const OUTAGES: readonly string[] = ['TIKV_UNAVAILABLE', 'TIKV_UNDETERMINED', 'TIKV_BUSY', 'TIKV_FLASHBACK']
const isOutage = (error: unknown): boolean =>
  error instanceof PdFailure || (error instanceof WeirError && OUTAGES.includes(error.code))

const unavailable = (cause: unknown): WeirError =>
  new WeirError(
    { code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry', tier: 'tikv' },
    `TiKV: ${cause instanceof Error ? cause.message : String(cause)}`,
    { cause },
  )

// ---- values: a byte that tells a text from a tombstone, and the text ------------------------------------------------

const TEXT = 1
const TOMBSTONE = Buffer.from([0])

function valueOf(text: string): Buffer {
  const value = Buffer.allocUnsafe(1 + Buffer.byteLength(text))
  value[0] = TEXT
  value.write(text, 1)
  return value
}

function textOf(value: Buffer | null): string | null {
  if (value === null || (value.length === 1 && value[0] === 0)) return null
  if (value[0] === TEXT) return value.toString('utf8', 1)
  throw new WeirError(
    { code: 'CLAIM_TIER_CORRUPT', kind: 'invalid', tier: 'tikv', firstByte: value[0] ?? null },
    'a value in TiKV was not written by Weir: give claims a namespace of their own',
  )
}

/** TiKV counts whole seconds of its own clock, and may take off up to one. */
const secondsFor = (ttlMs: number): number => Math.ceil(ttlMs / 1_000) + 1

function chainsByKey(entries: readonly TierEntry[]): Numbered[][] {
  const chains = new Map<string, Numbered[]>()
  entries.forEach((entry, at) => {
    const chain = chains.get(entry.key)
    if (chain === undefined) chains.set(entry.key, [{ at, entry }])
    else chain.push({ at, entry })
  })
  return [...chains.values()]
}
