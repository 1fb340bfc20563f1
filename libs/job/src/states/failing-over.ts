/** Slices that are away come back while the others run: failover.ts has the picture. */
import { redistribute, sameManifest } from '@weir/checkpoint'
import type { Attempt, Subtask } from '@weir/model'
import {
  onStopped,
  restartAll,
  slicesAway,
  stepTo,
  type FailingOver,
  type FailoverStep,
  type Running,
} from '../failover.ts'
import { preparingSinks, unsettled, withOutcome } from '../ledger.ts'
import {
  assignedTo,
  drive,
  lostFailure,
  loseTaskManager,
  publishedEpoch,
  settle,
  sliceOf,
  still,
  withSlice,
} from '../moves.ts'
import { caredBy, subtasksOf, targetOf } from '../rescale.ts'
import { CLAIM_FRESH_MS, type Failure, type JobEffect, type JobEvent, type JobStep } from '../state.ts'
import { drainingFailure, slicesAt, unexpectedStop } from './deploying.ts'
import { notRecovered, recovered } from './recovering.ts'

type Of<T extends JobEvent['type']> = Extract<JobEvent, { type: T }>

/** Null: the event is about the slices that work on. */
export function onFailover(state: FailingOver, event: JobEvent): JobStep | null {
  switch (event.type) {
    case 'task-manager-lost':
    case 'task-manager-draining':
      return onFleetChange(state, event)
    case 'cancel': {
      const { failedAtMs } = state.failover
      return settle({ ...state, failedAtMs, ending: { state: 'CANCELLED', error: null } }, 'failing-over', event)
    }
    case 'tick':
      return onTick(state, event)
    case 'claimed':
      return onClaimed(state, event)
    case 'claim-refused':
      return { state, effects: [{ type: 'step-down', reason: event.reason }] }
    case 'claim-failed':
      return restartAll(state, event.failure, event)
    case 'placed':
      return onPlaced(state, event)
  }
  if (!('slice' in event)) return null
  const { subtask } = event.slice
  const away = state.failover.subtasks.includes(subtask)
  const { at } = state.failover.step
  switch (event.type) {
    case 'stopped': {
      const gone = withSlice(state, subtask, { status: 'gone' })
      if (!away || at === 'deploying' || at === 'recovering') return restartAll(gone, unexpectedStop(event), event)
      return onStopped(gone, event)
    }
    case 'slice-failed':
      if (!away) return restartAll(withSlice(state, subtask, { status: 'failed' }), event.failure, event)
      if (at === 'deploying' || at === 'recovering') return restartAll(notRecovered(state, event), event.failure, event)
      return still(state) // it is being stopped already
    case 'deployed':
      return onDeployed(state, event)
    case 'recovered':
      return onRecovered(state, event)
    default:
      return away ? still(state) : null
  }
}

function onTick(state: FailingOver, event: Of<'tick'>): JobStep | null {
  const { step, deadlineMs, subtasks, failedAtMs } = state.failover
  if (event.now >= deadlineMs) return restartAll(state, timedOut(step.at, subtasks, deadlineMs - failedAtMs), event)
  if (step.at === 'stopping' && event.now >= step.untilMs) {
    // Who does not answer is fenced by the recovery, as in a restart of all.
    const slices = subtasks.reduce((all, s) => all.with(s, { ...all.get(s)!, status: 'gone' }), state.slices)
    return onStopped({ ...state, slices }, event)
  }
  return step.at === 'backing-off' && event.now >= step.untilMs ? claimed(state) : null
}

/** → claiming */
const claimed = (state: FailingOver): JobStep => ({
  state: stepTo(state, { at: 'claiming' }),
  effects: [{ type: 'claim' }],
})

/** claiming → placing */
function onClaimed(state: FailingOver, event: Of<'claimed'>): JobStep {
  const { failover, coordinator } = state
  if (failover.step.at !== 'claiming') return still(state)
  const { published, manifest, now } = event
  if (!sameManifest(published, coordinator.published)) {
    return restartAll(state, changed(coordinator.published?.epoch ?? 0, published?.epoch ?? 0), event)
  }
  return {
    state: stepTo(state, { at: 'placing', claimedMs: now, manifest }),
    effects: [{ type: 'replace-slots', subtasks: failover.subtasks }],
  }
}

/** placing → deploying */
function onPlaced(state: FailingOver, event: Of<'placed'>): JobStep {
  const { step, subtasks } = state.failover
  if (step.at !== 'placing') return still(state)
  if (event.now - step.claimedMs > CLAIM_FRESH_MS) return claimed(state)
  const attempt = (state.attempt + 1) as Attempt
  const readAgain = slicesAway(state).reduce((sum, s) => sum + s.recordsIn, 0)
  const next: FailingOver = {
    ...stepTo(state, { at: 'deploying', manifest: step.manifest }),
    attempt,
    reportedIn: state.reportedIn - readAgain,
    slices: subtasks.reduce((all, s) => all.with(s, assignedTo(s, event.assignment.get(s)!, attempt)), state.slices),
  }
  return {
    state: next,
    effects: slicesAway(next).map((s) => ({ type: 'deploy', to: s.taskManagerId, slice: sliceOf(next, s.subtask) })),
  }
}

/** deploying → recovering, with the last of them */
function onDeployed(state: FailingOver, event: Of<'deployed'>): JobStep {
  const { step, subtasks } = state.failover
  if (step.at !== 'deploying') return still(state)
  const { slice, exchangeAddress } = event
  const next = withSlice(state, slice.subtask, { status: 'deployed', exchangeAddress })
  if (slicesAway(next).some((s) => s.status !== 'deployed')) return still(next)
  const { spec } = state
  const snapshots = redistribute(step.manifest, targetOf(spec))
  const cared = new Set(subtasks.flatMap((s) => caredBy(spec, s)))
  const open = unsettled(preparingSinks(spec.plan), subtasksOf(spec), publishedEpoch(state))
  const outcomes = open.filter((o) => cared.has(o.subtask)).reduce(withOutcome, state.outcomes)
  return {
    state: { ...stepTo(next, { at: 'recovering' }), outcomes },
    effects: slicesAway(next).map((s) => ({
      type: 'recover',
      to: s.taskManagerId,
      slice: sliceOf(next, s.subtask),
      snapshot: snapshots[s.subtask]!,
      poison: state.poison,
    })),
  }
}

/** recovering → running, with the last of them */
function onRecovered(state: FailingOver, event: Of<'recovered'>): JobStep {
  if (state.failover.step.at !== 'recovering') return still(state)
  const { state: next, effects: told } = recovered(state, event)
  if (slicesAway(next).some((s) => s.status !== 'recovered')) return { state: next, effects: told }
  const { subtasks, failedAtMs } = state.failover
  const { now, wallClock } = event
  const recoveryMs = Math.round(now - failedAtMs)
  const joined: Running = {
    ...next,
    slices: subtasks.reduce((all, s) => all.with(s, { ...all.get(s)!, status: 'running' }), next.slices),
    failover: null,
    rejoinedAt: publishedEpoch(next),
    regionRestarts: next.regionRestarts + 1,
    lastRecoveryMs: recoveryMs,
  }
  const returned = drive(joined, { type: 'returned', now, wallClock }, event)
  const reason = state.lastError?.message ?? ''
  return {
    state: returned.state,
    effects: [
      ...told,
      ...returned.effects,
      ...subtasks.map((s): JobEffect => {
        const { taskManagerId } = joined.slices.get(s)!
        return { type: 'run', to: taskManagerId, slice: sliceOf(joined, s), peers: [] } // regions exchange nothing
      }),
      { type: 'region-restarted', subtasks, attempt: state.attempt, reason, recoveryMs },
    ],
  }
}

/** One that takes slices which are stopping anyway is nothing new; any other hits who works on, or who was on the way back. */
function onFleetChange(state: FailingOver, event: Of<'task-manager-lost'> | Of<'task-manager-draining'>): JobStep {
  const { failover } = state
  const { taskManagerId } = event
  const onTheWayBack = failover.step.at === 'deploying' || failover.step.at === 'recovering'
  const there = slicesAt(state, taskManagerId)
  const isNew = there.some((s) => onTheWayBack || !failover.subtasks.includes(s))
  if (event.type === 'task-manager-draining') {
    return isNew ? restartAll(state, drainingFailure(taskManagerId), event) : still(state)
  }
  const { state: next } = loseTaskManager(state, taskManagerId)
  return isNew ? restartAll(next, lostFailure(taskManagerId, event.reason), event) : onStopped(next, event)
}

const timedOut = (at: FailoverStep['at'], subtasks: readonly Subtask[], ms: number): Failure => ({
  code: 'REGION_FAILOVER_TIMED_OUT',
  kind: 'restart',
  message: `slices ${subtasks.join(', ')} were not back within ${ms} ms, half of recoveryBudgetMs (${at}): all slices restart`,
  facts: { subtasks, at },
})

const changed = (known: number, found: number): Failure => ({
  code: 'PUBLISHED_EPOCH_CHANGED',
  kind: 'restart',
  message: `epoch ${known} was published and the claim found ${found}: all slices restart from that one`,
  facts: { known, found },
})
