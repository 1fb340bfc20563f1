/** Waiting for the won compare-and-swap on head.json. */
import { coordinatorFor } from '@weir/checkpoint'
import { common, end, requestSlots, still } from '../moves.ts'
import { atWished } from '../rescale.ts'
import type { JobEvent, JobState, JobStep } from '../state.ts'

export function onClaiming(state: JobState, event: JobEvent): JobStep {
  switch (event.type) {
    case 'claimed': {
      // The store is the truth, whatever this process remembers. Numbers used in this generation stay used (PROTOCOL A1),
      // and a circuit that is open was opened for reasons a claim does not mend.
      const next = atWished(state)
      const fresh = coordinatorFor(next.coordinator.options, event.published, state.coordinator.breaker)
      const coordinator = {
        ...fresh,
        lastEpoch: Math.max(fresh.lastEpoch, state.coordinator.lastEpoch) as typeof fresh.lastEpoch,
        recordsIn: event.manifest?.subtasks.reduce((sum, s) => sum + s.recordsIn, 0) ?? 0,
      }
      return {
        state: {
          ...common(next),
          attempt: event.attempt ?? state.attempt,
          phase: 'placing',
          claimedMs: event.now,
          sinceMs: event.now,
          manifest: event.manifest,
          coordinator,
        },
        effects: [requestSlots(next)],
      }
    }
    case 'claim-refused':
      return { state, effects: [{ type: 'step-down', reason: event.reason }] }
    case 'claim-failed':
      return end(
        { ...state, attempt: event.attempt ?? state.attempt },
        { state: 'FAILED', error: event.failure },
        false,
      )
    case 'cancel':
      return still({ ...state, ending: state.ending ?? { state: 'CANCELLED', error: null } })
    default:
      return still(state)
  }
}
