/** Claims in a map: what a job under test has for a store outside, and the model real ones are compared with. They never expire. */
import type { AttemptId } from '@weir/model'
import { decideClaim, type Claim, type ClaimAnswer, type ClaimKey, type ClaimStore, type HeldClaim } from './claims.ts'

/** What outlives a store: several of one place share their claims. */
export interface ClaimPlace {
  readonly held: Map<string, HeldClaim>
}

export const claimPlace = (): ClaimPlace => ({ held: new Map() })

const nameOf = ({ eventType, bizKey }: ClaimKey): string => `${eventType.length}:${eventType}:${bizKey}`

export class MemoryClaims implements ClaimStore {
  readonly #windowMs: number
  readonly #place: ClaimPlace

  constructor(windowMs: number, place: ClaimPlace = claimPlace()) {
    this.#windowMs = windowMs
    this.#place = place
  }

  claim(claims: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    const { held } = this.#place
    return Promise.resolve(
      claims.map((claim) => {
        const name = nameOf(claim.key)
        const there = held.get(name) ?? null
        const { outcome, next } = decideClaim(there, claim, this.#windowMs)
        if (next === null) return { outcome, held: there }
        held.set(name, next)
        return { outcome, held: null }
      }),
    )
  }

  dead(origins: readonly string[], { generation, attempt }: AttemptId): Promise<void> {
    for (const [name, of] of this.#place.held) {
      const isThat = of.attempt.generation === generation && of.attempt.attempt === attempt
      if (isThat && origins.includes(of.origin)) this.#place.held.set(name, { ...of, status: 'DEAD' })
    }
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
