/**
 * The `continuous` commit scope of one slice as a pure machine: one transaction after the other over two transactional
 * ids, each holding outputs *and* the source offsets they come from. Checkpoints only bound how far a restart replays.
 *
 * ```
 *             writes, advances                 interval over, or a barrier waits,
 *           ┌──────────────────┐               and the one before has ended
 *  clean ──▶ torn ─▶ whole ────┴──seal(n)──▶ ending(n) ──ended(n)──▶ barriers up to n are covered
 *    ▲                            │              │
 *    └── n + 1 on the other id ◀──┘              └── refused or unknown ─▶ broken: nothing is ended any more (A19)
 * ```
 *
 * - *torn*: something was written whose source position is not known yet. Only a *whole* transaction may be sealed: an
 *   operator that throws in the middle of a batch leaves a torn one, and it is never committed.
 * - *n + 1 never ends before n has ended* (PROTOCOL A19): its outputs are written meanwhile, on the other id, since the
 *   broker holds writes of an id whose transaction is being completed.
 * - *A barrier is covered* when everything read before it is committed (PROTOCOL A17), so a checkpoint is never ahead of
 *   the committed offsets.
 * - After a pause the first record is not kept waiting. Seals follow each other on a grid of intervals: one that comes late
 *   (a busy slot, a timer) does not make all the later ones later, which would be added to every record's way.
 */
import type { CheckpointId } from '@weir/model'

export interface ContinuousCommitState {
  readonly intervalMs: number
  /** Number of the transaction that is written to; its id is the one of `laneOf`. */
  readonly sequence: number
  readonly open: 'clean' | 'torn' | 'whole'
  /** Sealed and on its way to its end. */
  readonly ending: number | null
  /** Every transaction up to here is committed. */
  readonly ended: number
  /** When the next seal is due, monotonic ms; null before the first. */
  readonly dueAtMs: number | null
  /** A wake-up is under way. */
  readonly armed: boolean
  /** Barriers in order, each with the last transaction that holds input from before it. */
  readonly barriers: readonly { readonly checkpoint: CheckpointId; readonly upTo: number }[]
  readonly draining: boolean
  readonly broken: boolean
}

/** `now`: monotonic ms. */
export type ContinuousCommitEvent =
  /** Outputs went into the open transaction. */
  | { readonly type: 'wrote' }
  /** The source position behind everything written is known; it may have moved without any output. */
  | { readonly type: 'advanced'; readonly now: number }
  | { readonly type: 'woken'; readonly now: number }
  | { readonly type: 'barrier'; readonly checkpoint: CheckpointId; readonly now: number }
  /** EndTxn was answered with success. */
  | { readonly type: 'ended'; readonly now: number }
  /** A write, the offsets or EndTxn were refused, or their outcome is unknown. */
  | { readonly type: 'failed' }
  /** No more input: commit what is there. */
  | { readonly type: 'drain'; readonly now: number }

export type ContinuousCommitEffect =
  | { readonly type: 'wake'; readonly afterMs: number }
  /** Flush, add the offsets, end. What is written from here on belongs to the next sequence. */
  | { readonly type: 'seal'; readonly sequence: number }
  | { readonly type: 'covered'; readonly checkpoint: CheckpointId }
  /** Nothing is open or on its way. `whole` false: what was open may not be committed and must be aborted. */
  | { readonly type: 'drained'; readonly whole: boolean }

export interface ContinuousCommitStep {
  readonly state: ContinuousCommitState
  readonly effects: readonly ContinuousCommitEffect[]
}

/** Which of the two ids a transaction is written under. */
export const laneOf = (sequence: number): 0 | 1 => (sequence % 2) as 0 | 1

/** @param ended the last transaction that recovery found committed; 0 = none. */
export const continuousCommit = (intervalMs: number, ended: number): ContinuousCommitState => ({
  intervalMs,
  sequence: ended + 1,
  open: 'clean',
  ending: null,
  ended,
  dueAtMs: null,
  armed: false,
  barriers: [],
  draining: false,
  broken: false,
})

export function stepContinuousCommit(state: ContinuousCommitState, event: ContinuousCommitEvent): ContinuousCommitStep {
  if (state.broken)
    return event.type === 'drain' ? { state, effects: [{ type: 'drained', whole: false }] } : still(state)
  switch (event.type) {
    case 'wrote':
      return still({ ...state, open: 'torn' })
    case 'advanced':
      return sealIfDue({ ...state, open: 'whole' }, event.now)
    case 'woken':
      return sealIfDue({ ...state, armed: false }, event.now)
    case 'barrier': {
      const { checkpoint, now } = event
      const upTo = state.open === 'clean' ? state.sequence - 1 : state.sequence
      if (upTo <= state.ended) return { state, effects: [{ type: 'covered', checkpoint }] }
      return sealIfDue({ ...state, barriers: [...state.barriers, { checkpoint, upTo }] }, now)
    }
    case 'ended':
      return onEnded(state, event.now)
    case 'failed':
      return still({ ...state, broken: true, barriers: [] })
    case 'drain':
      return sealIfDue({ ...state, draining: true }, event.now)
  }
}

/** ending → ended; barriers it covers; perhaps the next seal. */
function onEnded(state: ContinuousCommitState, now: number): ContinuousCommitStep {
  if (state.ending === null) throw new Error('internal: a transaction ended that was not on its way')
  const ended = state.ending
  const covered = state.barriers.filter((b) => b.upTo <= ended)
  const next = sealIfDue({ ...state, ending: null, ended, barriers: state.barriers.filter((b) => b.upTo > ended) }, now)
  return {
    state: next.state,
    effects: [...covered.map(({ checkpoint }) => ({ type: 'covered' as const, checkpoint })), ...next.effects],
  }
}

/** whole → ending, when it is time and the one before has ended; else perhaps a wake-up for when it is. */
function sealIfDue(state: ContinuousCommitState, now: number): ContinuousCommitStep {
  if (state.ending !== null) return still(state)
  if (state.open !== 'whole') {
    return state.draining ? { state, effects: [{ type: 'drained', whole: state.open === 'clean' }] } : still(state)
  }
  const { sequence, dueAtMs } = state
  const waitMs = dueAtMs === null ? 0 : dueAtMs - now
  const urgent = state.draining || state.barriers.length > 0
  if (waitMs > 0 && !urgent) {
    return state.armed
      ? still(state)
      : { state: { ...state, armed: true }, effects: [{ type: 'wake', afterMs: waitMs }] }
  }
  return {
    state: { ...state, sequence: sequence + 1, open: 'clean', ending: sequence, dueAtMs: nextDue(state, now) },
    effects: [{ type: 'seal', sequence }],
  }
}

/** On the grid, but for a seal before its time (asked for by a barrier) or an interval and more behind it: then a new grid begins. */
function nextDue({ dueAtMs, intervalMs }: ContinuousCommitState, now: number): number {
  const onGrid = dueAtMs !== null && now >= dueAtMs && now < dueAtMs + intervalMs
  return (onGrid ? dueAtMs : now) + intervalMs
}

const still = (state: ContinuousCommitState): ContinuousCommitStep => ({ state, effects: [] })
