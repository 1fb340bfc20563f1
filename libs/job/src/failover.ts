/**
 * Region failover: a failure restarts the slices of the pipeline regions it hit (regions.ts), the others work on.
 *
 * ```
 *   running ─failure─▶ settling ─▶ stopping ─▶ backing-off ─▶ claiming ─▶ placing ─▶ deploying ─▶ recovering ─▶ running
 *                         │           what each step of a whole attempt does, for the slices that are away       │
 *                         └── any doubt, another failure, the deadline, a cancel: the whole attempt restarts ◀───┘
 * ```
 *
 * Why it is exactly once. Regions share no channel: each is a chain of its own, from its source splits through its state to the
 * transactions of its own ids, and each is cut by the same epochs. An epoch restored by one region undoes nothing that another
 * has done behind it. What they do share is which epoch is published, and one machine decides that:
 *
 * 1. *Settle first* (PROTOCOL A4). The coordinator is told that the slices have `left`. An epoch whose publish was not sent is
 *    dropped for good; one whose publish was sent is waited for. Only then a region may choose, and it chooses `published`.
 * 2. *The others keep what they have prepared* (A2). A dropped epoch aborts nothing of theirs; it travels on and is committed with
 *    the next one. It counts as given up, as their pools of ids are sized for (B3), and when they cannot carry one more, the whole
 *    attempt restarts. Nothing is triggered while slices are away, so there is never a second one.
 * 3. *Published and not final.* The others get their commit command; the away part is proven by its recovery, which ends, fences
 *    and heals before its sources run (A11, A15). Only both together make the epoch final, and the next one comes after that.
 * 4. *A fresh claim* before the deploy, and a new attempt number for who returns (A8). If the claim finds another epoch than the one
 *    that is known to be published, somebody has changed the truth under the others: the whole attempt restarts.
 * 5. *Reports count by slice* (A4): each slice is of the attempt it was deployed in, and a report of an older one changes nothing.
 *    Epochs go on to be named by the attempt that all slices began together: their numbers are unique anyway (A1), and no
 *    barrier travels between regions. (One that has channels inside would have to tell its gates that name; the planner makes
 *    none, since an exchange joins all.)
 * 6. *Time* (B1). Prepared output of the others waits meanwhile, and must not expire. The settings leave `recoveryBudgetMs` for one
 *    recovery behind the newest epoch: half of it is the deadline of a failover, the other half is left for the recovery that a
 *    crash of everything may need next. So there is one failover per published epoch; another failure restarts all.
 *
 * A failure while slices are away is part of the same disturbance and is not counted by the restart strategy again. A stop or a
 * rescale that is asked for meanwhile waits until they are back: its last epoch must hold the input of all.
 */
import { redistribute, sameManifest, type Manifest } from '@weir/checkpoint'
import type { Attempt, Subtask } from '@weir/model'
import { preparingSinks, unsettled, withOutcome } from './ledger.ts'
import {
  assignedTo,
  counted,
  drive,
  fail,
  lostFailure,
  loseTaskManager,
  noted,
  publishedEpoch,
  settle,
  sliceOf,
  still,
  withSlice,
} from './moves.ts'
import { regionsHit } from './regions.ts'
import { caredBy, parallelismOf, subtasksOf, targetOf } from './rescale.ts'
import {
  CLAIM_FRESH_MS,
  STOP_TIMEOUT_MS,
  type Failure,
  type JobEffect,
  type JobEvent,
  type JobState,
  type JobStep,
  type Slice,
  type Times,
} from './state.ts'
import { drainingFailure, slicesAt, unexpectedStop } from './states/deploying.ts'
import { notRecovered, recovered } from './states/recovering.ts'

export interface Failover {
  /** Away: every slice of the regions that were hit, in order. */
  readonly subtasks: readonly Subtask[]
  readonly failedAtMs: number
  /** Behind it the whole attempt restarts. */
  readonly deadlineMs: number
  readonly step: FailoverStep
}

export type FailoverStep =
  /** Waiting for the arbiters' answer to the publish of the epoch in flight. */
  | { readonly at: 'settling' }
  /** Waiting for the slices that still answer to stop. */
  | { readonly at: 'stopping'; readonly untilMs: number }
  /** Waiting for the restart delay. */
  | { readonly at: 'backing-off'; readonly untilMs: number }
  /** Waiting for the won compare-and-swap on head.json. */
  | { readonly at: 'claiming' }
  /** Waiting for slots. */
  | { readonly at: 'placing'; readonly claimedMs: number; readonly manifest: Manifest | null }
  /** Waiting until every slice that was away has loaded the bundle. */
  | { readonly at: 'deploying'; readonly manifest: Manifest | null }
  /** Waiting until every sink of theirs has resolved its handles and fenced its pool. */
  | { readonly at: 'recovering' }

type Running = Extract<JobState, { phase: 'running' }>
type FailingOver = Running & { readonly failover: Failover }
type Of<T extends JobEvent['type']> = Extract<JobEvent, { type: T }>

export const isFailingOver = (state: JobState): state is FailingOver =>
  state.phase === 'running' && state.failover !== null

// ---- a failure ------------------------------------------------------------------------------------------------------

/** Slices of a running job have failed: running → settling of their regions, or of the whole attempt. */
export function failRegions(
  state: Running,
  hit: readonly Subtask[],
  failure: Failure,
  times: Times,
  planned = false,
): JobStep {
  if (isFailingOver(state)) return restartAll(state, failure, times)
  const restart = counted(state, times, planned)
  const subtasks = regionsHit(state.spec.plan, hit)
  const deadlineMs = times.now + state.spec.plan.settings.recoveryBudgetMs / 2
  const mayDo =
    failure.kind !== 'invalid' &&
    restart.exhausted === null &&
    times.now + restart.delayMs < deadlineMs &&
    subtasks.length < parallelismOf(state.spec) &&
    othersCanGoOn(state)
  if (!mayDo) return fail(state, 'running', failure, times, restart)
  const slices = subtasks.reduce((all, s) => all.with(s, { ...all.get(s)!, inputEnded: false }), state.slices)
  const failover: Failover = { subtasks, failedAtMs: times.now, deadlineMs, step: { at: 'settling' } }
  const away: Running = { ...state, ...noted(state, failure), restart, slices, failover }
  const step = onSettled(drive(away, { type: 'left', subtasks, now: times.now }, times), times)
  return { state: step.state, effects: [{ type: 'region-failed', subtasks, reason: failure.message }, ...step.effects] }
}

/** Nothing else is under way that needs all slices, and what the others carry can wait. */
function othersCanGoOn(state: Running): boolean {
  const { coordinator, ending, stop, wished, rescaling, rejoinedAt } = state
  if (state.spec.plan.settings.failover === 'full') return false
  if (ending !== null || stop !== null || wished !== null || rescaling !== null) return false
  if (coordinator.breaker.phase !== 'closed') return false // what its trial leaves prepared has no room to wait (breaker.ts)
  if (coordinator.draining || ('last' in coordinator && coordinator.last)) return false
  if (rejoinedAt !== null && publishedEpoch(state) <= rejoinedAt) return false
  const drops = coordinator.phase === 'collecting' || coordinator.phase === 'storing'
  return !drops || coordinator.abortsInARow < coordinator.options.toleratedAborts
}

/** The disturbance has grown: what was counted for it is counted. */
const restartAll = (state: FailingOver, failure: Failure, times: Times): JobStep =>
  fail({ ...state, failedAtMs: state.failover.failedAtMs }, 'failing-over', failure, times, state.restart)

// ---- the way back ---------------------------------------------------------------------------------------------------

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

/** settling → stopping, when no publish waits for its answer */
export function onSettled(step: JobStep, times: Times): JobStep {
  const { state } = step
  if (!isFailingOver(state) || state.failover.step.at !== 'settling') return step
  if (state.coordinator.phase === 'publishing') return step // sent: wait (A3, A4)
  const next = stepTo(state, { at: 'stopping', untilMs: times.now + STOP_TIMEOUT_MS })
  const effects: JobEffect[] = slicesAway(state)
    .filter((s) => s.status !== 'gone')
    .map((s) => ({ type: 'stop', to: s.taskManagerId, slice: sliceOf(state, s.subtask), mode: 'leave' }))
  const after = onStopped(next, times)
  return { state: after.state, effects: [...step.effects, ...effects, ...after.effects] }
}

/** stopping → backing-off, once none of them is reachable any more */
function onStopped(state: FailingOver, { now }: Times): JobStep {
  if (state.failover.step.at !== 'stopping') return still(state)
  if (slicesAway(state).some((s) => s.status !== 'gone')) return still(state)
  return still(stepTo(state, { at: 'backing-off', untilMs: now + state.restart.delayMs }))
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

// ---- parts ----------------------------------------------------------------------------------------------------------

const stepTo = (state: FailingOver, step: FailoverStep): FailingOver => ({
  ...state,
  failover: { ...state.failover, step },
})

const slicesAway = ({ slices, failover }: FailingOver): readonly Slice[] => failover.subtasks.map((s) => slices.get(s)!)

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
