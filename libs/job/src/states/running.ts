/** Every slice runs; the coordinator takes checkpoints. */
import { allSlices, drive, fail, settle, still, withSlice } from '../moves.ts'
import type { JobEvent, JobState, JobStep } from '../state.ts'
import { onFleetChange, unexpectedStop } from './deploying.ts'

export function onRunning(state: Extract<JobState, { phase: 'running' }>, event: JobEvent): JobStep {
  switch (event.type) {
    case 'progress': {
      const { recordsIn, recordsOut, watermark } = event
      const next = withSlice(state, event.slice.subtask, { recordsIn, recordsOut, watermark })
      const total = [...next.slices.values()].reduce((sum, s) => sum + s.recordsIn, 0)
      return drive(
        { ...next, recordsIn: Math.max(next.recordsIn, total) },
        { type: 'progress', recordsIn: total },
        event,
      )
    }
    case 'input-ended': {
      const next = withSlice(state, event.slice.subtask, { inputEnded: true })
      if (!allSlices(next, (s) => s.inputEnded)) return still(next)
      return drive(next, { type: 'input-ended', now: event.now, wallClock: event.wallClock }, event)
    }
    case 'slice-failed':
      return fail(withSlice(state, event.slice.subtask, { status: 'failed' }), 'running', event.failure, event)
    case 'stopped':
      return fail(withSlice(state, event.slice.subtask, { status: 'gone' }), 'running', unexpectedStop(event), event)
    case 'task-manager-lost':
    case 'task-manager-draining':
      return onFleetChange(state, event, 'running')
    case 'cancel':
      return endWhenSettled({ ...state, ending: state.ending ?? { state: 'CANCELLED', error: null } }, [], event)
    case 'tick':
      return after(drive(state, { type: 'tick', now: event.now, wallClock: event.wallClock }, event), event)
    case 'ack':
      return after(drive(state, { type: 'ack', checkpoint: event.checkpoint, snapshot: event.snapshot }, event), event)
    case 'declined': {
      const { checkpoint, slice, now, failure } = event
      const { subtask } = slice
      return after(drive(state, { type: 'declined', checkpoint, subtask, reason: failure.message, now }, event), event)
    }
    case 'committed': {
      const { epoch, slice, now, wallClock } = event
      const { attempt, subtask } = slice
      return after(drive(state, { type: 'committed', attempt, epoch, subtask, now, wallClock }, event), event)
    }
    default:
      return still(state)
  }
}

/** What every step in `running` ends with: a cancelled job leaves as soon as nothing published waits for its commit. */
export const after = (step: JobStep, event: JobEvent): JobStep => endWhenSettled(step.state, step.effects, event)

function endWhenSettled(state: JobState, effects: JobStep['effects'], event: JobEvent): JobStep {
  const busy = state.coordinator.phase === 'publishing' || state.coordinator.phase === 'committing'
  if (state.phase !== 'running' || state.ending === null || busy) return { state, effects }
  const step = settle(state, 'running', event)
  return { state: step.state, effects: [...effects, ...step.effects] }
}
