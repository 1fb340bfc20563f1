/** What the tiers tell whoever listens (telemetry): on channels of node:diagnostics_channel, nothing is made when nobody does. */
import { channel } from 'node:diagnostics_channel'

/** One call to a tier. */
export interface TierCalled {
  readonly namespace: string
  readonly tier: 'memory' | 'leveldb' | 'remote'
  readonly operation: 'claim' | 'get' | 'swap' | 'release'
  /** Keys answered by it, and handed on to the next one. */
  readonly hits: number
  readonly misses: number
  readonly durationMs: number
}

/** The remote tier does not answer: claims are decided locally, or fail. */
export interface TierUnavailable {
  readonly namespace: string
  readonly decided: 'locally' | 'not'
  readonly keys: number
}

/** The remote tier was told what had been decided without it. `conflicts`: somebody else had claimed the key meanwhile. */
export interface TierCaughtUp {
  readonly namespace: string
  readonly keys: number
  readonly conflicts: number
}

/** A damaged local tier was renamed and begins empty. */
export interface TierSetAside {
  readonly folder: string
  readonly aside: string
  readonly why: string
}

const on = <M extends object>(name: string): ((message: M) => void) => {
  const of = channel(name)
  return (message) => {
    if (of.hasSubscribers) of.publish(message)
  }
}

export const tierEvents = {
  called: on<TierCalled>('weir:idempotency:tier'),
  unavailable: on<TierUnavailable>('weir:idempotency:unavailable'),
  caughtUp: on<TierCaughtUp>('weir:idempotency:caught-up'),
  setAside: on<TierSetAside>('weir:idempotency:set-aside'),
}
