/** What an answer, or none, makes of a lane (`transaction.ts`): accepted, asked again, or an end. */
import { inFlightOf, inTheLog, joined, markerJoined, proceed } from './transaction-batches.ts'
import { aborted, broken, describe, fenced, inDoubt, unavailable, whatOf } from './transaction-ends.ts'
import { idOf, RETRY_BUDGET_MS, send, sending, stay } from './transaction-moves.ts'
import {
  nameOf,
  type Answer,
  type In,
  type LaneState,
  type LaneStep,
  type TransactionRequest,
  type Tried,
} from './transaction-state.ts'
import type { ProducerIdentity } from './wire/apis.ts'
import { errorName, refused, verdictOf } from './wire/errors.ts'

/** A topic that was just made, or whose leader just moved, is unknown for a moment; one that was deleted stays so. */
const UNKNOWN_TOPIC_BUDGET_MS = 5_000

/** Is this request one whose answer the phase waits for, under the epoch it has? */
export function isAwaited(state: LaneState, request: TransactionRequest): boolean {
  switch (state.phase) {
    case 'initialising':
      return request.api === 'InitProducerId' && request.current === null
    case 'renewing':
    case 'opening':
      return request.api === 'InitProducerId' && same(request.current, state.identity)
    case 'open':
      if (!('identity' in request) || !same(request.identity, state.identity)) return false
      if (request.api === 'AddOffsetsToTxn' || request.api === 'TxnOffsetCommit') return state.marking?.step === 'sent'
      if (request.api === 'Produce') return inFlightOf(state, request) !== undefined
      return request.api === 'AddPartitionsToTxn'
    case 'ending':
    case 'aborting':
    case 'settling':
      return request.api === 'EndTxn' && same(request.identity, state.identity)
    case 'doubtful':
      return request.api === 'DescribeTransactions' && same(request.identity, state.identity)
    default:
      return false
  }
}

const same = (a: ProducerIdentity | null, b: ProducerIdentity | null): boolean =>
  a?.producerId === b?.producerId && a?.producerEpoch === b?.producerEpoch

export function answered(state: LaneState, request: TransactionRequest, answer: Answer, tried: Tried): LaneStep {
  if (state.phase === 'doubtful') return inDoubt(state, answer.errorCode === 0 ? answer.description : undefined)
  switch (verdict(state, request, answer.errorCode)) {
    case 'done':
      return accepted(state, request, answer)
    case 'wait':
      return again(state, request, tried, errorName(answer.errorCode), RETRY_BUDGET_MS)
    case 'wait-briefly':
      if (tried.forMs < UNKNOWN_TOPIC_BUDGET_MS) return { state, effects: [send(request, tried)] }
      return broken(state, refused(request.api, answer.errorCode, whatOf(state, request)))
    case 'refused':
      if (state.phase === 'ending') return describe(state, errorName(answer.errorCode), true)
      if (state.phase === 'settling') return aborted(state)
      if (state.phase === 'aborting') return aborted(state) // there was nothing open under this epoch
      return fenced(state, refused(request.api, answer.errorCode, whatOf(state, request)))
    case 'restart':
    case 'invalid':
      return broken(state, refused(request.api, answer.errorCode, whatOf(state, request)))
  }
}

export function unanswered(state: LaneState, request: TransactionRequest, reason: string, tried: Tried): LaneStep {
  if (state.phase === 'doubtful') return inDoubt(state, undefined)
  return again(state, request, tried, reason, RETRY_BUDGET_MS)
}

/** The table of `errors.ts`, and where a request differs from it. */
function verdict(
  state: LaneState,
  request: TransactionRequest,
  errorCode: number,
): ReturnType<typeof verdictOf> | 'done' | 'wait-briefly' {
  if (errorCode === 0) return 'done'
  if (request.api === 'Produce' && state.phase === 'open') {
    const sent = inFlightOf(state, request)!
    const { inFlight, firstOffset } = state.partitions.get(nameOf(request.place))!
    // One before it got lost and is on its way again: this one follows.
    if (errorCode === 45 && inFlight[0]!.ordinal < sent.ordinal) return 'wait'
    // A repetition of what the log has already. Of the first batch its offset must be known.
    if (errorCode === 46 && firstOffset !== null) return 'done'
  }
  if (errorCode === 3 && (request.api === 'Produce' || request.api === 'AddPartitionsToTxn')) return 'wait-briefly'
  return verdictOf(errorCode)
}

function again(state: LaneState, request: TransactionRequest, tried: Tried, last: string, budgetMs: number): LaneStep {
  if (tried.forMs < budgetMs) return { state, effects: [send(request, tried)] }
  if (state.phase === 'ending') return describe(state, last, false)
  return broken(state, unavailable(request.api, state.transactionalId, last))
}

function accepted(state: LaneState, request: TransactionRequest, answer: Answer): LaneStep {
  switch (state.phase) {
    case 'initialising':
    case 'renewing': {
      const ready: LaneState = { ...idOf(state), phase: 'ready', identity: answer.identity!, last: null }
      return { state: ready, effects: state.phase === 'initialising' ? [{ type: 'initialised' }] : [] }
    }
    case 'opening':
      return proceed({ ...state, phase: 'open', identity: answer.identity! })
    case 'open':
      return inTransaction(state, request, answer)
    case 'ending':
      return committed(state, answer)
    case 'settling':
      return aborted(state)
    case 'aborting':
      return state.accepted ? aborted(state) : sending({ ...state, accepted: true }, request)
    default:
      return stay(state)
  }
}

function inTransaction(state: In<'open'>, request: TransactionRequest, answer: Answer): LaneStep {
  switch (request.api) {
    case 'Produce':
      return inTheLog(state, request, answer.baseOffset!)
    case 'AddOffsetsToTxn': {
      const { identity, marker } = request
      return { state, effects: [send({ api: 'TxnOffsetCommit', identity, marker })] }
    }
    case 'TxnOffsetCommit':
      return markerJoined(state)
    default:
      return joined(state, request)
  }
}

/** → ready under the epoch EndTxn answered, or → renewing, or → over */
function committed(state: In<'ending'>, answer: Answer): LaneStep {
  const identity = answer.identity ?? state.identity
  const effect = { type: 'committed' } as const
  if (state.restored) return { state: { ...idOf(state), phase: 'over' }, effects: [effect] }
  if (state.protocol === 'v2')
    return { state: { ...idOf(state), phase: 'ready', identity, last: state.identity }, effects: [effect] }
  const renew = send({ api: 'InitProducerId', current: identity })
  return { state: { ...idOf(state), phase: 'renewing', identity }, effects: [renew, effect] }
}
