/**
 * The life of a StreamContext, as a pure machine: what a subtask is doing, and how far its newest snapshot has come.
 *
 * ```
 *                lifecycle   snapshot
 * made           CREATED     NOT_STARTED
 * started        RUNNING     NOT_STARTED ◀─┐ given up, where none was committed before
 * barrier        RUNNING     IN_PROGRESS ──┤ given up, where one was
 * complete       RUNNING     COMMITTED  ◀──┘
 * closed         CLOSING     FINALIZED       effect: the final snapshot
 * ```
 *
 * Other pairs cannot be written down; a transition that is not in the table throws `CONTEXT_TRANSITION_ILLEGAL`. Late events
 * are no transitions: a barrier of an epoch that was given up or is decided is dropped (PROTOCOL A20).
 */
import { WeirError, unreachable, type CheckpointId, type Epoch } from '@weir/model'

/** A snapshot the context knows to be committed. */
export interface Barrier {
  readonly checkpoint: CheckpointId
  /** When it reached the subtask, ms since 1970. */
  readonly timestamp: number
}

export type ContextState =
  | { readonly lifecycle: 'CREATED'; readonly snapshot: 'NOT_STARTED' }
  | { readonly lifecycle: 'RUNNING'; readonly snapshot: 'NOT_STARTED'; readonly givenUp: Epoch | null }
  | {
      readonly lifecycle: 'RUNNING'
      readonly snapshot: 'IN_PROGRESS'
      readonly barrier: Barrier
      readonly committed: Barrier | null
      readonly givenUp: Epoch | null
    }
  | {
      readonly lifecycle: 'RUNNING'
      readonly snapshot: 'COMMITTED'
      readonly committed: Barrier
      readonly givenUp: Epoch | null
    }
  | {
      readonly lifecycle: 'CLOSING'
      readonly snapshot: 'FINALIZED'
      readonly committed: Barrier | null
      /** Decided by others: published or not, the next attempt will know. */
      readonly undecided: Barrier | null
    }

export type ContextEvent =
  | { readonly type: 'start' }
  /** Aligned in the first stage of the subtask, or in a further one. */
  | { readonly type: 'barrier'; readonly checkpoint: CheckpointId; readonly now: number }
  /** The epoch is published and the subtask's part of it committed. */
  | { readonly type: 'complete'; readonly epoch: Epoch }
  | { readonly type: 'give-up'; readonly epoch: Epoch }
  | { readonly type: 'close'; readonly now: number }

export type ContextEffect =
  /** Nothing has been processed since the last committed snapshot but what is lost with the attempt. */
  { readonly type: 'snapshot-final'; readonly timestamp: number }

export interface ContextStep {
  readonly state: ContextState
  readonly effects: readonly ContextEffect[]
}

export const CREATED: ContextState = { lifecycle: 'CREATED', snapshot: 'NOT_STARTED' }

const to = (state: ContextState, ...effects: ContextEffect[]): ContextStep => ({ state, effects })

/** Throws `CONTEXT_TRANSITION_ILLEGAL` (restart: the attempt cannot be trusted any more). */
export function stepContext(state: ContextState, event: ContextEvent): ContextStep {
  switch (event.type) {
    case 'start':
      if (state.lifecycle !== 'CREATED') throw illegal(state, event)
      return to({ lifecycle: 'RUNNING', snapshot: 'NOT_STARTED', givenUp: null })
    case 'barrier':
      return onBarrier(state, event)
    case 'complete':
      return onComplete(state, event)
    case 'give-up':
      return onGiveUp(state, event)
    case 'close':
      return onClose(state, event)
    default:
      return unreachable(event)
  }
}

/** NOT_STARTED | COMMITTED → IN_PROGRESS */
function onBarrier(state: ContextState, event: Extract<ContextEvent, { type: 'barrier' }>): ContextStep {
  if (state.lifecycle !== 'RUNNING') throw illegal(state, event)
  const { epoch } = event.checkpoint
  const decided = Math.max(state.givenUp ?? 0, committedOf(state)?.checkpoint.epoch ?? 0)
  if (epoch <= decided) return to(state)
  const { givenUp } = state
  const barrier: Barrier = { checkpoint: event.checkpoint, timestamp: event.now }
  if (state.snapshot !== 'IN_PROGRESS') {
    return to({ lifecycle: 'RUNNING', snapshot: 'IN_PROGRESS', barrier, committed: committedOf(state), givenUp })
  }
  const open = state.barrier.checkpoint.epoch
  if (epoch === open) return to(state)
  if (epoch < open) throw illegal(state, event)
  // n + 1 is triggered only when n is final or given up, and giving up is told. (Who had no part in its commit is not told of it.)
  return to({ lifecycle: 'RUNNING', snapshot: 'IN_PROGRESS', barrier, committed: state.barrier, givenUp })
}

/** IN_PROGRESS → COMMITTED */
function onComplete(state: ContextState, event: Extract<ContextEvent, { type: 'complete' }>): ContextStep {
  if (state.lifecycle !== 'RUNNING') throw illegal(state, event)
  if (state.snapshot === 'IN_PROGRESS' && state.barrier.checkpoint.epoch === event.epoch) {
    return to({ lifecycle: 'RUNNING', snapshot: 'COMMITTED', committed: state.barrier, givenUp: state.givenUp })
  }
  if (committedOf(state)?.checkpoint.epoch === event.epoch) return to(state)
  throw illegal(state, event)
}

/** IN_PROGRESS → what it was before */
function onGiveUp(state: ContextState, event: Extract<ContextEvent, { type: 'give-up' }>): ContextStep {
  if (state.lifecycle === 'CREATED') return to(state) // triggered while the channels were opened: no barrier has come
  if (state.lifecycle !== 'RUNNING') throw illegal(state, event)
  const committed = committedOf(state)
  if (committed !== null && event.epoch <= committed.checkpoint.epoch) throw illegal(state, event)
  const givenUp = Math.max(state.givenUp ?? 0, event.epoch) as Epoch
  if (state.snapshot === 'IN_PROGRESS' && state.barrier.checkpoint.epoch > event.epoch) return to({ ...state, givenUp })
  return committed === null
    ? to({ lifecycle: 'RUNNING', snapshot: 'NOT_STARTED', givenUp })
    : to({ lifecycle: 'RUNNING', snapshot: 'COMMITTED', committed, givenUp })
}

/** → CLOSING, FINALIZED: whatever runs, the final snapshot is taken. What was only created has nothing to take. */
function onClose(state: ContextState, event: Extract<ContextEvent, { type: 'close' }>): ContextStep {
  if (state.lifecycle === 'CLOSING') throw illegal(state, event)
  if (state.lifecycle === 'CREATED') {
    return to({ lifecycle: 'CLOSING', snapshot: 'FINALIZED', committed: null, undecided: null })
  }
  const undecided = state.snapshot === 'IN_PROGRESS' ? state.barrier : null
  const closed: ContextState = { lifecycle: 'CLOSING', snapshot: 'FINALIZED', committed: committedOf(state), undecided }
  return to(closed, { type: 'snapshot-final', timestamp: event.now })
}

const committedOf = (state: ContextState): Barrier | null => ('committed' in state ? state.committed : null)

const illegal = ({ lifecycle, snapshot }: ContextState, event: ContextEvent): WeirError =>
  new WeirError(
    { code: 'CONTEXT_TRANSITION_ILLEGAL', kind: 'restart', lifecycle, snapshot, event },
    `a context that is ${lifecycle} with its snapshot ${snapshot} cannot take "${event.type}": the attempt ends and is restarted`,
  )
