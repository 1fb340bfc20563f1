/**
 * The batches of an open transaction (`transaction.ts`), by partition: what waits, what was sent, where its first record lies. A
 * partition joins first, where the protocol asks for it; what is sent and not acknowledged is bounded by its window.
 */
import { idOf, misplaced, send, stay } from './transaction-moves.ts'
import {
  nameOf,
  type In,
  type LaneEffect,
  type LaneEvent,
  type LaneState,
  type LaneStep,
  type Marker,
  type Partitions,
  type PartitionState,
  type SentBatch,
  type TransactionRequest,
} from './transaction-state.ts'
import type { ProducerIdentity, Protocol } from './wire/apis.ts'

/** Batches of one partition from the oldest unacknowledged to the newest sent: the broker knows the last five again. */
export const IN_FLIGHT_PER_PARTITION = 4

/** ready → open; renewing → opening */
export function append(state: LaneState, event: Extract<LaneEvent, { type: 'append' }>): LaneStep {
  switch (state.phase) {
    case 'ready':
    case 'renewing': {
      const { identity, protocol } = state
      const partitions = queued(new Map(), protocol, event)
      const phase = state.phase === 'ready' ? 'open' : 'opening'
      return proceed({ ...idOf(state), phase, identity, partitions, flush: 'none', marking: null })
    }
    case 'opening':
    case 'open':
      if (state.flush !== 'none') return misplaced(state, event)
      return proceed({ ...state, partitions: queued(state.partitions, state.protocol, event) })
    default:
      return misplaced(state, event)
  }
}

/** Without a batch, for a transaction of offsets alone: ready → open, renewing → opening */
export function flush(state: LaneState, event: LaneEvent): LaneStep {
  switch (state.phase) {
    case 'ready':
    case 'renewing': {
      const phase = state.phase === 'ready' ? 'open' : 'opening'
      const empty = { partitions: new Map(), flush: 'asked', marking: null } as const
      return proceed({ ...idOf(state), phase, identity: state.identity, ...empty })
    }
    case 'opening':
    case 'open':
      if (state.flush !== 'none') return misplaced(state, event)
      return proceed({ ...state, flush: 'asked' })
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
export function proceed(state: In<'opening' | 'open'>): LaneStep {
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
  if (state.flush !== 'asked' || !isQuiet(partitions)) return marked({ ...state, partitions }, effects)
  const firstOffsets = Object.fromEntries(all.map((p) => [nameOf(p.place), String(p.firstOffset)]))
  return marked({ ...state, partitions, flush: 'done' }, [...effects, { type: 'flushed', firstOffsets }])
}

/**
 * The marker travels beside the last batches: an epoch waits for both. Once there is an answer from every partition, that is: those that
 * join would make the coordinator put off whoever joins meanwhile. With all of it in the log: open → prepared.
 */
function marked(state: In<'open'>, effects: readonly LaneEffect[]): LaneStep {
  const { identity, marking, partitions, protocol, flush } = state
  if (marking === null) return { state, effects }
  const { marker, step } = marking
  if (step === 'waits') {
    if ([...partitions.values()].some(({ firstOffset }) => firstOffset === null)) return { state, effects }
    const api = protocol === 'v1' ? 'AddOffsetsToTxn' : 'TxnOffsetCommit'
    return {
      state: { ...state, marking: { marker, step: 'sent' } },
      effects: [...effects, send({ api, identity, marker })],
    }
  }
  if (step === 'sent' || flush !== 'done') return { state, effects }
  const { sequence } = marker
  return {
    state: { ...idOf(state), phase: 'prepared', identity, sequence, restored: false },
    effects: [...effects, { type: 'prepared' }],
  }
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

/** open, behind a flush */
export const mark = (state: In<'opening' | 'open'>, marker: Marker): LaneStep =>
  proceed({ ...state, marking: { marker, step: 'waits' } })

export const markerJoined = (state: In<'open'>): LaneStep =>
  marked({ ...state, marking: { ...state.marking!, step: 'joined' } }, [])

export function joined(state: In<'open'>, request: TransactionRequest): LaneStep {
  const partitions = new Map(state.partitions)
  for (const place of request.api === 'AddPartitionsToTxn' ? request.places : []) {
    partitions.set(nameOf(place), { ...partitions.get(nameOf(place))!, membership: 'member' })
  }
  return proceed({ ...state, partitions })
}

export const inFlightOf = (
  state: In<'open'>,
  { place, batch }: Extract<TransactionRequest, { api: 'Produce' }>,
): SentBatch | undefined => state.partitions.get(nameOf(place))?.inFlight.find((b) => b.batch === batch)

export function inTheLog(
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
