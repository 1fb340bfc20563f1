/** How a lane (`transaction.ts`) ends: aborted, fenced, broken, and in doubt about a commit that nobody confirmed. */
import { WeirError } from '@weir/model'
import { idOf, RETRY_BUDGET_MS, sending } from './transaction-moves.ts'
import { nameOf, type In, type LaneState, type LaneStep, type TransactionRequest } from './transaction-state.ts'
import type { ProducerIdentity } from './wire/apis.ts'

/** → over; by way of aborting, where something may be open */
export function abort(state: LaneState): LaneStep {
  switch (state.phase) {
    case 'uninitialised':
    case 'initialising':
    case 'ending':
    case 'doubtful':
    case 'over':
      return aborted(state)
    case 'renewing':
    case 'opening':
      return settle(state, state.identity)
    case 'ready':
      return state.last === null ? aborted(state) : settle(state, state.last)
    case 'settling':
      return settle(state, state.identity)
    case 'open':
    case 'prepared':
    case 'aborting':
    case 'broken':
    case 'fenced': {
      const { identity } = state
      if (identity === null) return aborted(state)
      return sending(
        { ...idOf(state), phase: 'aborting', identity, accepted: false },
        { api: 'EndTxn', identity, commit: false },
      )
    }
  }
}

const settle = (state: LaneState, identity: ProducerIdentity): LaneStep =>
  sending({ ...idOf(state), phase: 'settling', identity }, { api: 'EndTxn', identity, commit: true })

export const aborted = (state: LaneState): LaneStep => ({
  state: { ...idOf(state), phase: 'over' },
  effects: [{ type: 'aborted' }],
})

export const fenced = (state: LaneState, error: WeirError): LaneStep => ({
  state: { ...idOf(state), phase: 'fenced', identity: identityIn(state) },
  effects: [{ type: 'failed', error }],
})

export const broken = (state: LaneState, error: WeirError): LaneStep => ({
  state: { ...idOf(state), phase: 'broken', identity: state.phase === 'doubtful' ? null : identityIn(state) },
  effects: [{ type: 'failed', error }],
})

const identityIn = (state: LaneState): ProducerIdentity | null => ('identity' in state ? state.identity : null)

export const whatOf = ({ transactionalId }: LaneState, request: TransactionRequest): string =>
  request.api === 'Produce' ? `${transactionalId} → ${nameOf(request.place)}` : transactionalId

/** ending → doubtful */
export function describe(state: In<'ending'>, error: string, answer: boolean): LaneStep {
  const { identity } = state
  return sending({ ...state, phase: 'doubtful', error, answered: answer }, { api: 'DescribeTransactions', identity })
}

export function inDoubt(state: In<'doubtful'>, description = 'nothing'): LaneStep {
  const { sequence, transactionalId, error, answered: refusedByBroker } = state
  if (!refusedByBroker) return broken(state, unavailable('EndTxn', transactionalId, error, description))
  return broken(
    state,
    new WeirError(
      { code: 'COMMIT_REFUSED', kind: 'restart', sequence, transactionalId, error, coordinator: description },
      `the broker refused to commit transaction ${sequence} of ${transactionalId}: ${error} (the coordinator says ${description}); recovery reads from the log what became of it`,
    ),
  )
}

export const unavailable = (request: string, transactionalId: string, last: string, coordinator?: string): WeirError =>
  new WeirError(
    { code: 'KAFKA_UNAVAILABLE', kind: 'retry', request, transactionalId, last, ...(coordinator && { coordinator }) },
    `${request} of ${transactionalId} had no final answer for ${RETRY_BUDGET_MS} ms (last: ${last}${coordinator ? `; the coordinator says ${coordinator}` : ''}); check the brokers`,
  )

export const suspended = (transactionalId: string, byMs: number): WeirError =>
  new WeirError(
    { code: 'PROCESS_SUSPENDED', kind: 'restart', transactionalId, byMs },
    `this process stood still for ${Math.round(byMs)} ms while it took ${transactionalId} over: others may have it by now`,
  )
