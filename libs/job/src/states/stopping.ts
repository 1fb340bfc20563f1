/** settling, stopping and backing-off: the attempt is over. */
import { SubtaskMap } from '@weir/model'
import { afterStop, claim, loseTaskManager, still, withSlice } from '../moves.ts'
import type { JobEvent, JobState, JobStep } from '../state.ts'

export function onSettling(state: Extract<JobState, { phase: 'settling' }>, event: JobEvent): JobStep {
  switch (event.type) {
    case 'task-manager-lost':
      return still(loseTaskManager(state, event.taskManagerId).state)
    case 'stopped':
      return still(withSlice(state, event.slice.subtask, { status: 'gone' }))
    case 'cancel':
      return still({ ...state, ending: state.ending ?? { state: 'CANCELLED', error: null } })
    default:
      return still(state)
  }
}

export function onStopping(state: Extract<JobState, { phase: 'stopping' }>, event: JobEvent): JobStep {
  switch (event.type) {
    case 'stopped':
      return afterStop(withSlice(state, event.slice.subtask, { status: 'gone' }), event)
    case 'task-manager-lost':
      return afterStop(loseTaskManager(state, event.taskManagerId).state, event)
    case 'cancel':
      return still({ ...state, ending: state.ending ?? { state: 'CANCELLED', error: null } })
    case 'tick': {
      if (event.now < state.deadlineMs) return still(state)
      // A slice that does not answer is fenced by the next recovery; its slot is not given away before its process is gone.
      const slices = SubtaskMap.from([...state.slices].map(([i, s]) => [i, { ...s, status: 'gone' as const }]))
      return afterStop({ ...state, slices }, event)
    }
    default:
      return still(state)
  }
}

export function onBackingOff(state: Extract<JobState, { phase: 'backing-off' }>, event: JobEvent): JobStep {
  if (event.type === 'cancel') {
    return still({ ...state, ending: state.ending ?? { state: 'CANCELLED', error: null } })
  }
  return event.now >= state.untilMs ? claim(state) : still(state)
}
