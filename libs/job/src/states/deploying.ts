/** Waiting until every slice has loaded the bundle and opened its data endpoint. */
import { redistribute } from '@weir/checkpoint'
import { preparingSinks, unsettled } from '../ledger.ts'
import {
  allSlices,
  common,
  counted,
  fail,
  lostFailure,
  loseTaskManager,
  publishedEpoch,
  sliceOf,
  still,
  withSlice,
} from '../moves.ts'
import { subtasksOf, targetOf } from '../rescale.ts'
import type { Subtask, TaskManagerId } from '@weir/model'
import {
  DEPLOY_TIMEOUT_MS,
  RECOVER_TIMEOUT_MS,
  type Failure,
  type JobEvent,
  type JobState,
  type JobStep,
} from '../state.ts'

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
  from: 'deploying' | 'recovering',
): JobStep {
  const { taskManagerId } = event
  if (event.type === 'task-manager-lost') {
    const { state: next, hit } = loseTaskManager(state, taskManagerId)
    return hit.length === 0 ? still(state) : fail(next, from, lostFailure(taskManagerId, event.reason), event)
  }
  if (slicesAt(state, taskManagerId).length === 0) return still(state)
  const draining = drainingFailure(taskManagerId)
  return fail(state, from, draining, event, counted(state, event, draining, true))
}

/** Those that can be reached there. */
export const slicesAt = ({ slices }: JobState, id: TaskManagerId): readonly Subtask[] =>
  [...slices.values()].filter((s) => s.taskManagerId === id && s.status !== 'gone').map((s) => s.subtask)

export const drainingFailure = (id: TaskManagerId): Failure => ({
  code: 'TASK_MANAGER_DRAINING',
  kind: 'restart',
  message: `task-manager ${id} is being drained; the job moves`,
  facts: {},
})
