/**
 * The checkpoint coordinator of one job in one generation, as a pure machine. It decides when an epoch is triggered,
 * published, committed and final, and — because one machine must decide both (PROTOCOL A4) — when a restart may choose
 * the epoch it restores.
 *
 * ```
 *            started                 trigger                all acks            stored            published
 * suspended ───────▶ idle ─────────────────▶ collecting ─────────▶ storing ─────────▶ publishing ─────────▶ committing ─┐
 *     ▲                ▲   give up (timeout, decline, store failed): no transaction is aborted   │ unknown: send again   │
 *     │                ├────────────────────────────┴───────────────┘                            ▼ superseded: step down  │
 *     │                └──────────────────────────────── every commit confirmed: final ◀─────────────────────────────────┘
 *     └── suspend: not sent → the epoch is dropped for good; sent → the suspension waits for the answer (A3, A4)
 * ```
 *
 * Slices that have `left` while the others work on close the epoch in flight by the same rule. Nothing is triggered until they
 * have `returned`; one that is being committed is final when the others have committed their part and the recovery of these
 * has proven theirs.
 *
 * Invariants: n + 1 is triggered only when n is final or given up, so it is never published before n is final.
 * Epoch numbers only grow. A manifest takes acks of the current attempt only (A4). Time is `now`, monotonic ms.
 * Who keeps failing is asked less often, and always in an attempt of its own: breaker.ts.
 */
import { assert, sameAttempt, sameCheckpoint, SubtaskMap, type Epoch, type Subtask } from '@weir/model'
import { closedBreaker, pauseMs, stepBreaker, type BreakerEvent, type BreakerState } from './breaker.ts'
import { PLAIN_CUT, chooseCut, observeReach, type Cut } from './cut.ts'
import type { Manifest, ManifestRef } from './manifest.ts'
import { permitFor } from './permit.ts'
import type {
  CoordinatorEffect,
  CoordinatorEvent,
  CoordinatorOptions,
  CoordinatorState,
  CoordinatorStep,
  GiveUpReason,
} from './coordinator-state.ts'

/**
 * @param published what the claim found: the highest published epoch over both arbiters.
 * @param breaker as an earlier attempt of the term has left it
 */
export function coordinatorFor(
  options: CoordinatorOptions,
  published: ManifestRef | null,
  breaker: BreakerState = closedBreaker,
): CoordinatorState {
  return {
    phase: 'suspended',
    options,
    attempt: null,
    published,
    final: 0 as Epoch,
    finalAt: null,
    lastEpoch: (published?.epoch ?? 0) as Epoch,
    abortsInARow: 0,
    breaker,
    closing: false,
    away: SubtaskMap.empty(),
    draining: false,
    asked: false,
    awaited: false,
    recordsIn: 0,
    sources: SubtaskMap.empty(),
  }
}

export function stepCoordinator(state: CoordinatorState, event: CoordinatorEvent): CoordinatorStep {
  switch (event.type) {
    case 'started':
      return onStarted(state, event)
    case 'tick':
      return onTick(state, event)
    case 'progress':
      return onProgress(state, event)
    case 'ack':
      return onAck(state, event)
    case 'declined':
      if (state.phase !== 'collecting' || !sameCheckpoint(state.checkpoint, event.checkpoint)) return still(state)
      return giveUp(state, 'declined', `slice ${event.subtask}: ${event.reason}`, event.now)
    case 'stored':
      if (state.phase !== 'storing' || !sameCheckpoint(state.checkpoint, event.checkpoint)) return still(state)
      return {
        state: { ...state, phase: 'publishing', ref: event.ref, unknowns: 0 },
        effects: [{ type: 'publish', checkpoint: event.checkpoint, ref: event.ref, again: 0 }],
      }
    case 'store-failed':
      if (state.phase !== 'storing' || !sameCheckpoint(state.checkpoint, event.checkpoint)) return still(state)
      return giveUp(state, 'store-failed', event.reason, event.now)
    case 'publish-answered':
      return onPublishAnswered(state, event)
    case 'committed':
      return onCommitted(state, event)
    case 'suspend':
      return onSuspend(state)
    case 'left':
      return onLeft(state, event)
    case 'returned':
      return onReturned(state, event)
    case 'drain':
      return onTick({ ...state, draining: true }, event)
    case 'ask':
      return onTick({ ...state, asked: true }, event)
  }
}

/** suspended → idle */
function onStarted(state: CoordinatorState, event: Extract<CoordinatorEvent, { type: 'started' }>): CoordinatorStep {
  assert(state.phase === 'suspended', `attempt ${event.attempt} started while ${state.phase}`)
  const { breaker, told } = turned(state, { type: 'started', now: event.now })
  const next: CoordinatorState = {
    ...state,
    phase: 'idle',
    attempt: event.attempt,
    closing: false,
    draining: false,
    awaited: event.awaited ?? false,
    abortsInARow: 0,
    breaker,
    sources: SubtaskMap.empty(),
    // Recovery has ended and proven every handle of the restored epoch: it is final.
    final: state.published?.epoch ?? state.final,
    finalAt: state.published === null ? state.finalAt : event.wallClock,
    sinceMs: event.now,
    beganMs: event.now,
    recordsAtStart: state.recordsIn,
  }
  return { state: next, effects: told }
}

/** Who is awaited does not wait for the next tick either. */
function onProgress(state: CoordinatorState, event: Extract<CoordinatorEvent, { type: 'progress' }>): CoordinatorStep {
  const told = { ...withReach(state, event), recordsIn: Math.max(state.recordsIn, event.recordsIn) }
  return told.awaited ? onTick(told, event) : still(told)
}

/** idle → collecting, or collecting → idle (timeout) */
function onTick(state: CoordinatorState, event: { readonly now: number; readonly wallClock: number }): CoordinatorStep {
  const { options } = state
  const dueMs = coordinatorDueMs(state)
  if (dueMs === null || event.now < dueMs) return still(state)
  if (state.phase === 'collecting')
    return giveUp(state, 'timeout', `no ack within ${options.alignTimeoutMs} ms`, event.now)
  assert(state.phase === 'idle' && state.attempt !== null, `due while ${state.phase}`)
  const epoch = (state.lastEpoch + 1) as Epoch
  const checkpoint = { generation: options.generation, epoch, attempt: state.attempt }
  const { breaker, told } = turned(state, { type: 'triggered' })
  const cut = cutOf(state)
  return {
    state: {
      ...state,
      phase: 'collecting',
      breaker,
      lastEpoch: epoch,
      checkpoint,
      triggeredMs: event.now,
      triggeredAt: event.wallClock,
      last: state.draining,
      cut,
      asked: false,
      awaited: false,
      acks: SubtaskMap.empty(),
      missing: SubtaskMap.filled(options.parallelism, () => true),
    },
    effects: [...told, { type: 'trigger', checkpoint, last: state.draining, cut }],
  }
}

/**
 * When a tick does something, should nothing else be heard until then: a trigger is due, or an epoch is given up. Monotonic ms; null: no
 * time is waited for.
 */
export function coordinatorDueMs(state: CoordinatorState): number | null {
  const { options, breaker } = state
  if (state.phase === 'collecting') return state.triggeredMs + options.alignTimeoutMs
  if (state.phase !== 'idle' || state.closing || state.away.size > 0) return null
  const { sinceMs, beganMs, draining, asked, recordsIn, recordsAtStart } = state
  const { intervalMs, everyRecords } = options
  const pausedMs = sinceMs + options.minPauseMs
  // Between two attempts to drain the sources go on: an epoch that was given up has let them (PROTOCOL B6).
  if ((draining || asked) && state.abortsInARow === 0) return sinceMs
  const isFull = everyRecords !== null && recordsIn - recordsAtStart >= everyRecords
  const dueMs = Math.min(
    Math.max(beganMs + intervalMs, Math.min(pausedMs, sinceMs + intervalMs)),
    draining || asked || isFull ? pausedMs : Number.POSITIVE_INFINITY,
    state.awaited && recordsIn > recordsAtStart ? sinceMs : Number.POSITIVE_INFINITY,
  )
  // An open circuit lets through what somebody waits for; anything else comes when its pause is over.
  if (breaker.phase !== 'open' || breaker.untilMs === null || draining || asked) return dueMs
  return Math.max(dueMs, breaker.untilMs)
}

/** collecting → storing with the last ack */
function onAck(state: CoordinatorState, event: Extract<CoordinatorEvent, { type: 'ack' }>): CoordinatorStep {
  if (state.phase !== 'collecting' || !sameCheckpoint(state.checkpoint, event.checkpoint)) return still(state)
  const { subtask } = event.snapshot
  if (!state.missing.has(subtask)) return still(state)
  const acks = state.acks.with(subtask, event.snapshot)
  const missing = state.missing.without(subtask)
  if (missing.size > 0) return still({ ...state, acks, missing })
  const { options, checkpoint, published } = state
  const manifest: Manifest = {
    formatVersion: 1,
    jobId: options.jobId,
    epoch: checkpoint.epoch,
    generation: checkpoint.generation,
    attempt: checkpoint.attempt,
    parentEpoch: published?.epoch ?? (0 as Epoch),
    parentDigest: published?.digest ?? null,
    parentKey: published?.key ?? null,
    graphHash: options.graphHash,
    parallelism: options.parallelism,
    maxParallelism: options.maxParallelism,
    triggeredAt: state.triggeredAt,
    lastCommittedAt: state.finalAt,
    ...(state.cut.mode === 'watermark' && { cut: { time: state.cut.time } }),
    subtasks: [...acks.values()],
  }
  return {
    state: {
      ...common(state),
      phase: 'storing',
      checkpoint,
      triggeredMs: state.triggeredMs,
      last: state.last,
      manifest,
    },
    effects: [{ type: 'write-manifest', checkpoint, manifest }],
  }
}

/** publishing → committing | publishing again | stepped down */
function onPublishAnswered(
  state: CoordinatorState,
  event: Extract<CoordinatorEvent, { type: 'publish-answered' }>,
): CoordinatorStep {
  if (state.phase !== 'publishing' || !sameCheckpoint(state.checkpoint, event.checkpoint)) return still(state)
  const { outcome } = event
  switch (outcome.kind) {
    case 'unknown': {
      const unknowns = state.unknowns + 1
      return {
        state: { ...state, unknowns },
        // The same manifest, whatever else has happened meanwhile: nothing about the job may be decided before (A3).
        effects: [{ type: 'publish', checkpoint: state.checkpoint, ref: state.ref, again: unknowns }],
      }
    }
    case 'superseded':
      return { state, effects: [{ type: 'step-down', reason: outcome.reason }] }
    case 'published': {
      const permit = permitFor(outcome.published)
      const { ref, manifest, checkpoint, triggeredMs, last } = state
      const upTo = new Map<Subtask, Readonly<Record<string, number>>>()
      for (const slice of manifest.subtasks) {
        const due = Object.entries(slice.sinks).filter(([, sink]) => sink.handles.length > 0)
        if (due.length > 0)
          upTo.set(slice.subtask, Object.fromEntries(due.map(([uid, s]) => [uid, lastSequence(s.handles)])))
      }
      const { breaker, told } = turned(state, { type: 'published' })
      const published = { ...common(state), published: ref, abortsInARow: 0, breaker }
      const announced = [{ type: 'published' as const, ref, durationMs: event.now - triggeredMs }, ...told]
      if (state.closing) {
        // The attempt is being given up: recovery of exactly this epoch ends its transactions.
        const step = suspended({ ...published, phase: 'suspended' })
        return { state: step.state, effects: [...announced, ...step.effects] }
      }
      const committing: CoordinatorState = {
        ...published,
        phase: 'committing',
        checkpoint,
        triggeredMs,
        last,
        permit,
        missing: SubtaskMap.from([...upTo.keys()].map((subtask) => [subtask, true])),
      }
      if (upTo.size === 0) {
        const step = finalise(committing, event.now, event.wallClock)
        return { state: step.state, effects: [...announced, ...step.effects] }
      }
      const here = new Map([...upTo].filter(([subtask]) => !state.away.has(subtask)))
      return {
        state: committing,
        // Published before commit: a commit of an epoch that could still be disowned would be output nobody replays.
        effects: [...announced, { type: 'commit', permit, attempt: checkpoint.attempt, upTo: here }],
      }
    }
  }
}

/** committing → idle (final) */
function onCommitted(
  state: CoordinatorState,
  event: Extract<CoordinatorEvent, { type: 'committed' }>,
): CoordinatorStep {
  if (state.phase !== 'committing' || event.epoch !== state.checkpoint.epoch) return still(state)
  if (!sameAttempt(event.attempt, state.checkpoint)) return still(state)
  const missing = state.missing.without(event.subtask)
  if (missing.size > 0) return still({ ...state, missing })
  return finalise({ ...state, missing }, event.now, event.wallClock)
}

function finalise(state: CoordinatorState, now: number, wallClock: number): CoordinatorStep {
  assert(state.phase === 'committing', `final while ${state.phase}`)
  const effects: CoordinatorEffect[] = [
    { type: 'final', epoch: state.checkpoint.epoch, durationMs: now - state.triggeredMs },
  ]
  const final = state.checkpoint.epoch
  // From trigger to trigger: how long an epoch took is not in the interval, else output would wait for both.
  const next: CoordinatorState = { ...idle(state, now, state.triggeredMs), final, finalAt: wallClock }
  if (state.last) effects.push({ type: 'drained' })
  return { state: next, effects }
}

/** → suspended: at once, or when the arbiters have answered */
function onSuspend(state: CoordinatorState): CoordinatorStep {
  switch (state.phase) {
    case 'publishing':
      return still({ ...state, closing: true }) // sent: wait (A3, A4)
    case 'collecting':
    case 'storing': {
      const step = suspended({ ...state, phase: 'suspended' })
      return { state: step.state, effects: [dropped(state, 'the attempt ends'), ...step.effects] }
    }
    case 'idle':
    case 'committing':
    case 'suspended':
      return suspended({ ...state, phase: 'suspended' })
  }
}

/** Not because it failed: that says nothing about checkpoints. */
const dropped = (
  state: Extract<CoordinatorState, { phase: 'collecting' | 'storing' }>,
  detail: string,
): CoordinatorEffect => ({
  type: 'give-up',
  checkpoint: state.checkpoint,
  reason: 'suspended',
  detail,
  waitingFor: state.phase === 'collecting' ? [...state.missing.keys()] : [],
  afterMs: 0,
})

/** collecting | storing → idle: its handles stay prepared and count as those of any epoch given up; else the phase stays */
function onLeft(state: CoordinatorState, event: Extract<CoordinatorEvent, { type: 'left' }>): CoordinatorStep {
  const away = event.subtasks.reduce((left, subtask) => left.with(subtask, true), state.away)
  if (state.phase !== 'collecting' && state.phase !== 'storing') return still({ ...state, away })
  return {
    state: { ...idle(state, event.now), abortsInARow: state.abortsInARow + 1, away },
    effects: [dropped(state, `slices ${event.subtasks.join(', ')} restart`)],
  }
}

/** committing → idle (final) where nobody else is waited for */
function onReturned(state: CoordinatorState, event: Extract<CoordinatorEvent, { type: 'returned' }>): CoordinatorStep {
  const back = { ...state, away: SubtaskMap.empty<true>() }
  if (back.phase !== 'committing') return still(back)
  const missing = [...state.away.keys()].reduce((left, subtask) => left.without(subtask), back.missing)
  if (missing.size > 0) return still({ ...back, missing })
  return finalise({ ...back, missing }, event.now, event.wallClock)
}

function suspended(state: CoordinatorState): CoordinatorStep {
  const over = { attempt: null, closing: false, away: SubtaskMap.empty<true>(), draining: false }
  return {
    state: { ...common(state), ...over, phase: 'suspended' },
    effects: [{ type: 'suspended', restore: state.published }],
  }
}

/** collecting | storing → idle; the handles stay prepared and travel on (A2) */
function giveUp(state: CoordinatorState, reason: GiveUpReason, detail: string, now: number): CoordinatorStep {
  assert(state.phase === 'collecting' || state.phase === 'storing', `gave up while ${state.phase}`)
  const abortsInARow = state.abortsInARow + 1
  const { breaker, told } = turned(state, { type: 'given-up' })
  const effects: CoordinatorEffect[] = [
    {
      type: 'give-up',
      checkpoint: state.checkpoint,
      reason,
      detail,
      waitingFor: state.phase === 'collecting' ? [...state.missing.keys()] : [],
      afterMs: now - state.triggeredMs,
    },
    ...told,
  ]
  if (abortsInARow > state.options.toleratedAborts) {
    effects.push({
      type: 'attempt-failed',
      reason: `${abortsInARow} checkpoints in a row were given up (tolerated: ${state.options.toleratedAborts}); last: ${reason}, ${detail}`,
    })
  } else if (breaker.phase === 'open') {
    effects.push({
      type: 'attempt-failed',
      reason: `${breaker.failures} checkpoints in a row were given up: the circuit is open; last: ${reason}, ${detail}`,
    })
  }
  return { state: { ...idle(state, now), abortsInARow, breaker }, effects }
}

/** The breaker after an event, and what there is to tell of it. */
function turned({ breaker: before, options }: CoordinatorState, event: BreakerEvent) {
  const settings = { ...options.circuit, intervalMs: options.intervalMs }
  const breaker = stepBreaker(before, event, settings)
  const pause = breaker.phase === 'closed' ? 0 : pauseMs(breaker, settings)
  const changed = breaker.phase !== before.phase || (breaker.phase === 'open' && event.type === 'started')
  const told: CoordinatorEffect[] = changed ? [{ type: 'circuit', breaker, pauseMs: pause }] : []
  return { breaker, told }
}

const idle = (state: CoordinatorState, now: number, beganMs = now): CoordinatorState => ({
  ...common(state),
  phase: 'idle',
  sinceMs: now,
  beganMs,
  recordsAtStart: state.recordsIn,
})

/** The fields of every phase, without the payload of the present one. */
const common = (s: CoordinatorState) => ({
  options: s.options,
  attempt: s.attempt,
  published: s.published,
  final: s.final,
  finalAt: s.finalAt,
  lastEpoch: s.lastEpoch,
  abortsInARow: s.abortsInARow,
  breaker: s.breaker,
  closing: s.closing,
  away: s.away,
  draining: s.draining,
  asked: s.asked,
  awaited: s.awaited,
  recordsIn: s.recordsIn,
  sources: s.sources,
})

function cutOf({ options, draining, breaker, sources }: CoordinatorState): Cut {
  if (options.cutBoundMs === null) return PLAIN_CUT
  if (draining) return { mode: 'barrier', why: 'the sources stop at this barrier' }
  // Sources that do not come to T must not keep the job from ever publishing anything (B2).
  if (breaker.phase !== 'closed') return { mode: 'barrier', why: 'the circuit is open, and nobody is to be waited for' }
  return chooseCut(sources.values(), options.cutBoundMs)
}

function withReach(
  state: CoordinatorState,
  { source, now }: Extract<CoordinatorEvent, { type: 'progress' }>,
): CoordinatorState {
  if (source === undefined || state.options.cutBoundMs === null) return state
  const { subtask, reach } = source
  if (reach === null) return { ...state, sources: state.sources.without(subtask) }
  return { ...state, sources: state.sources.with(subtask, observeReach(state.sources.get(subtask), reach, now)) }
}

const lastSequence = (handles: readonly { readonly sequence: number }[]): number =>
  handles[handles.length - 1]!.sequence
const still = (state: CoordinatorState): CoordinatorStep => ({ state, effects: [] })
