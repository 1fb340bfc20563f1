/** Waiting until every slice has loaded the bundle and opened its data endpoint. */
import { redistribute } from '@weir/checkpoint'
import { preparingSinks, unsettled } from '../ledger.ts'
import {
  allSlices,
  common,
  fail,
  lostFailure,
  loseTaskManager,
  publishedEpoch,
  sliceOf,
  still,
  withSlice,
} from '../moves.ts'
import { subtasksOf, targetOf } from '../rescale.ts'
import { DEPLOY_TIMEOUT_MS, RECOVER_TIMEOUT_MS, type JobEvent, type JobState, type JobStep } from '../state.ts'

export function onDeploying(state: Extract<JobState, { phase: 'deploying' }>, event: JobEvent): JobStep {
  switch (event.type) {
    case 'deployed': {
      const next = withSlice(state, event.slice.subtask, { status: 'deployed', exchangeAddress: event.exchangeAddress })
      if (!allSlices(next, (s) => s.status === 'deployed')) return still(next)
      const { spec } = state
      const outcomes = unsettled(preparingSinks(spec.plan), subtasksOf(spec), publishedEpoch(state))
      const snapshots = redistribute(state.manifest, targetOf(spec))
      const deadlineMs = event.now + RECOVER_TIMEOUT_MS
      const recovering: JobState = { ...common(next), phase: 'recovering', outcomes, deadlineMs }
      return {
        state: recovering,
        effects: [...next.slices.values()].map((s) => ({
          type: 'recover',
          to: s.taskManagerId,
          slice: sliceOf(next, s.subtask),
          snapshot: snapshots[s.subtask]!,
          poison: state.poison,
        })),
      }
    }
    case 'slice-failed':
      return fail(withSlice(state, event.slice.subtask, { status: 'failed' }), 'deploying', event.failure, event)
    case 'stopped':
      return fail(withSlice(state, event.slice.subtask, { status: 'gone' }), 'deploying', unexpectedStop(event), event)
    case 'task-manager-lost':
    case 'task-manager-draining':
      return onFleetChange(state, event, 'deploying')
    case 'cancel':
      return still({ ...state, ending: state.ending ?? { state: 'CANCELLED', error: null } })
    case 'tick': {
      if (event.now < state.deadlineMs) return still(state)
      const late = [...state.slices.values()].filter((s) => s.status === 'assigned').map((s) => s.subtask)
      return fail(state, 'deploying', timeout('DEPLOY_TIMED_OUT', DEPLOY_TIMEOUT_MS, late), event)
    }
    default:
      return still(state)
  }
}

export const timeout = (code: string, ms: number, late: readonly number[]) => ({
  code,
  kind: 'restart' as const,
  message: `slices ${late.join(', ')} did not answer within ${ms} ms`,
  facts: { late },
})

export const unexpectedStop = (event: Extract<JobEvent, { type: 'stopped' }>) => ({
  code: 'SLICE_STOPPED',
  kind: 'restart' as const,
  message: `slice ${event.slice.subtask} stopped without being asked to`,
  facts: { subtask: event.slice.subtask },
})

export function onFleetChange(
  state: JobState,
  event: Extract<JobEvent, { type: 'task-manager-lost' | 'task-manager-draining' }>,
  from: 'deploying' | 'recovering' | 'running',
): JobStep {
  if (event.type === 'task-manager-lost') {
    const { state: next, hit } = loseTaskManager(state, event.taskManagerId)
    return hit ? fail(next, from, lostFailure(event.taskManagerId, event.reason), event) : still(state)
  }
  const here = [...state.slices.values()].some((s) => s.taskManagerId === event.taskManagerId && s.status !== 'gone')
  if (!here) return still(state)
  return fail(
    state,
    from,
    {
      code: 'TASK_MANAGER_DRAINING',
      kind: 'restart',
      message: `task-manager ${event.taskManagerId} is being drained; the job moves`,
      facts: {},
    },
    event,
    true,
  )
}
