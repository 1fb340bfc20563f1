/** What the tiers tell whoever listens (telemetry): on channels of node:diagnostics_channel, nothing is made when nobody does. */
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel'

/** One call to a tier. */
export interface TierCalled {
  readonly namespace: string
  readonly tier: 'memory' | 'leveldb' | 'remote'
  readonly operation: 'claim' | 'get' | 'swap' | 'release' | 'dead'
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

export interface TierEvents {
  readonly called: TierCalled
  readonly unavailable: TierUnavailable
  readonly caughtUp: TierCaughtUp
  readonly setAside: TierSetAside
}

const CHANNELS: Readonly<Record<keyof TierEvents, string>> = {
  called: 'weir:idempotency:tier',
  unavailable: 'weir:idempotency:unavailable',
  caughtUp: 'weir:idempotency:caught-up',
  setAside: 'weir:idempotency:set-aside',
}

const on = <E extends keyof TierEvents>(event: E): ((message: TierEvents[E]) => void) => {
  const of = channel(CHANNELS[event])
  return (message) => {
    if (of.hasSubscribers) of.publish(message)
  }
}

export const tierEvents = {
  called: on('called'),
  unavailable: on('unavailable'),
  caughtUp: on('caughtUp'),
  setAside: on('setAside'),
}

/** In this thread. @returns ends it */
export function listenToTiers(listeners: {
  readonly [E in keyof TierEvents]: (message: TierEvents[E]) => void
}): () => void {
  const each = Object.entries(CHANNELS).map(([event, name]) => {
    const listener = listeners[event as keyof TierEvents] as (message: unknown) => void
    return [name, listener] as const
  })
  for (const [name, listener] of each) subscribe(name, listener)
  return () => {
    for (const [name, listener] of each) unsubscribe(name, listener)
  }
}
