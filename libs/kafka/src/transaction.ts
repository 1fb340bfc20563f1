/**
 * The client side of one transactional id, a *lane*, as a pure machine: no I/O, no clock. The driver (`lane.ts`) sends
 * what it is told and reports what was answered.
 *
 * ```
 * uninitialised ─fence─▶ initialising ─▶ ready ─append─▶ open ─mark─▶ marking ─▶ prepared ─commit─▶ ending ─▶ ready (v2)
 *                                          ▲               ▲                                           ├─▶ renewing (v1)
 *                        renewing ─────────┘               │                                           └─▶ doubtful ─▶ broken
 *                           └─────append─────▶ opening ────┘
 * abort: aborting or settling ─▶ over
 * ```
 * and from everywhere to `fenced` (the epoch in hand is not the current one) or `broken` (told why; only abort is left).
 *
 * Two protocols, chosen by the brokers' finalized `transaction.version`. What both guarantee: **a transaction has an
 * epoch of its own.** So no request that was delayed on its way can reach into the next transaction, and a stored handle
 * names one transaction and never the next one of its id.
 *
 * - `v2` (KIP-890): Produce adds the partition, TxnOffsetCommit adds the group, and EndTxn answers with the next epoch, or
 *   on overflow with a new producer id: always that, never epoch + 1 (PROTOCOL C7).
 * - `v1`: partitions and group are added by requests of their own, and the epoch is renewed by hand: InitProducerId with
 *   the *current* id and epoch (PROTOCOL A12), at once behind EndTxn. At once, since that request is dangerous in the
 *   hands of a zombie: a stale epoch is refused with 90, and yet the broker aborts what the successor has open
 *   (`transaction-table.kafka.test.ts`). All other requests compare the epoch first; aborting is EndTxn for that reason.
 *
 * No answer, and answers that mean "later", are repeated with the same bytes and prove nothing (PROTOCOL C8): the broker
 * knows a repeated batch by its sequence and a repeated EndTxn by its epoch.
 */
import { WeirError } from '@weir/model'
import type { ProducerIdentity, Protocol } from './wire/apis.ts'
import { errorName, refused, verdictOf } from './wire/errors.ts'
import {
  type Answer,
  type In,
  type LaneEffect,
  type LaneEvent,
  type LaneState,
  type LaneStep,
  type Marker,
  type PartitionState,
  type Partitions,
  type SentBatch,
  type TransactionRequest,
  type Tried,
  UNTRIED,
  nameOf,
} from './transaction-state.ts'

/** How long one request is repeated, ms. */
export const RETRY_BUDGET_MS = 60_000
/** A topic that was just made, or whose leader just moved, is unknown for a moment; one that was deleted stays so. */
const UNKNOWN_TOPIC_BUDGET_MS = 5_000
/** Batches of one partition from the oldest unacknowledged to the newest sent: the broker knows the last five again. */
export const IN_FLIGHT_PER_PARTITION = 4

// ---- beginnings -----------------------------------------------------------------------------------------------------

export const newLane = (transactionalId: string, protocol: Protocol): LaneState => ({
  transactionalId,
  protocol,
  phase: 'uninitialised',
})

/** A transaction that another process has prepared. */
export const preparedLane = (
  transactionalId: string,
  protocol: Protocol,
  identity: ProducerIdentity,
  sequence: number,
): LaneState => ({ transactionalId, protocol, phase: 'prepared', identity, sequence, restored: true })

// ---- the machine ----------------------------------------------------------------------------------------------------

/** Throws on a command that does not fit the phase; answers that come too late are ignored. */
export function step(state: LaneState, event: LaneEvent): LaneStep {
  switch (event.type) {
    case 'fence':
      return sending({ ...idOf(state), phase: 'initialising' }, { api: 'InitProducerId', current: null })
    case 'abort':
      return abort(state)
    case 'append':
      return append(state, event)
    case 'flush':
      return flush(state, event)
    case 'mark':
      return mark(state, event.marker)
    case 'commit':
      if (state.phase !== 'prepared') return misplaced(state, event)
      return sending({ ...state, phase: 'ending' }, { api: 'EndTxn', identity: state.identity, commit: true })
    case 'answered':
    case 'unanswered':
      if (!isAwaited(state, event.request)) return stay(state)
      return event.type === 'answered'
        ? answered(state, event.request, event.answer, event.tried)
        : unanswered(state, event.request, event.reason, event.tried)
  }
}

const stay = (state: LaneState): LaneStep => ({ state, effects: [] })
const send = (request: TransactionRequest, tried = UNTRIED): LaneEffect => ({ type: 'send', request, tried })
const sending = (state: LaneState, request: TransactionRequest): LaneStep => ({ state, effects: [send(request)] })

function misplaced(state: LaneState, event: LaneEvent): never {
  throw new Error(`internal: ${event.type} while ${state.transactionalId} is ${state.phase}`)
}

const idOf = ({ transactionalId, protocol }: LaneState): Pick<LaneState, 'transactionalId' | 'protocol'> => ({
  transactionalId,
  protocol,
})

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

/** → over; by way of aborting, where something may be open */
function abort(state: LaneState): LaneStep {
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
    case 'marking':
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

const aborted = (state: LaneState): LaneStep => ({
  state: { ...idOf(state), phase: 'over' },
  effects: [{ type: 'aborted' }],
})

/** ready → open; renewing → opening */
function append(state: LaneState, event: Extract<LaneEvent, { type: 'append' }>): LaneStep {
  switch (state.phase) {
    case 'ready':
    case 'renewing': {
      const { identity, protocol } = state
      const partitions = queued(new Map(), protocol, event)
      const phase = state.phase === 'ready' ? 'open' : 'opening'
      return proceed({ ...idOf(state), phase, identity, partitions, flushing: false })
    }
    case 'opening':
    case 'open':
      if (state.flushing) return misplaced(state, event)
      return proceed({ ...state, partitions: queued(state.partitions, state.protocol, event) })
    default:
      return misplaced(state, event)
  }
}

/** Without a batch, for a transaction of offsets alone: ready → open, renewing → opening */
function flush(state: LaneState, event: LaneEvent): LaneStep {
  switch (state.phase) {
    case 'ready':
    case 'renewing': {
      const phase = state.phase === 'ready' ? 'open' : 'opening'
      return proceed({ ...idOf(state), phase, identity: state.identity, partitions: new Map(), flushing: true })
    }
    case 'opening':
    case 'open':
      return proceed({ ...state, flushing: true })
    default:
      return misplaced(state, event)
  }
}

function queued(
  partitions: Partitions,
  protocol: Protocol,
  { place, batch, records }: Extract<LaneEvent, { type: 'append' }>,
): Partitions {
  const name = nameOf(place)
  const known: PartitionState = partitions.get(name) ?? {
    place,
    membership: protocol === 'v1' ? 'outside' : 'member',
    nextSequence: 0,
    nextOrdinal: 0,
    waiting: [],
    inFlight: [],
    firstOffset: null,
  }
  return new Map(partitions).set(name, { ...known, waiting: [...known.waiting, { batch, records }] })
}

/** Sends whatever may be sent now. */
function proceed(state: In<'opening' | 'open'>): LaneStep {
  if (state.phase === 'opening') return stay(state)
  const { identity } = state
  const effects: LaneEffect[] = []
  const partitions = new Map(state.partitions)
  const all = [...partitions.values()]

  const outside = all.filter((p) => p.membership === 'outside')
  if (outside.length > 0 && !all.some((p) => p.membership === 'asked')) {
    for (const p of outside) partitions.set(nameOf(p.place), { ...p, membership: 'asked' })
    effects.push(send({ api: 'AddPartitionsToTxn', identity, places: outside.map((p) => p.place) }))
  }
  for (const p of all) {
    if (p.membership !== 'member' || p.waiting.length === 0) continue
    const sent = within(p, identity)
    partitions.set(nameOf(p.place), sent.partition)
    effects.push(...sent.effects)
  }
  if (!state.flushing || !isQuiet(partitions)) return { state: { ...state, partitions }, effects }
  const firstOffsets = Object.fromEntries(all.map((p) => [nameOf(p.place), String(p.firstOffset)]))
  return { state: { ...state, partitions }, effects: [...effects, { type: 'flushed', firstOffsets }] }
}

const isQuiet = (partitions: Partitions): boolean =>
  [...partitions.values()].every((p) => p.waiting.length + p.inFlight.length === 0)

/** The batches of one partition that its window lets through. */
function within(
  p: PartitionState,
  identity: ProducerIdentity,
): { partition: PartitionState; effects: readonly LaneEffect[] } {
  const effects: LaneEffect[] = []
  const waiting = [...p.waiting]
  const inFlight = [...p.inFlight]
  let { nextSequence, nextOrdinal } = p
  const window = p.firstOffset === null ? 1 : IN_FLIGHT_PER_PARTITION
  while (waiting.length > 0 && nextOrdinal - (inFlight[0]?.ordinal ?? nextOrdinal) < window) {
    const { batch, records } = waiting.shift()!
    effects.push(send({ api: 'Produce', identity, place: p.place, batch, baseSequence: nextSequence }))
    inFlight.push({ batch, ordinal: nextOrdinal++ })
    nextSequence += records
  }
  return { partition: { ...p, waiting, inFlight, nextSequence, nextOrdinal }, effects }
}

/** open → marking; without a batch there is no transaction */
function mark(state: LaneState, marker: Marker): LaneStep {
  if (state.phase === 'ready' || state.phase === 'renewing') return { state, effects: [{ type: 'empty' }] }
  if (state.phase !== 'open' || !isQuiet(state.partitions)) return misplaced(state, { type: 'mark', marker })
  const { identity } = state
  const api = state.protocol === 'v1' ? 'AddOffsetsToTxn' : 'TxnOffsetCommit'
  return sending({ ...idOf(state), phase: 'marking', identity, marker }, { api, identity, marker })
}

// ---- answers --------------------------------------------------------------------------------------------------------

/** Is this request one whose answer the phase waits for, under the epoch it has? */
export function isAwaited(state: LaneState, request: TransactionRequest): boolean {
  switch (state.phase) {
    case 'initialising':
      return request.api === 'InitProducerId' && request.current === null
    case 'renewing':
    case 'opening':
      return request.api === 'InitProducerId' && same(request.current, state.identity)
    case 'open':
      if (request.api === 'AddPartitionsToTxn') return same(request.identity, state.identity)
      if (request.api !== 'Produce' || !same(request.identity, state.identity)) return false
      return inFlightOf(state, request) !== undefined
    case 'marking':
      if (request.api !== 'AddOffsetsToTxn' && request.api !== 'TxnOffsetCommit') return false
      return same(request.identity, state.identity)
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

const inFlightOf = (
  state: In<'open'>,
  { place, batch }: Extract<TransactionRequest, { api: 'Produce' }>,
): SentBatch | undefined => state.partitions.get(nameOf(place))?.inFlight.find((b) => b.batch === batch)

function answered(state: LaneState, request: TransactionRequest, answer: Answer, tried: Tried): LaneStep {
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

function unanswered(state: LaneState, request: TransactionRequest, reason: string, tried: Tried): LaneStep {
  if (state.phase === 'doubtful') return inDoubt(state, undefined)
  return again(state, request, tried, reason, RETRY_BUDGET_MS)
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
      return request.api === 'Produce' ? inTheLog(state, request, answer.baseOffset!) : joined(state, request)
    case 'marking': {
      const { identity, marker } = state
      if (request.api === 'AddOffsetsToTxn')
        return { state, effects: [send({ api: 'TxnOffsetCommit', identity, marker })] }
      const prepared: LaneState = {
        ...idOf(state),
        phase: 'prepared',
        identity,
        sequence: marker.sequence,
        restored: false,
      }
      return { state: prepared, effects: [{ type: 'prepared' }] }
    }
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

function joined(state: In<'open'>, request: TransactionRequest): LaneStep {
  const partitions = new Map(state.partitions)
  for (const place of request.api === 'AddPartitionsToTxn' ? request.places : []) {
    partitions.set(nameOf(place), { ...partitions.get(nameOf(place))!, membership: 'member' })
  }
  return proceed({ ...state, partitions })
}

function inTheLog(
  state: In<'open'>,
  { place, batch }: Extract<TransactionRequest, { api: 'Produce' }>,
  baseOffset: bigint,
): LaneStep {
  const name = nameOf(place)
  const p = state.partitions.get(name)!
  const partition = {
    ...p,
    inFlight: p.inFlight.filter((b) => b.batch !== batch),
    firstOffset: p.firstOffset ?? baseOffset,
  }
  const next = proceed({ ...state, partitions: new Map(state.partitions).set(name, partition) })
  return { state: next.state, effects: [{ type: 'acknowledged', batch }, ...next.effects] }
}

// ---- ends that are none ---------------------------------------------------------------------------------------------

const whatOf = ({ transactionalId }: LaneState, request: TransactionRequest): string =>
  request.api === 'Produce' ? `${transactionalId} → ${nameOf(request.place)}` : transactionalId

const identityIn = (state: LaneState): ProducerIdentity | null => ('identity' in state ? state.identity : null)

const fenced = (state: LaneState, error: WeirError): LaneStep => ({
  state: { ...idOf(state), phase: 'fenced', identity: identityIn(state) },
  effects: [{ type: 'failed', error }],
})

const broken = (state: LaneState, error: WeirError): LaneStep => ({
  state: { ...idOf(state), phase: 'broken', identity: state.phase === 'doubtful' ? null : identityIn(state) },
  effects: [{ type: 'failed', error }],
})

/** ending → doubtful */
function describe(state: In<'ending'>, error: string, answer: boolean): LaneStep {
  const { identity } = state
  return sending({ ...state, phase: 'doubtful', error, answered: answer }, { api: 'DescribeTransactions', identity })
}

function inDoubt(state: In<'doubtful'>, description = 'nothing'): LaneStep {
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

const unavailable = (request: string, transactionalId: string, last: string, coordinator?: string): WeirError =>
  new WeirError(
    { code: 'KAFKA_UNAVAILABLE', kind: 'retry', request, transactionalId, last, ...(coordinator && { coordinator }) },
    `${request} of ${transactionalId} had no final answer for ${RETRY_BUDGET_MS} ms (last: ${last}${coordinator ? `; the coordinator says ${coordinator}` : ''}); check the brokers`,
  )
