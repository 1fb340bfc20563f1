/** Redis as a tier (`tier.ts`): the remote one below memory and LevelDB. What it may forget is said in `redis-claims.ts`. */
import { PUT_SCRIPT, RELEASE_SCRIPT, SWAP_SCRIPT } from './redis-claims.lua.ts'
import { RedisKeys } from './redis-keys.ts'
import { script, type RedisLink, type RedisWait } from './redis-link.ts'
import { TIER_BATCH_MAX, type ClaimTier, type TierClaim, type TierEntry, type TierSwap } from './tier.ts'
import { assert } from '@weir/model'

const PUT = script(PUT_SCRIPT)
const SWAP = script(SWAP_SCRIPT)
const RELEASE = script(RELEASE_SCRIPT)
/** Entries of one script: a server serves nobody else meanwhile. */
const SCRIPT_ENTRIES_MAX = 1_000

export interface RedisTierOptions {
  readonly namespace: string
  readonly wait: RedisWait | null
}

export class RedisTier implements ClaimTier {
  readonly #keys: RedisKeys
  readonly #wait: RedisWait | null
  readonly #link: RedisLink

  constructor({ namespace, wait }: RedisTierOptions, link: RedisLink) {
    this.#keys = new RedisKeys(namespace)
    this.#wait = wait
    this.#link = link
  }

  async claim(entries: readonly TierEntry[], signal: AbortSignal): Promise<readonly TierClaim[]> {
    const answers = await this.#each(
      entries,
      ({ key }) => key,
      (of) => {
        const args = of.flatMap(({ ttlMs, value }) => [ttlMs, value])
        return this.#link.run(
          PUT,
          of.map(({ key }) => this.#key(key)),
          args,
          signal,
          this.#wait,
        ) as Promise<string[]>
      },
      signal,
    )
    return answers.map((answer) => (answer === '' ? { won: true } : { won: false, there: answer.slice(1) }))
  }

  async get(key: string, signal: AbortSignal): Promise<string | null> {
    return (await this.#link.call('get', [this.#key(key)], signal)) as string | null
  }

  getMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (string | null)[]> {
    return this.#each(
      keys,
      (key) => key,
      (of) => {
        return this.#link.call(
          'mget',
          of.map((key) => this.#key(key)),
          signal,
        ) as Promise<(string | null)[]>
      },
      signal,
    )
  }

  async swap({ key, value, ttlMs }: TierEntry, expected: string | null, signal: AbortSignal): Promise<TierSwap> {
    const args = [expected ?? '', expected === null ? 0 : 1, value, ttlMs]
    const answer = (await this.#link.run(SWAP, [this.#key(key)], args, signal, this.#wait)) as string | null
    if (answer === null) return { swapped: true }
    return { swapped: false, there: answer === '' ? null : answer.slice(1) }
  }

  async release(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#link.run(RELEASE, [this.#key(key)], [value], signal, this.#wait)) === 1
  }

  close(): Promise<void> {
    return this.#link.close()
  }

  #key(key: string): string {
    return this.#keys.claim(this.#keys.bucketOf(key), key)
  }

  /** In a cluster those of one slot together. Those of one key are in one of them, in order, or in the one before. */
  async #each<T, R>(
    all: readonly T[],
    keyOf: (of: T) => string,
    ask: (part: readonly T[]) => Promise<readonly R[]>,
    signal: AbortSignal,
  ): Promise<readonly R[]> {
    signal.throwIfAborted()
    assert(all.length <= TIER_BATCH_MAX, `a batch of ${all.length} entries`)
    const parts: { readonly of: T[]; readonly places: number[] }[] = []
    const open = new Map<number, (typeof parts)[number]>()
    for (const [i, of] of all.entries()) {
      const slot = this.#link.isCluster ? this.#keys.bucketOf(keyOf(of)) : 0
      let part = open.get(slot)
      if (part === undefined || part.of.length >= SCRIPT_ENTRIES_MAX) {
        part = { of: [], places: [] }
        open.set(slot, part)
        parts.push(part)
      }
      part.of.push(of)
      part.places.push(i)
    }
    const answers = new Array<R>(all.length)
    await Promise.all(
      parts.map(async ({ of, places }) => {
        for (const [i, answer] of (await ask(of)).entries()) answers[places[i]!] = answer
      }),
    )
    return answers
  }
}
