/** Waiting for enough free slots. */
import { claim, common, deploy, end, requestSlots, still } from '../moves.ts'
import { RESCALE_PLACEMENT_TIMEOUT_MS, reverted } from '../rescale.ts'
import { CLAIM_FRESH_MS, ENDING_PLACEMENT_TIMEOUT_MS, type JobEvent, type JobState, type JobStep } from '../state.ts'

export function onPlacing(state: Extract<JobState, { phase: 'placing' }>, event: JobEvent): JobStep {
  switch (event.type) {
    case 'placed':
      if (event.now - state.claimedMs > CLAIM_FRESH_MS) {
        const again = claim(state)
        return { state: again.state, effects: [{ type: 'release-slots' }, ...again.effects] }
      }
      return deploy(state, event.assignment, state.manifest, event.now)
    case 'cancel':
      return still({ ...state, ending: state.ending ?? { state: 'CANCELLED', error: null }, sinceMs: event.now })
    case 'tick':
      if (state.ending !== null && event.now - state.sinceMs >= ENDING_PLACEMENT_TIMEOUT_MS) {
        // The end does not wait for a fleet: the reaper settles as soon as any task-manager is there.
        return end({ ...common(state), phase: 'ended' }, state.ending)
      }
      if (state.rescaling !== null && event.now - state.sinceMs >= RESCALE_PLACEMENT_TIMEOUT_MS) {
        const next = reverted(state, state.rescaling)
        const told = { type: 'rescale-reverted' as const, parallelism: state.rescaling.from, failure: next.lastError! }
        return { state: next, effects: [told, requestSlots(next)] }
      }
      return still(state)
    default:
      return still(state)
  }
}
