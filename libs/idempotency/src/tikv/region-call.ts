/**
 * A call to a region, as a pure machine: what was answered → what to do, in order. The table of TiKV's region errors is
 * `onRegionError`; every way either ends the call or costs time, and the call's deadline bounds them all.
 *
 * A write whose answer was lost is *undetermined*: it may have been applied. It is sent again, since a retry can tell (the
 * value carries its owner, see tikv-tier.ts); ends the time first, the error says so.
 */
import { WeirError, type ErrorKind } from '@weir/model'
import type { errorpb } from '@weir/proto/tikv'
import { regionOf, type Epoch, type Region } from './region.ts'

/** First and longest pause, doubled each time. The deadline of a call is what ends it. */
const PAUSES = {
  region: { baseMs: 2, capMs: 500 },
  store: { baseMs: 2, capMs: 500 },
  pd: { baseMs: 5, capMs: 500 },
} as const
type Pause = keyof typeof PAUSES

/** A store that answers with region errors at once, and for ever, is not asked more often. */
export const TRIES_MAX = 30

export interface CallState {
  /** monotonic ms */
  readonly deadline: number
  readonly write: boolean
  readonly tries: number
  readonly pauses: Readonly<Record<Pause, number>>
  readonly undetermined: boolean
}

export interface Sent {
  readonly regionId: bigint
  readonly epoch: Epoch
  readonly storeId: bigint
}

export type CallEvent = { readonly now: number; readonly random: number } & (
  | { readonly type: 'regionError'; readonly error: errorpb.Error; readonly sent: Sent }
  /** `error` of a response: a sentence for people. */
  | { readonly type: 'refused'; readonly message: string }
  /** The connection could not be made: nothing was sent. */
  | { readonly type: 'unreachable'; readonly message: string; readonly sent: Sent }
  /** The connection broke, or the answer did not come: it may have been applied. */
  | { readonly type: 'unanswered'; readonly message: string; readonly sent: Sent }
  /** PD did not tell the region or the store. */
  | { readonly type: 'pdFailed'; readonly message: string }
  /** The store is gone for good. */
  | { readonly type: 'tombstone'; readonly sent: Sent }
)

export type CallEffect =
  | { readonly type: 'dropRegion'; readonly regionId: bigint }
  | { readonly type: 'lead'; readonly regionId: bigint; readonly storeId: bigint }
  | { readonly type: 'insertRegions'; readonly regions: readonly Region[] }
  | { readonly type: 'dropStore'; readonly storeId: bigint }
  | { readonly type: 'unreachable'; readonly storeId: bigint }
  | { readonly type: 'pause'; readonly ms: number }
  | { readonly type: 'send' }
  | { readonly type: 'fail'; readonly error: WeirError }

export interface Step {
  readonly state: CallState
  readonly effects: readonly CallEffect[]
}

export const begin = (deadline: number, write: boolean): CallState => ({
  deadline,
  write,
  tries: 1,
  pauses: { region: 0, store: 0, pd: 0 },
  undetermined: false,
})

export function step(state: CallState, event: CallEvent): Step {
  switch (event.type) {
    case 'regionError':
      return onRegionError(state, event)
    case 'refused':
      return failed(state, 'TIKV_REFUSED', 'invalid', `TiKV refused the request: ${event.message}`)
    case 'unreachable':
      // A refused connection is known at once: the next peer is asked at once too, only a second refusal waits.
      return again(state, event, [unreachable(event.sent), drop(event.sent)], 'store', event.message)
    case 'unanswered': {
      const after = { ...state, undetermined: state.undetermined || state.write }
      return again(after, event, [unreachable(event.sent), drop(event.sent)], 'store', event.message)
    }
    case 'tombstone':
      return again(state, event, [{ type: 'dropStore', storeId: event.sent.storeId }, drop(event.sent)], 'region', '')
    case 'pdFailed':
      return again(state, event, [], 'pd', event.message)
  }
}

function onRegionError(state: CallState, event: CallEvent & { type: 'regionError' }): Step {
  const { error, sent } = event
  const reason = error.message
  if (error.notLeader) {
    const { leader } = error.notLeader
    if (leader === undefined) return again(state, event, [drop(sent)], 'region', reason || 'no leader')
    return again(state, event, [lead(sent, leader.storeId)], state.tries < 3 ? null : 'region', reason)
  }
  if (error.epochNotMatch) return onEpochNotMatch(state, event, error.epochNotMatch)
  if (error.storeNotMatch)
    return again(state, event, [{ type: 'dropStore', storeId: sent.storeId }, drop(sent)], 'region', reason)
  if (error.serverIsBusy) {
    const ms = Number(error.serverIsBusy.backoffMs)
    if (event.now + ms >= state.deadline)
      return failed(
        state,
        'TIKV_BUSY',
        'retry',
        `a TiKV store is busy (${error.serverIsBusy.reason}) for longer than this call may wait`,
      )
    return again(state, event, ms > 0 ? [{ type: 'pause', ms }] : [], ms > 0 ? null : 'store', reason)
  }
  // Its term has changed behind the proposal: whether it was applied is not known.
  if (error.staleCommand)
    return again({ ...state, undetermined: state.undetermined || state.write }, event, [], 'region', reason)
  if (error.raftEntryTooLarge)
    return failed(
      state,
      'TIKV_ENTRY_TOO_LARGE',
      'invalid',
      `TiKV refuses an entry of ${error.raftEntryTooLarge.entrySize} bytes: store smaller values, or raise raft-entry-max-size`,
    )
  if (error.FlashbackInProgress || error.FlashbackNotPrepared)
    return failed(
      state,
      'TIKV_FLASHBACK',
      'retry',
      'the cluster is being flashed back: nothing may be written until it is done',
    )
  if (
    error.readIndexNotReady ||
    error.proposalInMergingMode ||
    error.regionNotInitialized ||
    error.RecoveryInProgress ||
    error.diskFull ||
    error.maxTimestampNotSynced ||
    error.dataIsNotReady
  )
    return again(state, event, [], 'region', reason)
  // RegionNotFound, KeyNotInRegion, MismatchPeerId (older servers say it in the message only), IsWitness,
  // BucketVersionNotMatch, and what newer servers may say: what is known of the region is wrong.
  return again(state, event, [drop(sent)], 'region', reason)
}

function onEpochNotMatch(
  state: CallState,
  event: CallEvent & { type: 'regionError' },
  error: errorpb.EpochNotMatch,
): Step {
  const { sent } = event
  const { currentRegions } = error
  if (currentRegions.length === 0) return again(state, event, [drop(sent)], 'region', event.error.message)
  const same = currentRegions.find(({ id }) => id === sent.regionId)?.regionEpoch
  // The store is behind what PD has told us: it will catch up.
  if (same !== undefined && (same.version < sent.epoch.version || same.confVer < sent.epoch.confVer))
    return again(state, event, [], 'region', event.error.message)
  const regions = currentRegions.map((region) =>
    regionOf(
      region,
      region.peers.find(({ storeId }) => storeId === sent.storeId),
    ),
  )
  return again(
    state,
    event,
    [drop(sent), { type: 'insertRegions', regions }],
    state.tries < 3 ? null : 'region',
    event.error.message,
  )
}

/** One more try behind what has to be done first, if there is time. `pause`: which counter pays, null: none. */
function again(
  state: CallState,
  event: CallEvent,
  first: readonly CallEffect[],
  pause: Pause | null,
  reason: string,
): Step {
  const waited = first.reduce((sum, effect) => sum + (effect.type === 'pause' ? effect.ms : 0), 0)
  const { ms, pauses } = pause === null ? { ms: 0, pauses: state.pauses } : paused(state, pause, event)
  const next = { ...state, pauses, tries: state.tries + 1 }
  if (state.tries >= TRIES_MAX || event.now + waited + ms >= state.deadline) {
    const known = first.filter(({ type }) => type !== 'pause')
    return { state: next, effects: [...known, { type: 'fail', error: outOfTime(state, reason) }] }
  }
  const wait: CallEffect[] = ms > 0 ? [{ type: 'pause', ms }] : []
  return { state: next, effects: [...first, ...wait, { type: 'send' }] }
}

/** Equal jitter: half of it is fixed. The first try elsewhere waits for nothing. */
function paused(state: CallState, pause: Pause, { random }: CallEvent): Pick<CallState, 'pauses'> & { ms: number } {
  const { baseMs, capMs } = PAUSES[pause]
  const times = state.pauses[pause]
  const pauses = { ...state.pauses, [pause]: times + 1 }
  if (pause === 'store' && times === 0) return { ms: 0, pauses }
  const ms = Math.min(capMs, baseMs * 2 ** times)
  return { ms: Math.ceil(ms / 2 + (random * ms) / 2), pauses }
}

/** What a call ends with when its time is over. */
export function outOfTime(state: CallState, reason: string): WeirError {
  const text = reason === '' ? '' : `; last: ${reason}`
  return state.undetermined
    ? failure(
        state,
        'TIKV_UNDETERMINED',
        'retry',
        `a write to TiKV was not acknowledged in time and may have been applied: repeat it with the same owner${text}`,
      )
    : failure(state, 'TIKV_UNAVAILABLE', 'retry', `TiKV did not answer in time (${state.tries} tries)${text}`)
}

function failure({ undetermined }: CallState, code: string, kind: ErrorKind, message: string): WeirError {
  return new WeirError({ code, kind, undetermined }, message)
}

const failed = (state: CallState, code: string, kind: ErrorKind, message: string): Step => ({
  state,
  effects: [{ type: 'fail', error: failure(state, code, kind, message) }],
})

const drop = ({ regionId }: Sent): CallEffect => ({ type: 'dropRegion', regionId })
const unreachable = ({ storeId }: Sent): CallEffect => ({ type: 'unreachable', storeId })
const lead = ({ regionId }: Sent, storeId: bigint): CallEffect => ({ type: 'lead', regionId, storeId })
