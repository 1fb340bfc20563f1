/**
 * Region failover: a failure restarts the slices of the pipeline regions it hit (regions.ts), the others work on. The way back
 * is in states/failing-over.ts.
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
import type { Manifest } from '@weir/checkpoint'
import type { Subtask } from '@weir/model'
import { counted, drive, fail, noted, publishedEpoch, sliceOf, still } from './moves.ts'
import { regionsHit } from './regions.ts'
import { parallelismOf } from './rescale.ts'
import {
  STOP_TIMEOUT_MS,
  type Failure,
  type JobEffect,
  type JobState,
  type JobStep,
  type Slice,
  type Times,
} from './state.ts'

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

export type Running = Extract<JobState, { phase: 'running' }>
export type FailingOver = Running & { readonly failover: Failover }

export const isFailingOver = (state: JobState): state is FailingOver =>
  state.phase === 'running' && state.failover !== null

// ---- a failure ------------------------------------------------------------------------------------------------------

/** Slices of a running job have failed: running → settling of their regions, or of the whole attempt. */
export function failRegions(
  state: Running,
  hit: readonly Subtask[],
  failure: Failure,
  times: Times,
  planned?: boolean,
): JobStep {
  if (isFailingOver(state)) return restartAll(state, failure, times)
  const restart = counted(state, times, failure, planned)
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
export const restartAll = (state: FailingOver, failure: Failure, times: Times): JobStep =>
  fail({ ...state, failedAtMs: state.failover.failedAtMs }, 'failing-over', failure, times, state.restart)

// ---- the way out ---------------------------------------------------------------------------------------------------

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
export function onStopped(state: FailingOver, { now }: Times): JobStep {
  if (state.failover.step.at !== 'stopping') return still(state)
  if (slicesAway(state).some((s) => s.status !== 'gone')) return still(state)
  return still(stepTo(state, { at: 'backing-off', untilMs: now + state.restart.delayMs }))
}

// ---- parts ----------------------------------------------------------------------------------------------------------

export const stepTo = (state: FailingOver, step: FailoverStep): FailingOver => ({
  ...state,
  failover: { ...state.failover, step },
})

export const slicesAway = ({ slices, failover }: FailingOver): readonly Slice[] =>
  failover.subtasks.map((s) => slices.get(s)!)
