/** Moves shared by several phases. Each returns a whole step. */
import { stepCoordinator, type CoordinatorEvent } from '@weir/checkpoint'
import { learned } from '@weir/dataflow'
import { SubtaskMap, sameAttempt, type Attempt, type AttemptId, type Subtask, type TaskManagerId } from '@weir/model'
import { preparingSinks, unsettled } from './ledger.ts'
import { stepRestart, type RestartState } from './restart.ts'
import { subtasksOf } from './rescale.ts'
import {
  DEPLOY_TIMEOUT_MS,
  STOP_TIMEOUT_MS,
  type Ending,
  type Failure,
  type JobEffect,
  type JobState,
  type JobStep,
  type Slice,
  type SliceId,
  type Times,
} from './state.ts'

/** What every phase has: spread it before the payload of the next phase. */
export const common = (s: JobState) => ({
  spec: s.spec,
  generation: s.generation,
  attempt: s.attempt,
  coordinator: s.coordinator,
  slices: s.slices,
  ending: s.ending,
  stop: s.stop,
  lastError: s.lastError,
  restarts: s.restarts,
  regionRestarts: s.regionRestarts,
  restart: s.restart,
  failedAtMs: s.failedAtMs,
  lastRecoveryMs: s.lastRecoveryMs,
  healed: s.healed,
  outcomes: s.outcomes,
  poison: s.poison,
  recordsIn: s.recordsIn,
  wished: s.wished,
  rescaling: s.rescaling,
})

export const still = (state: JobState): JobStep => ({ state, effects: [] })

/** Of one slice: those of a region that has failed over have a later one than the others. */
const attemptOf = (state: JobState, subtask: Subtask): AttemptId => ({
  generation: state.generation,
  attempt: state.slices.get(subtask)?.attempt ?? state.attempt,
})

export const sliceOf = (state: JobState, subtask: Subtask): SliceId => ({
  jobId: state.spec.jobId,
  attempt: attemptOf(state, subtask),
  subtask,
})

export const isCurrent = (state: JobState, slice: SliceId): boolean =>
  slice.jobId === state.spec.jobId && sameAttempt(slice.attempt, attemptOf(state, slice.subtask))

export const assignedTo = (subtask: Subtask, taskManagerId: TaskManagerId, attempt: Attempt): Slice => ({
  ...{ subtask, attempt, taskManagerId, status: 'assigned', exchangeAddress: null },
  ...{ inputEnded: false, recordsIn: 0, recordsOut: 0, watermark: Number.MIN_SAFE_INTEGER },
  ...{ splits: [], claims: [], late: [], rates: [], metrics: null },
})

export function withSlice<S extends JobState>(state: S, subtask: Subtask, change: Partial<Slice>): S {
  const slice = state.slices.get(subtask)
  return slice ? { ...state, slices: state.slices.with(subtask, { ...slice, ...change }) } : state
}

export const allSlices = (state: JobState, is: (slice: Slice) => boolean): boolean => state.slices.every(is)

/** Marks every slice of a lost task-manager unreachable; `hit`: those that were not. */
export function loseTaskManager<S extends JobState>(state: S, id: string): { state: S; hit: readonly Subtask[] } {
  const hit: Subtask[] = []
  let { slices } = state
  for (const [subtask, slice] of slices) {
    if (slice.taskManagerId !== id || slice.status === 'gone') continue
    hit.push(subtask)
    slices = slices.with(subtask, { ...slice, status: 'gone' })
  }
  return hit.length > 0 ? { state: { ...state, slices }, hit } : { state, hit }
}

export const lostFailure = (id: string, reason: string): Failure => ({
  code: 'TASK_MANAGER_LOST',
  kind: 'restart',
  message: `task-manager ${id} is gone: ${reason}`,
  facts: { taskManagerId: id },
})

/** → claiming: every attempt begins with a fresh compare-and-swap (PROTOCOL A6, A8, A11 "recheck on fenced"). */
export const claim = (state: JobState): JobStep => ({
  state: { ...common(state), phase: 'claiming', slices: SubtaskMap.empty() },
  effects: [{ type: 'claim' }],
})

export const requestSlots = ({ spec }: JobState): JobEffect => ({
  type: 'request-slots',
  count: spec.plan.settings.parallelism,
})

/** placing → deploying */
export function deploy(
  state: JobState,
  assignment: ReadonlyMap<Subtask, Slice['taskManagerId']>,
  manifest: Extract<JobState, { phase: 'deploying' }>['manifest'],
  now: number,
): JobStep {
  const attempt = (state.attempt + 1) as Attempt
  const slices = SubtaskMap.from([...assignment].map(([subtask, id]) => [subtask, assignedTo(subtask, id, attempt)]))
  const next: JobState = {
    ...common(state),
    phase: 'deploying',
    attempt,
    slices,
    deadlineMs: now + DEPLOY_TIMEOUT_MS,
    manifest,
  }
  return {
    state: next,
    effects: [...slices.values()].map((s) => ({
      type: 'deploy',
      to: s.taskManagerId,
      slice: sliceOf(next, s.subtask),
    })),
  }
}

type SettlesFrom = Extract<JobState, { phase: 'settling' }>['from']

/**
 * → settling: the attempt is over, for a restart or for good. The coordinator closes the epoch in flight first: until
 * it says `suspended`, no epoch may be chosen for a restore and nothing may be aborted (PROTOCOL A4).
 */
export function settle(state: JobState, from: SettlesFrom, times: Times): JobStep {
  const settling: JobState = { ...common(state), phase: 'settling', from }
  return drive(settling, { type: 'suspend' }, times)
}

/** What a slice ends its attempt with on purpose: nothing is wrong, and the next one does what this one cannot. */
const ON_PURPOSE: readonly string[] = ['PARTITIONS_ADDED']

/** The strategy's count with one failure more; a planned move is never one too many. */
export const counted = (
  state: JobState,
  { now, random }: Times,
  { code }: Failure,
  planned = ON_PURPOSE.includes(code),
): RestartState => stepRestart(state.restart, planned ? { type: 'moved' } : { type: 'failed', now, random })

/** The attempt failed: note why, decide between restart and failure, settle. */
export function fail(
  state: JobState,
  from: SettlesFrom,
  failure: Failure,
  times: Times,
  restart: RestartState = counted(state, times, failure),
): JobStep {
  let ending = state.ending
  if (ending === null && failure.kind === 'invalid') ending = { state: 'FAILED', error: failure }
  else if (ending === null && restart.exhausted !== null) {
    ending = {
      state: 'FAILED',
      error: {
        code: 'RESTARTS_EXHAUSTED',
        kind: 'invalid',
        message: `${restart.exhausted}; last: ${failure.message}`,
        facts: { restart: restart.settings, failures: restart.failures, last: failure },
      },
    }
  }
  return settle(
    {
      ...state,
      ending,
      restart,
      ...noted(state, failure),
      failedAtMs: state.failedAtMs ?? times.now,
    },
    from,
    times,
  )
}

/** What is remembered of a failure. */
export const noted = (state: JobState, failure: Failure): Pick<JobState, 'lastError' | 'poison'> => ({
  lastError: shown(failure),
  poison: learned(state.poison, failure),
})

/** For people: how many records are suspected, not which. */
function shown(failure: Failure): Failure {
  const { suspects, ...facts } = failure.facts
  return Array.isArray(suspects) ? { ...failure, facts: { ...facts, suspects: suspects.length } } : failure
}

/** settling → stopping: the coordinator is suspended; decide how the slices are told to stop. */
export function stopAll(state: JobState, times: Times): JobStep {
  const { ending, coordinator } = state
  if (ending === null) return stop(state, 'leave', 'restart', times)
  const settled = publishedEpoch(state) <= coordinator.final
  const reachable = state.slices.size > 0 && allSlices(state, (s) => s.status !== 'gone')
  const from = state.phase === 'settling' ? state.from : 'running'
  if (from === 'running' && settled && reachable) return stop(state, 'abort', 'end', times)
  // Recovery itself failed: its verdict stands, nothing more is touched. (That of one region goes round and is found again.)
  if (
    (from === 'deploying' || from === 'recovering') &&
    (state.lastError?.kind === 'invalid' || state.restart.exhausted !== null)
  )
    return stop(state, 'leave', 'end', times)
  return stop(state, 'leave', 'restart', times)
}

export function stop(state: JobState, mode: 'leave' | 'abort', then: 'restart' | 'end', times: Times): JobStep {
  const next: JobState = { ...common(state), phase: 'stopping', mode, then, deadlineMs: times.now + STOP_TIMEOUT_MS }
  const effects: JobEffect[] = []
  for (const s of state.slices.values()) {
    if (s.status !== 'gone') effects.push({ type: 'stop', to: s.taskManagerId, slice: sliceOf(state, s.subtask), mode })
  }
  const step = afterStop(next, times)
  return { state: step.state, effects: [...effects, ...step.effects] }
}

/** stopping → backing-off | ended, once no slice is reachable any more */
export function afterStop(state: JobState, times: Times): JobStep {
  if (state.phase !== 'stopping' || !allSlices(state, (s) => s.status === 'gone')) return still(state)
  if (state.then === 'end') return end(state, state.ending ?? { state: 'FAILED', error: state.lastError })
  // Planned: there is nothing to wait out, and its slots stay its own until it is placed anew.
  if (state.wished !== null && state.failedAtMs === null) return claim(state)
  const untilMs = times.now + state.restart.delayMs
  return {
    state: {
      ...common(state),
      phase: 'backing-off',
      untilMs,
      restarts: state.restarts + 1,
      slices: SubtaskMap.empty(),
    },
    effects: [{ type: 'release-slots' }],
  }
}

export const publishedEpoch = (s: JobState): number => s.coordinator.published?.epoch ?? 0

/** @param known false: what is published could not be found out. */
export function end(state: JobState, ending: Ending, known = true): JobStep {
  const epoch = publishedEpoch(state)
  const sinks = preparingSinks(state.spec.plan)
  const settled = sinks.length === 0 || (known && epoch <= state.coordinator.final)
  const outcomes = settled
    ? state.outcomes.filter((o) => o.state !== 'UNSETTLED') // a recovery of nothing, cut short
    : unsettled(sinks, subtasksOf(state.spec), epoch, state.outcomes)
  return {
    state: { ...common(state), phase: 'ended', ending, outcomes, slices: SubtaskMap.empty() },
    effects: [{ type: 'release-slots' }, { type: 'ended', ending, settled }],
  }
}

/** Feeds the coordinator and acts on what it says about the attempt. */
export function drive(state: JobState, event: CoordinatorEvent, times: Times): JobStep {
  const step = stepCoordinator(state.coordinator, event)
  let next: JobState = { ...state, coordinator: step.state }
  const effects: JobEffect[] = []
  const follow = (move: JobStep): void => {
    next = move.state
    effects.push(...move.effects)
  }
  for (const effect of step.effects) {
    switch (effect.type) {
      case 'suspended':
        if (next.phase === 'settling') follow(stopAll(next, times))
        break
      case 'attempt-failed':
        if (next.phase === 'running') {
          follow(
            fail(
              next,
              'running',
              { code: 'CHECKPOINTS_EXHAUSTED', kind: 'restart', message: effect.reason, facts: {} },
              times,
            ),
          )
        }
        break
      case 'drained':
        if (next.phase === 'running') {
          const finished = next.wished === null || allSlices(next, (s) => s.inputEnded)
          const state = next.stop === null ? 'FINISHED' : 'STOPPED'
          const over = finished || next.stop !== null ? ({ state, error: null } as const) : null
          follow(settle({ ...next, ending: next.ending ?? over }, 'running', times))
        }
        break
      case 'final':
        effects.push(effect)
        next = { ...next, restart: stepRestart(next.restart, { type: 'final' }) }
        break
      default:
        effects.push(effect)
    }
  }
  return { state: next, effects }
}
