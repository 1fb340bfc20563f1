/**
 * What becomes of a job whose claims cannot be reached.
 *
 *     block   waits and asks again for so long, then ends the attempt; the pipeline stands still behind it, and loses nothing
 *     fail    ends the attempt at once
 *     local   goes on by what this subtask knows alone. Two subtasks, or two jobs, then let the same event pass: the promise is
 *             suspended, and told of (`onDegraded`) until the store is back and knows what was decided meanwhile
 *
 * Asking again is safe: an origin that holds its key passes, whatever became of the first try.
 */
import { claimPasses, decideClaim, type Claim, type ClaimAnswer, type ClaimStore, type HeldClaim } from '@weir/dataflow'
import { WeirError, type AttemptId, type Clock } from '@weir/model'
import { claimKeyText } from './claim-text.ts'
import { tierEvents } from './tiers/tier-events.ts'

export type UnavailablePolicy =
  { readonly policy: 'block'; readonly forMs: number } | { readonly policy: 'fail' } | { readonly policy: 'local' }

const PAUSE_MS = 50
const PAUSE_MS_MAX = 500
/** How often the store is looked for while the promise is suspended. */
const PROBE_MS = 1_000
/** Decided without the store: the oldest are forgotten. */
const LOCAL_CLAIMS_MAX = 100_000

export interface PatientClaimsOptions {
  /** For metrics. */
  readonly namespace: string
  readonly operatorUid: string
  readonly onUnavailable: UnavailablePolicy
  readonly windowMs: number
}

export interface PatientClaimsDeps {
  readonly store: ClaimStore
  readonly clock: Clock
  /** True: claims are decided without the store. `passedTwice`: others had them, as was found when it was back. */
  readonly onDegraded: (isDegraded: boolean, facts: { readonly why: string; readonly passedTwice: number }) => void
}

export class PatientClaims implements ClaimStore {
  readonly #options: PatientClaimsOptions
  readonly #deps: PatientClaimsDeps
  /** By key, since the store was there last. */
  readonly #local = new Map<string, { readonly claim: Claim; readonly held: HeldClaim }>()
  readonly #localDead = new Map<string, AttemptId>()
  #isLocal = false
  #isProbing = false
  #probedMs = 0

  constructor(options: PatientClaimsOptions, deps: PatientClaimsDeps) {
    this.#options = options
    this.#deps = deps
  }

  async claim(claims: readonly Claim[], signal: AbortSignal): Promise<readonly ClaimAnswer[]> {
    if (this.#options.onUnavailable.policy !== 'local')
      return this.#patiently(claims.length, (s) => s.claim(claims, signal), signal)
    // It may have come back while another one looked for it.
    if ((await this.#isThere(signal)) || !this.#isLocal) {
      try {
        return await this.#deps.store.claim(claims, signal)
      } catch (error) {
        this.#left(retryable(error, signal))
      }
    }
    tierEvents.unavailable({ namespace: this.#options.namespace, decided: 'locally', keys: claims.length })
    return claims.map((claim) => this.#locally(claim))
  }

  async dead(origins: readonly string[], attempt: AttemptId, signal: AbortSignal): Promise<void> {
    if (this.#options.onUnavailable.policy !== 'local')
      return this.#patiently(origins.length, (s) => s.dead(origins, attempt, signal), signal)
    if ((await this.#isThere(signal)) || !this.#isLocal) {
      try {
        return await this.#deps.store.dead(origins, attempt, signal)
      } catch (error) {
        this.#left(retryable(error, signal))
      }
    }
    for (const origin of origins) {
      this.#localDead.set(origin, attempt)
      if (this.#localDead.size > LOCAL_CLAIMS_MAX) this.#localDead.delete(this.#localDead.keys().next().value!)
    }
  }

  close(): Promise<void> {
    return this.#deps.store.close()
  }

  async #patiently<T>(keys: number, ask: (store: ClaimStore) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { store, clock } = this.#deps
    const { namespace, operatorUid, onUnavailable } = this.#options
    const forMs = onUnavailable.policy === 'block' ? onUnavailable.forMs : 0
    const since = clock.monotonic()
    for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
      try {
        return await ask(store)
      } catch (error) {
        const last = retryable(error, signal)
        // Once, however often it is asked again.
        if (pauseMs === PAUSE_MS) tierEvents.unavailable({ namespace, decided: 'not', keys })
        const leftMs = since + forMs - clock.monotonic()
        if (leftMs <= 0) throw gone(operatorUid, forMs, last)
        await clock.sleep(Math.min(pauseMs, leftMs), signal)
      }
    }
  }

  #left(error: WeirError): void {
    this.#probedMs = this.#deps.clock.monotonic()
    if (this.#isLocal) return
    this.#isLocal = true
    this.#deps.onDegraded(true, { why: error.message, passedTwice: 0 })
  }

  /** Looked for once in a while, by one at a time. */
  async #isThere(signal: AbortSignal): Promise<boolean> {
    if (!this.#isLocal) return true
    if (this.#isProbing || this.#deps.clock.monotonic() - this.#probedMs < PROBE_MS) return false
    this.#isProbing = true
    try {
      const { keys, passedTwice } = await this.#teach(signal)
      tierEvents.caughtUp({ namespace: this.#options.namespace, keys, conflicts: passedTwice })
      this.#deps.onDegraded(false, { why: '', passedTwice })
      return true
    } catch (error) {
      this.#left(retryable(error, signal))
      return false
    } finally {
      this.#isProbing = false
    }
  }

  /** When it is back it is told first what was decided without it, also meanwhile. `passedTwice`: what others had claimed */
  async #teach(signal: AbortSignal): Promise<{ readonly keys: number; readonly passedTwice: number }> {
    const { store } = this.#deps
    let keys = 0
    let passedTwice = 0
    do {
      const known = [...this.#local]
      const dead = [...this.#localDead]
      const answers = await store.claim(
        known.map(([, { claim }]) => claim),
        signal,
      )
      for (const [origin, attempt] of dead) await store.dead([origin], attempt, signal)
      keys += known.length
      passedTwice += answers.filter(({ outcome }) => !claimPasses(outcome)).length
      for (const [key, of] of known) if (this.#local.get(key) === of) this.#local.delete(key)
      for (const [origin] of dead) this.#localDead.delete(origin)
    } while (this.#local.size + this.#localDead.size > 0)
    this.#isLocal = false // in this turn: what comes next is not decided here
    return { keys, passedTwice }
  }

  #locally(claim: Claim): ClaimAnswer {
    const key = claimKeyText(claim.key)
    const known = this.#local.get(key)
    const isDead = known !== undefined && this.#localDead.has(known.held.origin)
    const held: HeldClaim | null = known === undefined ? null : { ...known.held, status: isDead ? 'DEAD' : 'CLAIMED' }
    const { outcome, next } = decideClaim(held, claim, this.#options.windowMs)
    if (next === null) return { outcome, held }
    this.#local.delete(key)
    this.#local.set(key, { claim, held: next })
    if (this.#local.size > LOCAL_CLAIMS_MAX) this.#local.delete(this.#local.keys().next().value!)
    return { outcome, held: null }
  }
}

/** Throws what asking again cannot mend. */
function retryable(error: unknown, signal: AbortSignal): WeirError {
  if (signal.aborted || !(error instanceof WeirError) || error.kind !== 'retry') throw error
  return error
}

const gone = (operatorUid: string, forMs: number, last: WeirError): WeirError =>
  new WeirError(
    { code: 'CLAIMS_UNAVAILABLE', kind: 'restart', operatorUid, forMs, last: last.message },
    `operator "${operatorUid}": its claims could not be reached for ${forMs} ms (${last.message}). The attempt begins again at its last epoch; nothing is lost.`,
    { cause: last },
  )
