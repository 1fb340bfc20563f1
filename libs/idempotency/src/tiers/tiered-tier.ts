/**
 * Memory over LevelDB over a remote tier. The remote one is the authority: it decides every claim and swap. What it said is kept in
 * the tiers above, with the time it was written for.
 *
 * **What is certain above.** A copy may be out of date as soon as somebody else can change the key: a dead letter hands its claim
 * on, and who then said "duplicate" from a copy would drop the only record that has an effect. So copies answer only with
 * `soleWriter` (all claims of a key come through this instance: the flow is keyed by what is claimed), only those this instance has
 * written itself, and only that a key is *not* free; never that it is. Any write whose outcome is unknown ends all certainty.
 *
 * **Without the remote tier.** `onUnavailable: 'fail'` says so. `'local'` decides by the copies, which suspends the promise: another
 * instance may decide the same key too. What was decided is on the disk before it is answered, and told to the remote tier,
 * in order, before that is asked anything else; what somebody else had claimed meanwhile is counted and named.
 */
import { WeirError, type Clock, type Random } from '@weir/model'
import type { ClaimTier, TierClaim, TierEntry, TierSwap } from '../tier.ts'
import { Copies } from './copies.ts'
import type { HotTier } from './hot-tier.ts'
import { KeysInFlight } from './keys-in-flight.ts'
import { LocalDecisions, type Told } from './local-decisions.ts'
import type { LevelTier } from './level-tier.ts'
import { tierEvents, type TierCalled } from './tier-events.ts'

export interface TieredTierOptions {
  /** For metrics. */
  readonly namespace: string
  /** All claims of a key come through this instance while it is open. Default false. */
  readonly soleWriter?: boolean
  readonly onUnavailable: 'fail' | 'local'
}

export interface TieredTierDependencies {
  readonly memory: HotTier
  readonly local: LevelTier
  readonly remote: ClaimTier
  readonly clock: Clock
  readonly random: Random
  /**
   * With `local`: claims are decided without the remote tier, or again by it, which knows what was decided meanwhile. `passedTwice`: what
   * others had claimed.
   */
  readonly onDegraded?: (isDegraded: boolean, facts: { readonly why: string; readonly passedTwice: number }) => void
}

interface Ways<T> {
  /** `alone`: no other call was about the key meanwhile. */
  remotely(alone: (key: string) => boolean): Promise<T>
  locally(): Promise<T>
}

export class TieredTier implements ClaimTier {
  readonly #options: TieredTierOptions
  readonly #deps: TieredTierDependencies
  readonly #copies: Copies
  readonly #decisions: LocalDecisions
  readonly #inFlight = new KeysInFlight()
  #isAway = false
  #isDegraded = false
  #passedTwice = 0

  constructor(options: TieredTierOptions, deps: TieredTierDependencies) {
    this.#options = options
    this.#deps = deps
    this.#copies = new Copies(deps)
    const { namespace } = options
    const told = (caughtUp: Told): void => {
      this.#passedTwice += caughtUp.conflicts
      tierEvents.caughtUp({ namespace, ...caughtUp })
    }
    this.#decisions = new LocalDecisions({ ...deps, told })
  }

  /** The remote tier did not answer the last call, or does not know yet of all that was decided without it. */
  get degraded(): boolean {
    return this.#isAway || this.#decisions.pending
  }

  async claim(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly TierClaim[]> {
    const texts = this.#certain(
      'claim',
      entries.map(({ key }) => key),
    )
    // Its own text there begins its time anew: that is the remote tier's to do.
    const known = texts.map((there, i) => (there === entries[i]!.value ? null : there))
    const open = entries.filter((_, i) => known[i] === null)
    const wanted = open.map(({ key }) => key)
    const asked = await this.#unlessKnown('claim', entries.length, wanted, signal, {
      remotely: async (alone) => {
        const answers = await this.#deps.remote.claim(open, signal)
        await this.#copies.keep(
          open.map((entry, i) => {
            const answer = answers[i]!
            return answer.won ? { ...entry, own: alone(entry.key) } : { ...entry, value: answer.there, own: false }
          }),
        )
        return answers
      },
      locally: () => this.#decisions.claim(open, signal),
    })
    let next = 0
    return known.map((there) => (there === null ? asked[next++]! : { won: false, there }))
  }

  async get(key: string, signal: AbortSignal): Promise<string | null> {
    return (await this.getMany([key], signal))[0]!
  }

  async getMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (string | null)[]> {
    const known = this.#certain('get', keys)
    const open = keys.filter((_, i) => known[i] === null)
    const asked = await this.#unlessKnown('get', keys.length, open, signal, {
      remotely: async () => {
        const texts = await this.#deps.remote.getMany(open, signal)
        await this.#copies.read(open, texts)
        return texts
      },
      locally: () => this.#decisions.getMany(open, signal),
    })
    let next = 0
    return known.map((there) => there ?? asked[next++]!)
  }

  swap(entry: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierSwap> {
    return this.#remote('swap', [entry.key], signal, {
      remotely: async (alone) => {
        const answer = await this.#deps.remote.swap(entry, expected, signal)
        if (answer.swapped) await this.#copies.keep([{ ...entry, own: alone(entry.key) }])
        else await this.#copies.read([entry.key], [answer.there])
        return answer
      },
      locally: () => this.#decisions.swap(entry, expected, signal),
    })
  }

  release(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    return this.#remote('release', [key], signal, {
      remotely: async () => {
        const released = await this.#deps.remote.release(key, value, signal)
        if (released) await this.#copies.read([key], [null])
        return released
      },
      locally: () => this.#decisions.release(key, value, signal),
    })
  }

  /** What this instance knows of keys from `from` on and before `to`, at most 1,000: no authority, for people and tools. */
  range(from: string, to: string): Promise<readonly { readonly key: string; readonly text: string }[]> {
    return this.#copies.range(from, to)
  }

  async close(): Promise<void> {
    this.#decisions.close()
    await this.#deps.remote.close()
    this.#deps.memory.clear()
    await this.#deps.local.close()
  }

  #certain(operation: TierCalled['operation'], keys: readonly string[]): readonly (string | null)[] {
    if (this.#options.soleWriter !== true || this.#decisions.pending) return keys.map(() => null)
    const { texts, fromMemory, fromDisk } = this.#copies.own(keys)
    this.#called('memory', operation, fromMemory, keys.length - fromMemory, 0)
    this.#called('leveldb', operation, fromDisk, keys.length - fromMemory - fromDisk, 0)
    return texts
  }

  /** `open`: what the tiers above could not answer. */
  async #unlessKnown<A>(
    operation: TierCalled['operation'],
    keys: number,
    open: readonly string[],
    signal: AbortSignal,
    ways: Ways<readonly A[]>,
  ): Promise<readonly A[]> {
    if (open.length > 0 || keys === 0) return this.#remote(operation, open, signal, ways)
    signal.throwIfAborted()
    return []
  }

  /** By the remote tier, once it knows what was decided without it; where it does not answer, by policy. */
  async #remote<T>(
    operation: TierCalled['operation'],
    keys: readonly string[],
    signal: AbortSignal,
    { remotely, locally }: Ways<T>,
  ): Promise<T> {
    const { clock } = this.#deps
    const began = clock.monotonic()
    const flight = this.#inFlight.begin(keys)
    try {
      await this.#decisions.tell(signal)
      const answer = await remotely(flight.alone)
      this.#isAway = false
      this.#called('remote', operation, keys.length, 0, clock.monotonic() - began)
      this.#tellDegraded('')
      return answer
    } catch (error) {
      // Whether it was written nobody knows: no copy says anything for certain any more.
      this.#copies.doubt()
      const away = error instanceof WeirError && error.code === 'CLAIM_TIER_UNAVAILABLE'
      this.#isAway = away
      const decided = away && this.#options.onUnavailable === 'local' ? 'locally' : 'not'
      if (away) tierEvents.unavailable({ namespace: this.#options.namespace, decided, keys: keys.length })
      if (decided === 'not') throw error
      const answer = await locally()
      this.#tellDegraded(away ? error.message : '')
      return answer
    } finally {
      flight.end()
    }
  }

  #tellDegraded(why: string): void {
    if (this.degraded === this.#isDegraded) return
    this.#isDegraded = this.degraded
    const passedTwice = this.#passedTwice
    this.#passedTwice = 0
    this.#deps.onDegraded?.(this.#isDegraded, { why, passedTwice })
  }

  #called(
    tier: TierCalled['tier'],
    operation: TierCalled['operation'],
    hits: number,
    misses: number,
    durationMs: number,
  ): void {
    tierEvents.called({ namespace: this.#options.namespace, tier, operation, hits, misses, durationMs })
  }
}
