/** Waiting for enough free slots. */
import { common, deploy, end, still } from '../moves.ts'
import { ENDING_PLACEMENT_TIMEOUT_MS, type JobEvent, type JobState, type JobStep } from '../state.ts'

export function onPlacing(state: Extract<JobState, { phase: 'placing' }>, event: JobEvent): JobStep {
  switch (event.type) {
    case 'placed':
      return deploy(state, event.assignment, state.manifest, event.now)
    case 'cancel':
      return still({ ...state, ending: state.ending ?? { state: 'CANCELLED', error: null }, sinceMs: event.now })
    case 'tick':
      if (state.ending !== null && event.now - state.sinceMs >= ENDING_PLACEMENT_TIMEOUT_MS) {
        // Nobody is there who could settle; the broker's transaction timeout aborts what is open.
        return end({ ...common(state), phase: 'ended' }, state.ending)
      }
      return still(state)
    default:
      return still(state)
  }
}
