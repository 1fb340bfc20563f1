/** Every slice runs; the coordinator takes checkpoints. */
import { failRegions, isFailingOver, onSettled } from '../failover.ts'
import { allSlices, drive, lostFailure, loseTaskManager, settle, still, withSlice } from '../moves.ts'
import type { Subtask } from '@weir/model'
import { DRAIN_TIMEOUT_MS, type JobEvent, type JobState, type JobStep } from '../state.ts'
import { drainingFailure, slicesAt, unexpectedStop } from './deploying.ts'
import { onFailover } from './failing-over.ts'

type Running = Extract<JobState, { phase: 'running' }>

export const onRunning = (state: Running, event: JobEvent): JobStep =>
  (isFailingOver(state) ? onFailover(state, event) : null) ?? onUndisturbed(state, event)

/** Also of the regions that are, while others restart. */
function onUndisturbed(state: Running, event: JobEvent): JobStep {
  switch (event.type) {
    case 'progress': {
      const { recordsIn, recordsOut, watermark, reach, splits, claims, late, rates, metrics, now, wallClock } = event
      const { subtask } = event.slice
      const source = reach === undefined ? {} : { source: { subtask, reach } }
      const next = withSlice(withRecordsIn(state, subtask, recordsIn), subtask, {
        ...{ recordsOut, watermark },
        ...(splits && { splits }),
        ...(claims && { claims }),
        ...(late && { late }),
        ...(rates && { rates }),
        ...(metrics && { metrics }),
      })
      return drive(next, { type: 'progress', recordsIn: next.reportedIn, ...source, now, wallClock }, event)
    }
    case 'input-ended': {
      const next = withSlice(state, event.slice.subtask, { inputEnded: true })
      if (!allSlices(next, (s) => s.inputEnded)) return still(next)
      return drive(next, { type: 'drain', now: event.now, wallClock: event.wallClock }, event)
    }
    case 'slice-failed': {
      const { slice, failure } = event
      return failRegions(withSlice(state, slice.subtask, { status: 'failed' }), [slice.subtask], failure, event)
    }
    case 'stopped': {
      const { subtask } = event.slice
      return failRegions(withSlice(state, subtask, { status: 'gone' }), [subtask], unexpectedStop(event), event)
    }
    case 'task-manager-lost': {
      const { taskManagerId, reason } = event
      const { state: next, hit } = loseTaskManager(state, taskManagerId)
      return hit.length === 0 ? still(state) : failRegions(next, hit, lostFailure(taskManagerId, reason), event)
    }
    case 'task-manager-draining': {
      const here = slicesAt(state, event.taskManagerId)
      const failure = drainingFailure(event.taskManagerId)
      return here.length === 0 ? still(state) : failRegions(state, here, failure, event, true)
    }
    case 'cancel':
      return cancel(state, event)
    case 'ask':
      return after(drive(state, { type: 'ask', now: event.now, wallClock: event.wallClock }, event), event)
    case 'tick': {
      const { now, wallClock } = event
      const drains = state.stop !== null && !state.coordinator.draining
      return after(drive(state, { type: drains ? 'drain' : 'tick', now, wallClock }, event), event)
    }
    case 'ack': {
      // A stopped job ends before its last progress is told: what its last epoch has read is in the snapshots.
      const { checkpoint, snapshot } = event
      const next = withRecordsIn(state, snapshot.subtask, snapshot.recordsIn)
      return after(drive(next, { type: 'ack', checkpoint, snapshot }, event), event)
    }
    case 'declined': {
      const { checkpoint, slice, now, failure } = event
      const { subtask } = slice
      return after(drive(state, { type: 'declined', checkpoint, subtask, reason: failure.message, now }, event), event)
    }
    case 'committed': {
      const { epoch, slice, now, wallClock } = event
      // Of which attempt it is has been looked at; epochs are named by the one that all slices began together.
      const attempt = { ...slice.attempt, attempt: state.coordinator.attempt ?? slice.attempt.attempt }
      const { subtask } = slice
      return after(drive(state, { type: 'committed', attempt, epoch, subtask, now, wallClock }, event), event)
    }
    default:
      return still(state)
  }
}

/** A subtask has read `recordsIn` by now, or more. */
function withRecordsIn(state: Running, subtask: Subtask, recordsIn: number): Running {
  const before = state.slices.get(subtask)?.recordsIn ?? 0
  if (recordsIn <= before) return state
  const reportedIn = state.reportedIn + recordsIn - before
  return withSlice({ ...state, reportedIn, recordsIn: Math.max(state.recordsIn, reportedIn) }, subtask, { recordsIn })
}

/**
 * In the continuous scope a checkpoint is behind the committed output; a job that stops on purpose is drained first, so that
 * it ends with the state that goes with its output (PROTOCOL A18).
 */
function cancel(state: Running, event: JobEvent): JobStep {
  if (state.ending !== null) return still(state)
  const cancelled: JobState = { ...state, ending: { state: 'CANCELLED', error: null } }
  const { now, wallClock } = event
  if (state.spec.plan.settings.commit.scope === 'epoch') return endWhenSettled(cancelled, [], event)
  return after(
    drive({ ...cancelled, drainUntilMs: now + DRAIN_TIMEOUT_MS }, { type: 'drain', now, wallClock }, event),
    event,
  )
}

/**
 * What every step in `running` ends with: a cancelled job leaves as soon as nothing published waits for its commit, and
 * regions go on as soon as no publish waits for its answer.
 */
export function after(step: JobStep, event: JobEvent): JobStep {
  const next = onSettled(step, event)
  return endWhenSettled(next.state, next.effects, event)
}

function endWhenSettled(state: JobState, effects: JobStep['effects'], event: JobEvent): JobStep {
  if (state.phase !== 'running' || state.ending === null) return { state, effects }
  const busy = state.coordinator.phase === 'publishing' || state.coordinator.phase === 'committing'
  if (busy || event.now < state.drainUntilMs) return { state, effects }
  const step = settle(state, 'running', event)
  return { state: step.state, effects: [...effects, ...step.effects] }
}
