/** One job under one leader: `stepJob(state, event) → { state, effects }`. See state.ts for the picture. */
import { coordinatorDueMs, coordinatorFor } from '@weir/checkpoint'
import { NO_POISON, circuitOf, cutBoundMsOf } from '@weir/dataflow'
import { SubtaskMap, type Attempt, type Epoch, type Generation } from '@weir/model'
import { claim, drive, isCurrent, requestSlots, still } from './moves.ts'
import { atWished, parallelismOf } from './rescale.ts'
import type { JobEvent, JobSpec, JobState, JobStep, UsedNumbers } from './state.ts'
import { restartFor } from './restart.ts'
import { onClaiming } from './states/claiming.ts'
import { onDeploying } from './states/deploying.ts'
import { onPlacing } from './states/placing.ts'
import { onRecovering } from './states/recovering.ts'
import { after, onRunning } from './states/running.ts'
import { onBackingOff, onSettling, onStopping } from './states/stopping.ts'

/** @param used attempts and epochs that an earlier run under the id has used in this generation: their names are taken */
export function jobFor(
  spec: JobSpec,
  generation: Generation,
  used: UsedNumbers = { attempt: 0 as Attempt, epoch: 0 as Epoch },
): JobState {
  const { checkpoint, parallelism, maxParallelism } = spec.plan.settings
  const options = {
    jobId: spec.jobId,
    generation,
    parallelism,
    maxParallelism,
    graphHash: spec.graphHash,
    intervalMs: checkpoint.intervalMs,
    everyRecords: checkpoint.everyRecords,
    minPauseMs: checkpoint.minPauseMs,
    alignTimeoutMs: checkpoint.alignTimeoutMs,
    toleratedAborts: checkpoint.toleratedAborts,
    circuit: circuitOf(spec.plan.settings),
    cutBoundMs: cutBoundMsOf(spec.plan.settings),
  }
  return {
    phase: 'claiming',
    spec,
    generation,
    attempt: used.attempt,
    coordinator: { ...coordinatorFor(options, null), lastEpoch: used.epoch },
    slices: SubtaskMap.empty(),
    ending: null,
    stop: null,
    lastError: null,
    restarts: 0,
    regionRestarts: 0,
    restart: restartFor(spec.plan.settings.restart),
    failedAtMs: null,
    lastRecoveryMs: null,
    healed: 0,
    outcomes: [],
    poison: NO_POISON,
    recordsIn: 0,
    wished: null,
    rescaling: null,
  }
}

export function stepJob(state: JobState, event: JobEvent): JobStep {
  if (event.type === 'begin') return claim(state)
  // Reports of an attempt that is not current change nothing (PROTOCOL A4).
  if ('slice' in event && !isCurrent(state, event.slice)) return still(state)
  // The wish outlives attempts: whatever it is doing now, the job stops as soon as it runs.
  if (event.type === 'stop' && state.ending === null && state.phase !== 'ended')
    return still({ ...state, stop: { savepoint: event.savepoint } })
  if (event.type === 'rescale') return onRescale(state, event)
  // The arbiters' answers go to the coordinator in every phase: it alone knows what it asked.
  switch (event.type) {
    case 'stored':
      return after(drive(state, { type: 'stored', checkpoint: event.checkpoint, ref: event.ref }, event), event)
    case 'store-failed': {
      const { checkpoint, reason, now } = event
      return after(drive(state, { type: 'store-failed', checkpoint, reason, now }, event), event)
    }
    case 'publish-answered': {
      const { checkpoint, outcome, now, wallClock } = event
      return after(drive(state, { type: 'publish-answered', checkpoint, outcome, now, wallClock }, event), event)
    }
  }
  switch (state.phase) {
    case 'claiming':
      return onClaiming(state, event)
    case 'placing':
      return onPlacing(state, event)
    case 'deploying':
      return onDeploying(state, event)
    case 'recovering':
      return onRecovering(state, event)
    case 'running':
      return onRunning(state, event)
    case 'settling':
      return onSettling(state, event)
    case 'stopping':
      return onStopping(state, event)
    case 'backing-off':
      return onBackingOff(state, event)
    case 'ended':
      return still(state)
  }
}

/** When a tick does something that is worth a timer of its own, should nothing else be heard until then. Monotonic ms; null: nothing is. */
export function jobDueMs(state: JobState): number | null {
  if (state.phase === 'running') return coordinatorDueMs(state.coordinator)
  return state.phase === 'backing-off' ? state.untilMs : null
}

/** Everywhere but in `running` and `placing` the wish waits for the next attempt. */
function onRescale(state: JobState, event: Extract<JobEvent, { type: 'rescale' }>): JobStep {
  const { parallelism, highestParallelism, now, wallClock } = event
  if (state.phase === 'ended' || state.ending !== null) return still(state)
  if (state.wished === null && parallelism === parallelismOf(state.spec)) return still(state)
  const wished = { parallelism, highestParallelism, sinceMs: state.wished?.sinceMs ?? now }
  const next: JobState = { ...state, wished }
  if (next.phase === 'running') return after(drive(next, { type: 'drain', now, wallClock }, event), event)
  if (next.phase !== 'placing') return still(next)
  const placing = atWished(next)
  return { state: placing, effects: [requestSlots(placing)] }
}
