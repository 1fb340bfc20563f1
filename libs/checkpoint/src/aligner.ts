/**
 * Barrier alignment over the input channels of one stage, as a pure machine. A channel that has delivered the barrier
 * is blocked until all have: what comes behind the barrier belongs to the next epoch.
 *
 * A barrier's identity is (generation, epoch, attempt) (PROTOCOL A20). A newer epoch ends the alignment of an older one
 * (the coordinator gave that one up and we never heard); a barrier of a given-up or older epoch is dropped.
 *
 * ```
 * IDLE ──barrier──▶ ALIGNING ──last barrier──▶ TRIGGERED + [snapshot]
 *                      │ give-up
 *                      ▼
 *                   TIMEOUT, channels unblocked: knows which of them were late
 * ```
 *
 * TRIGGERED and TIMEOUT are how the last alignment came out; the next barrier begins another one from any of the three.
 */
import { sameAttempt, sameCheckpoint, type AttemptId, type CheckpointId, type Epoch } from '@weir/model'

export type AlignerPhase =
  /** No barrier has come yet. */
  | { readonly phase: 'IDLE' }
  /** Waiting for the barrier on every channel that is not blocked. */
  | { readonly phase: 'ALIGNING'; readonly checkpoint: CheckpointId; readonly blocked: ReadonlySet<number> }
  /** Every channel had delivered it. */
  | { readonly phase: 'TRIGGERED'; readonly checkpoint: CheckpointId }
  /** Given up before these channels had delivered it. */
  | { readonly phase: 'TIMEOUT'; readonly checkpoint: CheckpointId; readonly late: readonly number[] }

export type AlignerState = AlignerPhase & {
  readonly attempt: AttemptId
  readonly channels: number
  /** Barriers up to and including this epoch are done with: snapshotted or given up. */
  readonly settled: Epoch
}

export type AlignerEvent =
  | { readonly type: 'barrier'; readonly channel: number; readonly checkpoint: CheckpointId }
  | { readonly type: 'give-up'; readonly checkpoint: CheckpointId }

export type AlignerEffect =
  /** Take nothing more from this channel. */
  | { readonly type: 'block'; readonly channel: number }
  /** Every channel may flow again. Comes before the elements that were held back are processed. */
  | { readonly type: 'unblock' }
  /** All barriers are in: snapshot now, then send the barrier on. Comes before `unblock`. */
  | { readonly type: 'snapshot'; readonly checkpoint: CheckpointId }

export interface AlignerStep {
  readonly state: AlignerState
  readonly effects: readonly AlignerEffect[]
}

export const alignerFor = (attempt: AttemptId, channels: number): AlignerState => ({
  phase: 'IDLE',
  attempt,
  channels,
  settled: 0 as Epoch,
})

/** Channels that had not delivered the barrier when its epoch was given up, as long as no other one has come. */
export const lateChannels = (state: AlignerState, checkpoint: CheckpointId): readonly number[] =>
  state.phase === 'TIMEOUT' && sameCheckpoint(state.checkpoint, checkpoint) ? state.late : []

export function stepAligner(state: AlignerState, event: AlignerEvent): AlignerStep {
  switch (event.type) {
    case 'barrier':
      return onBarrier(state, event.channel, event.checkpoint)
    case 'give-up': {
      if (!sameAttempt(event.checkpoint, state.attempt) || event.checkpoint.epoch <= state.settled) return still(state)
      return giveUp(state, event.checkpoint)
    }
  }
}

/** ALIGNING → TIMEOUT; from the others, too: no channel had delivered it */
function giveUp(state: AlignerState, checkpoint: CheckpointId): AlignerStep {
  const settled = checkpoint.epoch
  const isAligning = state.phase === 'ALIGNING'
  if (isAligning && state.checkpoint.epoch > settled) return still({ ...state, settled })
  const blocked = isAligning && sameCheckpoint(state.checkpoint, checkpoint) ? state.blocked : new Set()
  const late = Array.from({ length: state.channels }, (_, channel) => channel).filter((c) => !blocked.has(c))
  return {
    state: { ...common(state), phase: 'TIMEOUT', checkpoint, late, settled },
    effects: isAligning ? [{ type: 'unblock' }] : [],
  }
}

/** → ALIGNING, or with the last one → TRIGGERED */
function onBarrier(state: AlignerState, channel: number, checkpoint: CheckpointId): AlignerStep {
  if (!sameAttempt(checkpoint, state.attempt) || checkpoint.epoch <= state.settled) return still(state)
  if (state.phase === 'ALIGNING' && !sameCheckpoint(state.checkpoint, checkpoint)) {
    if (checkpoint.epoch < state.checkpoint.epoch) return still(state)
    // A newer epoch has begun: the one being aligned was given up, and its barriers are complete on no channel set.
    const timeout = giveUp(state, state.checkpoint)
    const after = onBarrier(timeout.state, channel, checkpoint)
    return { state: after.state, effects: [...timeout.effects, ...after.effects] }
  }
  const blocked = new Set(state.phase === 'ALIGNING' ? state.blocked : [])
  blocked.add(channel)
  if (blocked.size < state.channels) {
    return {
      state: { ...common(state), phase: 'ALIGNING', checkpoint, blocked },
      effects: [{ type: 'block', channel }],
    }
  }
  return {
    state: { ...common(state), phase: 'TRIGGERED', checkpoint, settled: checkpoint.epoch },
    effects: [{ type: 'snapshot', checkpoint }, ...(state.channels > 1 ? [{ type: 'unblock' as const }] : [])],
  }
}

const still = (state: AlignerState): AlignerStep => ({ state, effects: [] })
const common = ({ attempt, channels, settled }: AlignerState) => ({ attempt, channels, settled })
