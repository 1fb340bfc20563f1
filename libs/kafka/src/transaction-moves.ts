/** What every move of a lane (`transaction.ts`) is made of. */
import {
  UNTRIED,
  type LaneEffect,
  type LaneEvent,
  type LaneState,
  type LaneStep,
  type TransactionRequest,
} from './transaction-state.ts'

/** How long one request is repeated, ms. */
export const RETRY_BUDGET_MS = 60_000

export const stay = (state: LaneState): LaneStep => ({ state, effects: [] })
export const send = (request: TransactionRequest, tried = UNTRIED): LaneEffect => ({ type: 'send', request, tried })
export const sending = (state: LaneState, request: TransactionRequest): LaneStep => ({
  state,
  effects: [send(request)],
})

export function misplaced(state: LaneState, event: LaneEvent): never {
  throw new Error(`internal: ${event.type} while ${state.transactionalId} is ${state.phase}`)
}

export const idOf = ({ transactionalId, protocol }: LaneState): Pick<LaneState, 'transactionalId' | 'protocol'> => ({
  transactionalId,
  protocol,
})
