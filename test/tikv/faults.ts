/** What may go wrong with a request, besides what topology itself makes go wrong. */
import type { errorpb } from '@weir/proto/tikv'
import { regionError } from './topology.ts'

export type Fault =
  /** Applied, and the connection is lost. */
  | { readonly type: 'loseAnswer' }
  /** Applied, and no answer ever comes. */
  | { readonly type: 'hangBehind' }
  /** Not applied, no answer. */
  | { readonly type: 'hangBefore' }
  | { readonly type: 'delay'; readonly ms: number }
  | { readonly type: 'regionError'; readonly error: errorpb.Error }

export interface Asked {
  readonly storeId: bigint
  readonly method: string
  readonly regionId: bigint
}
/** null: none. */
export type FaultPlan = (asked: Asked) => Fault | null

export const noFaults: FaultPlan = () => null

/** Each of them with this probability per request. */
export function randomFaults(next: () => number, share: number): FaultPlan {
  return ({ regionId }) => {
    if (next() >= share) return null
    const faults: Fault[] = [
      { type: 'loseAnswer' },
      { type: 'loseAnswer' },
      { type: 'hangBehind' },
      { type: 'hangBefore' },
      { type: 'delay', ms: Math.floor(next() * 20) },
      { type: 'regionError', error: regionError('', { notLeader: { regionId, leader: undefined } }) },
      { type: 'regionError', error: regionError('', { epochNotMatch: { currentRegions: [] } }) },
      {
        type: 'regionError',
        error: regionError('', { serverIsBusy: { reason: 'fault', backoffMs: 2n, estimatedWaitMs: 0 } }),
      },
      { type: 'regionError', error: regionError('', { staleCommand: {} }) },
      { type: 'regionError', error: regionError('something newer', {}) },
    ]
    return faults[Math.floor(next() * faults.length)]!
  }
}

/** The first requests that match, each with the next fault of the list. */
export function scriptedFaults(method: string, faults: readonly Fault[]): FaultPlan {
  const left = [...faults]
  return (asked) => (asked.method === method ? (left.shift() ?? null) : null)
}
