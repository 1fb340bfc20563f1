/**
 * Barrier alignment over the input channels of one stage, as a pure machine. A channel that has delivered the barrier
 * is blocked until all have: what comes behind the barrier belongs to the next epoch.
 *
 * A barrier's identity is (generation, epoch, attempt) (PROTOCOL A20). A newer epoch ends the alignment of an older one
 * (the coordinator gave that one up and we never heard); a barrier of a given-up or older epoch is dropped.
 *
 * ```
 * idle ──barrier──▶ aligning ──last barrier──▶ idle + [snapshot]
 *                      │ give-up / newer barrier
 *                      ▼
 *                    idle (or aligning on the newer one), channels unblocked
 * ```
 */
import { sameAttempt, sameCheckpoint, type AttemptId, type CheckpointId, type Epoch } from '@weir/model'

export type AlignerPhase =
  | { readonly phase: 'idle' }
  | { readonly phase: 'aligning'; readonly checkpoint: CheckpointId; readonly blocked: ReadonlySet<number> }

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
  phase: 'idle',
  attempt,
  channels,
  settled: 0 as Epoch,
})

export function stepAligner(state: AlignerState, event: AlignerEvent): AlignerStep {
  switch (event.type) {
    case 'barrier':
      return onBarrier(state, event.channel, event.checkpoint)
    case 'give-up': {
      if (!sameAttempt(event.checkpoint, state.attempt) || event.checkpoint.epoch <= state.settled) return still(state)
      const settled = event.checkpoint.epoch
      if (state.phase === 'idle' || state.checkpoint.epoch > settled) return still({ ...state, settled })
      return { state: idle(state, settled), effects: [{ type: 'unblock' }] }
    }
  }
}

function onBarrier(state: AlignerState, channel: number, checkpoint: CheckpointId): AlignerStep {
  if (!sameAttempt(checkpoint, state.attempt) || checkpoint.epoch <= state.settled) return still(state)
  if (state.phase === 'aligning' && !sameCheckpoint(state.checkpoint, checkpoint)) {
    if (checkpoint.epoch < state.checkpoint.epoch) return still(state)
    // A newer epoch has begun: the one being aligned was given up, and its barriers are complete on no channel set.
    const after = onBarrier(idle(state, state.checkpoint.epoch), channel, checkpoint)
    return { state: after.state, effects: [{ type: 'unblock' }, ...after.effects] }
  }
  const blocked = new Set(state.phase === 'aligning' ? state.blocked : [])
  blocked.add(channel)
  if (blocked.size < state.channels) {
    return { state: { ...state, phase: 'aligning', checkpoint, blocked }, effects: [{ type: 'block', channel }] }
  }
  return {
    state: idle(state, checkpoint.epoch),
    effects: [{ type: 'snapshot', checkpoint }, ...(state.channels > 1 ? [{ type: 'unblock' as const }] : [])],
  }
}

const still = (state: AlignerState): AlignerStep => ({ state, effects: [] })
const idle = (state: AlignerState, settled: Epoch): AlignerState => ({
  phase: 'idle',
  attempt: state.attempt,
  channels: state.channels,
  settled,
})
