/**
 * Barriers that may overtake (unaligned checkpoints), over the input channels of one stage, as a pure machine. It begins
 * as the aligner does. Once an epoch is *due* and its barrier is there on some channel, the stage is snapshotted at once;
 * what had arrived before a channel's barrier and is not processed yet is *captured* into the snapshot, and is processed
 * afterwards all the same.
 *
 * ```
 *                  every barrier taken in its turn
 * idle ─▶ aligning ───────────────────────────────▶ snapshot, unblock
 *   │ due, and a barrier has arrived │
 *   └────────────────┬───────────────┘
 *                    ▼
 *        unblock, capture …, snapshot ──the last barrier arrives──▶ captured
 *                    └──────give-up / a newer barrier arrives─────▶ discard
 * ```
 *
 * Where a channel is cut is where its barrier stands among the elements on the wire, so each stage decides alone: what
 * the sender had not sent by then it has stored itself, whether or not this side overtakes.
 */
import { sameAttempt, sameCheckpoint, type AttemptId, type CheckpointId } from '@weir/model'
import { alignerFor, stepAligner, type AlignerEffect, type AlignerState } from './aligner.ts'

export interface OvertakerState {
  readonly aligner: AlignerState
  /** The newest epoch that need not wait for alignment any more. */
  readonly due: CheckpointId | null
  /** The newest barrier that has arrived on a channel and waits for its turn there. */
  readonly arrived: ReadonlyMap<number, CheckpointId>
  /** Snapshotted; these channels have not delivered their barrier yet. */
  readonly capturing: { readonly checkpoint: CheckpointId; readonly missing: ReadonlySet<number> } | null
}

export type OvertakerEvent =
  /** Is there, behind what has arrived on its channel before. */
  | { readonly type: 'arrived'; readonly channel: number; readonly checkpoint: CheckpointId }
  /** Everything before it on its channel has been processed. */
  | { readonly type: 'reached'; readonly channel: number; readonly checkpoint: CheckpointId }
  /** Alignment has taken long enough. */
  | { readonly type: 'due'; readonly checkpoint: CheckpointId }
  | { readonly type: 'give-up'; readonly checkpoint: CheckpointId }

export type OvertakerEffect =
  /** `snapshot` among them: also of a barrier that overtakes. */
  | AlignerEffect
  /**
   * Elements of this channel that wait for their turn belong to the snapshot: those in front of its barrier, which is
   * taken out (`barrier`), or all of them and those to come until `complete` (`arrival`).
   */
  | { readonly type: 'capture'; readonly channel: number; readonly until: 'barrier' | 'arrival' }
  /** The barrier has arrived: what follows on this channel is behind it. Take the barrier out. */
  | { readonly type: 'complete'; readonly channel: number }
  /** The snapshot has all that was in flight. */
  | { readonly type: 'captured'; readonly checkpoint: CheckpointId }
  /** Nobody needs what was captured. */
  | { readonly type: 'discard'; readonly checkpoint: CheckpointId }

export interface OvertakerStep {
  readonly state: OvertakerState
  readonly effects: readonly OvertakerEffect[]
}

export const overtakerFor = (attempt: AttemptId, channels: number): OvertakerState => ({
  aligner: alignerFor(attempt, channels),
  due: null,
  arrived: new Map(),
  capturing: null,
})

export function stepOvertaker(state: OvertakerState, event: OvertakerEvent): OvertakerStep {
  switch (event.type) {
    case 'arrived':
      return onArrived(state, event.channel, event.checkpoint)
    case 'reached':
      return onReached(state, event.channel, event.checkpoint)
    case 'due': {
      const { checkpoint } = event
      if (isSettled(state, checkpoint) || (state.due !== null && state.due.epoch > checkpoint.epoch))
        return still(state)
      const due = { ...state, due: checkpoint }
      return isThere(due, checkpoint) ? overtake(due, checkpoint) : still(due)
    }
    case 'give-up': {
      const { epoch } = event.checkpoint
      if (!sameAttempt(event.checkpoint, state.aligner.attempt)) return still(state)
      const { aligner, effects } = align(state, event)
      const discarded = discardBefore(state, epoch + 1)
      const due = state.due !== null && state.due.epoch <= epoch ? null : state.due
      return { state: { ...discarded.state, aligner, due }, effects: [...discarded.effects, ...effects] }
    }
  }
}

function onArrived(state: OvertakerState, channel: number, checkpoint: CheckpointId): OvertakerStep {
  const { capturing } = state
  if (capturing !== null && sameCheckpoint(capturing.checkpoint, checkpoint)) {
    const missing = new Set(capturing.missing)
    if (!missing.delete(channel)) return still(state)
    const complete = { type: 'complete' as const, channel }
    if (missing.size > 0) return { state: { ...state, capturing: { checkpoint, missing } }, effects: [complete] }
    return { state: { ...state, capturing: null }, effects: [complete, { type: 'captured', checkpoint }] }
  }
  if (isSettled(state, checkpoint)) return still(state)
  const discarded = discardBefore(state, checkpoint.epoch)
  const arrived = { ...discarded.state, arrived: new Map(state.arrived).set(channel, checkpoint) }
  if (state.due === null || !sameCheckpoint(state.due, checkpoint)) return { ...discarded, state: arrived }
  const overtaken = overtake(arrived, checkpoint)
  return { state: overtaken.state, effects: [...discarded.effects, ...overtaken.effects] }
}

function onReached(state: OvertakerState, channel: number, checkpoint: CheckpointId): OvertakerStep {
  const { aligner, effects } = align(state, { type: 'barrier', channel, checkpoint })
  const arrived = new Map(state.arrived)
  const newest = arrived.get(channel)
  if (newest !== undefined && sameCheckpoint(newest, checkpoint)) arrived.delete(channel)
  return { state: { ...state, aligner, arrived }, effects }
}

/** The snapshot is taken now. Channels that were blocked have delivered everything in front of their barrier. */
function overtake(state: OvertakerState, checkpoint: CheckpointId): OvertakerStep {
  const aligned = reachedOf(state, checkpoint)
  const captures: OvertakerEffect[] = []
  const missing = new Set<number>()
  for (let channel = 0; channel < state.aligner.channels; channel++) {
    if (aligned.has(channel)) continue
    const there = state.arrived.get(channel)
    const until = there !== undefined && sameCheckpoint(there, checkpoint) ? 'barrier' : 'arrival'
    captures.push({ type: 'capture', channel, until })
    if (until === 'arrival') missing.add(channel)
  }
  // To the aligner this epoch is over: late barriers of it are dropped there.
  const { aligner, effects } = align(state, { type: 'give-up', checkpoint })
  const arrived = new Map([...state.arrived].filter(([, at]) => at.epoch > checkpoint.epoch))
  const capturing = missing.size === 0 ? null : { checkpoint, missing }
  return {
    state: { aligner, due: null, arrived, capturing },
    effects: [
      ...effects,
      ...captures,
      { type: 'snapshot', checkpoint },
      ...(capturing === null ? [{ type: 'captured' as const, checkpoint }] : []),
    ],
  }
}

function discardBefore(state: OvertakerState, epoch: number): OvertakerStep {
  const { capturing } = state
  if (capturing === null || capturing.checkpoint.epoch >= epoch) return still(state)
  return {
    state: { ...state, capturing: null },
    effects: [{ type: 'discard', checkpoint: capturing.checkpoint }],
  }
}

function align(state: OvertakerState, event: Parameters<typeof stepAligner>[1]) {
  const { state: aligner, effects } = stepAligner(state.aligner, event)
  return { aligner, effects }
}

const reachedOf = ({ aligner }: OvertakerState, checkpoint: CheckpointId): ReadonlySet<number> =>
  aligner.phase === 'ALIGNING' && sameCheckpoint(aligner.checkpoint, checkpoint) ? aligner.blocked : new Set()

/** On some channel, and it is neither snapshotted nor given up. */
export const hasArrived = (state: OvertakerState, checkpoint: CheckpointId): boolean =>
  !isSettled(state, checkpoint) && isThere(state, checkpoint)

const isThere = (state: OvertakerState, checkpoint: CheckpointId): boolean =>
  reachedOf(state, checkpoint).size > 0 || [...state.arrived.values()].some((at) => sameCheckpoint(at, checkpoint))

const isSettled = ({ aligner }: OvertakerState, checkpoint: CheckpointId): boolean =>
  !sameAttempt(checkpoint, aligner.attempt) || checkpoint.epoch <= aligner.settled

const still = (state: OvertakerState): OvertakerStep => ({ state, effects: [] })
