/**
 * Waiting until every sink has resolved its stored handles and fenced its pool. No source of the attempt starts before
 * all of them have: a zombie's write between two of these would be output nobody replays (PROTOCOL A11, A12).
 */
import type { Subtask } from '@weir/model'
import { outcomeOf, preparingSinks, verdictOf, withOutcome } from '../ledger.ts'
import { allSlices, common, drive, fail, publishedEpoch, settle, sliceOf, still, withSlice } from '../moves.ts'
import { SubtaskMap } from '@weir/model'
import { caredBy, parallelismOf } from '../rescale.ts'
import { RECOVER_TIMEOUT_MS, type JobEffect, type JobEvent, type JobState, type JobStep } from '../state.ts'
import { onFleetChange, timeout, unexpectedStop } from './deploying.ts'

/** Of `checkpoint.intervalMs`. Until an epoch of an attempt is final there is no output of it; a shorter wait is not worth an epoch of its own. */
const FIRST_EPOCH_EARLY_FROM_MS = 1_000

export function onRecovering(state: Extract<JobState, { phase: 'recovering' }>, event: JobEvent): JobStep {
  switch (event.type) {
    case 'recovered': {
      const { state: next, effects: told } = recovered(state, event)
      const step = allSlices(next, (s) => s.status === 'recovered') ? start(next, event) : still(next)
      return { state: step.state, effects: [...told, ...step.effects] }
    }
    case 'slice-failed':
      return fail(notRecovered(state, event), 'recovering', event.failure, event)
    case 'stopped':
      return fail(withSlice(state, event.slice.subtask, { status: 'gone' }), 'recovering', unexpectedStop(event), event)
    case 'task-manager-lost':
    case 'task-manager-draining':
      return onFleetChange(state, event, 'recovering')
    case 'cancel':
      return still({ ...state, ending: state.ending ?? { state: 'CANCELLED', error: null } })
    case 'tick': {
      if (event.now < state.deadlineMs) return still(state)
      const late = [...state.slices.values()].filter((s) => s.status !== 'recovered').map((s) => s.subtask)
      return fail(state, 'recovering', timeout('RECOVER_TIMED_OUT', RECOVER_TIMEOUT_MS, late), event)
    }
    default:
      return still(state)
  }
}

/** A slice has recovered: what its proofs say of its sinks. */
export function recovered<S extends JobState>(
  state: S,
  event: Extract<JobEvent, { type: 'recovered' }>,
): { readonly state: S; readonly effects: readonly JobEffect[] } {
  const { subtask } = event.slice
  const healed = event.proofs.filter((proof) => proof.by === 'heal')
  const proven = preparingSinks(state.spec.plan).flatMap((sink) =>
    caredBy(state.spec, subtask).map((k) =>
      outcomeOf(
        sink,
        k,
        publishedEpoch(state),
        event.proofs.filter((proof) => proof.sink === sink && proof.subtask === k),
      ),
    ),
  )
  const next = {
    ...withSlice(state, subtask, { status: 'recovered' }),
    healed: state.healed + healed.length,
    outcomes: proven.reduce(withOutcome, state.outcomes),
  }
  const effects = healed.map((proof): JobEffect => ({
    ...{ type: 'healed', sink: proof.sink, sequence: proof.sequence, subtask: proof.subtask as Subtask },
  }))
  return { state: next, effects }
}

/** A slice could not recover: with the verdict of the sink that could not. */
export function notRecovered<S extends JobState>(state: S, event: Extract<JobEvent, { type: 'slice-failed' }>): S {
  const verdict = verdictOf(event.failure, publishedEpoch(state))
  const outcomes = verdict === null ? state.outcomes : withOutcome(state.outcomes, verdict)
  return { ...withSlice(state, event.slice.subtask, { status: 'failed' }), outcomes }
}

/** recovering → running; or, for a job that is to end, → settling: what was published is final now. */
function start(state: JobState, event: JobEvent): JobStep {
  const slices = SubtaskMap.from([...state.slices].map(([i, s]) => [i, { ...s, status: 'running' as const }]))
  const reportedIn = slices.values().reduce((sum, s) => sum + s.recordsIn, 0)
  const undisturbed = { drainUntilMs: 0, failover: null, rejoinedAt: null }
  const running: JobState = { ...common(state), phase: 'running', slices, reportedIn, ...undisturbed }
  const { now, wallClock } = event
  const awaited =
    state.rescaling !== null || state.spec.plan.settings.checkpoint.intervalMs >= FIRST_EPOCH_EARLY_FROM_MS
  const started = drive(running, { type: 'started', attempt: state.attempt, awaited, now, wallClock }, event)
  if (state.ending !== null) {
    const step = settle(started.state, 'running', event)
    return { state: step.state, effects: [...started.effects, ...step.effects] }
  }
  // Without an exchange nobody has a peer, and naming all to all is quadratic.
  const joined = state.spec.plan.stages > 1 ? [...slices.values()] : []
  const peers = joined.map((s) => ({
    subtask: s.subtask,
    taskManagerId: s.taskManagerId,
    exchangeAddress: s.exchangeAddress ?? '',
  }))
  const effects: JobEffect[] = [...slices.values()].map((s) => ({
    type: 'run',
    to: s.taskManagerId,
    slice: sliceOf(state, s.subtask),
    peers,
  }))
  const recoveryMs = state.failedAtMs === null ? null : Math.round(now - state.failedAtMs)
  if (recoveryMs !== null) {
    effects.push({ type: 'restarted', attempt: state.attempt, reason: state.lastError?.message ?? '', recoveryMs })
  }
  if (state.rescaling !== null) {
    const { from, sinceMs } = state.rescaling
    effects.push({ type: 'rescaled', from, to: parallelismOf(state.spec), durationMs: now - sinceMs })
  }
  const next: JobState = {
    ...started.state,
    ...{ failedAtMs: null, lastRecoveryMs: recoveryMs ?? state.lastRecoveryMs, rescaling: null },
  }
  // Wished while it was on its way here.
  const again = next.wished === null ? still(next) : drive(next, { type: 'drain', now, wallClock }, event)
  return { state: again.state, effects: [...started.effects, ...effects, ...again.effects] }
}
