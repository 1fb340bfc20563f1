/**
 * Claims in Redis: a batch is one script in one round trip, in a cluster one per hash slot, all at once.
 *
 * What Redis acknowledges it may forget: a fail-over promotes a replica that had not got it yet, and without `appendfsync always`
 * a crash takes the last second. Then a claim is gone and its duplicate passes (PROTOCOL A24 v). Against it: `wait` (so many replicas
 * have it before it is acknowledged; a partition can still elect one that has not), or no fail-over at all. Behind every new
 * connection the last claims are looked for; those that are gone are put back and told of (`onLost`). What other processes had claimed,
 * and what this one has forgotten, nobody can put back: keys that must not be lost are to be kept in the job's own state.
 */
import type { Claim, ClaimAnswer, ClaimOutcome, ClaimStore, ClaimStoreOptions } from '@weir/dataflow'
import { assert, type AttemptId, type Clock } from '@weir/model'
import { claimKeyText, claimText, heldClaim } from './claim-text.ts'
import { told } from './claim-errors.ts'
import { LastClaims, type LastClaim } from './last-claims.ts'
import { CLAIM_SCRIPT, DEAD_SCRIPT, PUT_SCRIPT } from './redis-claims.lua.ts'
import { BUCKETS, RedisKeys } from './redis-keys.ts'
import { script, type RedisLink, type RedisWait } from './redis-link.ts'

/** Claims of one script: a server serves nobody else meanwhile. */
const SCRIPT_CLAIMS_MAX = 1_000

const CLAIM = script(CLAIM_SCRIPT)
const DEAD = script(DEAD_SCRIPT)
const PUT = script(PUT_SCRIPT)
const OUTCOMES: Readonly<Record<string, ClaimOutcome>> = {
  F: 'first',
  R: 'replay',
  D: 'duplicate',
  C: 'conflict',
  H: 'handed-on',
}
/** Of those that pass: nobody else holds the key. */
const PASSED = {
  first: { outcome: 'first', held: null },
  replay: { outcome: 'replay', held: null },
  'handed-on': { outcome: 'handed-on', held: null },
} as const satisfies Partial<Record<ClaimOutcome, ClaimAnswer>>

export interface RedisClaimsOptions extends ClaimStoreOptions {
  readonly wait: RedisWait | null
}

export interface RedisClaimsDeps {
  readonly link: RedisLink
  readonly clock: Clock
  /** Acknowledged claims were gone behind a new connection. They are there again. */
  readonly onLost: (claims: number) => void
}

interface Group {
  readonly keys: string[]
  readonly texts: string[]
  /** In the batch. */
  readonly places: number[]
}

export class RedisClaims implements ClaimStore {
  readonly #options: RedisClaimsOptions
  readonly #deps: RedisClaimsDeps
  readonly #keys: RedisKeys
  readonly #last = new LastClaims()
  #connections = 0

  constructor(options: RedisClaimsOptions, deps: RedisClaimsDeps) {
    this.#options = options
    this.#deps = deps
    this.#keys = new RedisKeys(options.namespace)
  }

  async claim(claims: readonly Claim[], signal: AbortSignal): Promise<readonly ClaimAnswer[]> {
    return told(this.#claim(claims, signal))
  }

  async dead(origins: readonly string[], attempt: AttemptId, signal: AbortSignal): Promise<void> {
    if (origins.length === 0) return
    const args = [this.#options.ttlMs, attempt.generation, attempt.attempt]
    const buckets = Array.from({ length: BUCKETS }, (_, bucket) => bucket)
    await told(
      Promise.all(
        buckets.map((bucket) => {
          const keys = origins.map((origin) => this.#keys.dead(bucket, origin))
          return this.#deps.link.run(DEAD, keys, args, signal, this.#options.wait)
        }),
      ),
    )
  }

  close(): Promise<void> {
    return this.#deps.link.close()
  }

  async #claim(claims: readonly Claim[], signal: AbortSignal): Promise<readonly ClaimAnswer[]> {
    const { link } = this.#deps
    if (link.connections !== this.#connections) await this.#lookForTheLast(signal)
    const answers = new Array<ClaimAnswer>(claims.length)
    await Promise.all(this.#groups(claims).map((group) => this.#decide(group, answers, signal)))
    return answers
  }

  #groups(claims: readonly Claim[]): readonly Group[] {
    const open = new Map<number, Group>()
    const groups: Group[] = []
    for (const [i, claim] of claims.entries()) {
      const text = claimKeyText(claim.key)
      const bucket = this.#keys.bucketOf(text)
      const slot = this.#deps.link.isCluster ? bucket : 0
      let group = open.get(slot)
      if (group === undefined || group.keys.length >= SCRIPT_CLAIMS_MAX) {
        group = { keys: [], texts: [], places: [] }
        open.set(slot, group)
        groups.push(group)
      }
      group.keys.push(this.#keys.claim(bucket, text))
      group.texts.push(claimText(claim))
      group.places.push(i)
    }
    return groups
  }

  async #decide({ keys, texts, places }: Group, answers: ClaimAnswer[], signal: AbortSignal): Promise<void> {
    const { ttlMs, windowMs, wait } = this.#options
    const sentMs = this.#deps.clock.monotonic()
    const answer = await this.#deps.link.run(CLAIM, keys, [ttlMs, windowMs, JSON.stringify(texts)], signal, wait)
    const [letters, held] = answer as [string, string[]]
    assert(letters.length === keys.length, 'the claim script answered for another batch')
    const outcomes = Array.from(letters, (letter) => OUTCOMES[letter]!)
    let next = 0
    for (const [i, outcome] of outcomes.entries()) {
      answers[places[i]!] =
        outcome === 'duplicate' || outcome === 'conflict'
          ? { outcome, held: heldClaim(keys[i]!, held[next++]!) }
          : PASSED[outcome]
    }
    this.#last.add({ keys, texts, outcomes, untilMs: sentMs + ttlMs })
  }

  /** Puts those back that are gone; where something else is by now, it is newer. */
  async #lookForTheLast(signal: AbortSignal): Promise<void> {
    const { link, clock, onLost } = this.#deps
    const { connections } = link
    const slots = new Map<string, LastClaim[]>()
    for (const claim of this.#last.at(clock.monotonic())) {
      const slot = link.isCluster ? claim.key.slice(0, claim.key.indexOf('}')) : ''
      const inSlot = slots.get(slot)
      if (inSlot === undefined) slots.set(slot, [claim])
      else inSlot.push(claim)
    }
    const lost = await Promise.all(
      [...slots.values()].map(async (entries) => {
        const keys = entries.map(({ key }) => key)
        const there = (await link.call('mget', keys, signal)) as (string | null)[]
        const gone = entries.filter((_, i) => there[i] === null)
        if (gone.length > 0)
          await link.run(
            PUT,
            gone.map(({ key }) => key),
            gone.flatMap(({ text, ttlMs }) => [ttlMs, text]),
            signal,
          )
        return gone.length
      }),
    )
    this.#connections = connections
    const count = lost.reduce((a, b) => a + b, 0)
    if (count > 0) onLost(count)
  }
}
