/**
 * Recovery of one sink subtask as a pure machine, the same for every two-phase sink (PROTOCOL A10, A11, A14).
 *
 * ```
 * ending ──all ended──▶ fencing ─▶ reading-marker ─▶ judging ──all proven──▶ over (done)
 *  │  ▲                    ▲                          │  └─ marker absent ─▶ initialising ─▶ over
 *  │  └ the log says       │ the log does not          ├─ lost ─▶ healing ─▶ judging the next
 *  ▼    "committed"        │ say "committed"           └─ not to be healed, unknown, newer than the metadata ─▶ over
 * asking ──────────────────┘                                                                              (refused)
 * ```
 *
 * A refused handle that the log proves committed does not stop those behind it: they are ended before the pool is
 * fenced, else the fence would abort published output. Those behind a lost one are aborted by the fence and healed in
 * order after it. A healing transaction carries the marker of what it heals: when the recovery dies in it, the next one
 * knows from the marker whether it was committed.
 */
import { WeirError } from '@weir/model'
import { decideOutcome, outcomeError, type OutcomeFacts } from './outcome.ts'
import { EMPTY_SINK_STATE, type HandleProof, type PreparedHandle, type SinkState } from './ports.ts'

export type SinkRecoveryPhase =
  'ending' | 'asking' | 'fencing' | 'reading-marker' | 'judging' | 'healing' | 'initialising' | 'over'

export type OnLost = 'heal' | 'fail'

export interface SinkRecoveryOptions {
  readonly topic: string
  /** Consumer group that holds the marker. */
  readonly group: string
  readonly onLost: OnLost
}

export interface SinkRecoveryState extends SinkRecoveryOptions {
  readonly phase: SinkRecoveryPhase
  readonly restored: SinkState
  /** Handles without a proof, in sequence order. */
  readonly unproven: readonly PreparedHandle[]
  readonly proofs: readonly HandleProof[]
  readonly marker: number | null
}

export type SinkRecoveryEvent =
  /** The answer to EndTxn: `ok` false is a refusal, which decides nothing (PROTOCOL C8). */
  | { readonly type: 'ended'; readonly ok: boolean }
  | { readonly type: 'control'; readonly control: OutcomeFacts['control'] }
  | { readonly type: 'fenced' }
  /** Read stably, after the fence (PROTOCOL A13). */
  | { readonly type: 'marker'; readonly marker: number | null }
  | { readonly type: 'healed' }
  | { readonly type: 'marker-initialised' }

export type SinkRecoveryEffect =
  | { readonly type: 'end'; readonly handle: PreparedHandle }
  | { readonly type: 'read-control'; readonly handle: PreparedHandle }
  /** Every id of the pool, always, and the ids of the handles (PROTOCOL A11, A12, B4). */
  | { readonly type: 'fence'; readonly handleIds: readonly string[] }
  | { readonly type: 'read-marker' }
  /** One transaction on the fenced pool: the staged output, and the handle's sequence as the marker. */
  | { readonly type: 'heal'; readonly handle: PreparedHandle }
  | { readonly type: 'initialise-marker'; readonly sequence: number }
  | { readonly type: 'done'; readonly proofs: readonly HandleProof[] }
  | { readonly type: 'refused'; readonly error: WeirError }

export interface SinkRecoveryStep {
  readonly state: SinkRecoveryState
  readonly effect: SinkRecoveryEffect
}

export function beginSinkRecovery(of: SinkRecoveryOptions, restored: SinkState | null): SinkRecoveryStep {
  const known = restored ?? EMPTY_SINK_STATE
  return endNext({ ...of, phase: 'ending', restored: known, unproven: known.handles, proofs: [], marker: null })
}

/** Throws for an event that is not the answer to the last effect. */
export function stepSinkRecovery(state: SinkRecoveryState, event: SinkRecoveryEvent): SinkRecoveryStep {
  const [handle] = state.unproven
  switch (`${state.phase}/${event.type}`) {
    case 'ending/ended':
      if ((event as { ok: boolean }).ok) return endNext(proven(state, 'end-txn'))
      return { state: { ...state, phase: 'asking' }, effect: { type: 'read-control', handle: handle! } }
    case 'asking/control':
      if ((event as { control: string }).control === 'commit') return endNext(proven(state, 'control-record'))
      return fence(state)
    case 'fencing/fenced':
      return { state: { ...state, phase: 'reading-marker' }, effect: { type: 'read-marker' } }
    case 'reading-marker/marker': {
      const { marker } = event as { marker: number | null }
      if (marker !== null && marker > state.restored.sequence) return refuse(state, regression(state, marker))
      return judgeNext({ ...state, marker })
    }
    case 'judging/control': {
      const { control } = event as { control: OutcomeFacts['control'] }
      const outcome = decideOutcome({ control, marker: state.marker, sequence: handle!.sequence })
      if (outcome.kind === 'committed') return judgeNext(proven(state, outcome.by))
      if (outcome.kind === 'lost' && state.onLost === 'heal' && handle!.staged !== undefined)
        return { state: { ...state, phase: 'healing' }, effect: { type: 'heal', handle: handle! } }
      return refuse(state, outcomeError(outcome, handle!, state.topic))
    }
    case 'healing/healed':
      return judgeNext({ ...proven(state, 'heal'), marker: handle!.sequence })
    case 'initialising/marker-initialised':
      return done(state)
    default:
      throw new Error(`internal: ${event.type} while ${state.phase}`)
  }
}

/** → ending the next handle, or → fencing */
function endNext(state: SinkRecoveryState): SinkRecoveryStep {
  const [handle] = state.unproven
  if (handle === undefined) return fence(state)
  return { state: { ...state, phase: 'ending' }, effect: { type: 'end', handle } }
}

function fence(state: SinkRecoveryState): SinkRecoveryStep {
  const handleIds = state.restored.handles.map((h) => h.transactionalId)
  return { state: { ...state, phase: 'fencing' }, effect: { type: 'fence', handleIds } }
}

/** → judging the next handle; → over, with a marker from the first moment on (PROTOCOL A14) */
function judgeNext(state: SinkRecoveryState): SinkRecoveryStep {
  const [handle] = state.unproven
  if (handle !== undefined) {
    return { state: { ...state, phase: 'judging' }, effect: { type: 'read-control', handle } }
  }
  if (state.marker !== null) return done(state)
  const { sequence } = state.restored
  return { state: { ...state, phase: 'initialising' }, effect: { type: 'initialise-marker', sequence } }
}

const done = (state: SinkRecoveryState): SinkRecoveryStep => ({
  state: { ...state, phase: 'over' },
  effect: { type: 'done', proofs: state.proofs },
})
const refuse = (state: SinkRecoveryState, error: WeirError): SinkRecoveryStep => ({
  state: { ...state, phase: 'over' },
  effect: { type: 'refused', error },
})

/** The first unproven handle is committed. */
function proven(state: SinkRecoveryState, by: HandleProof['by']): SinkRecoveryState {
  const [handle, ...unproven] = state.unproven
  return { ...state, unproven, proofs: [...state.proofs, { sequence: handle!.sequence, outcome: 'committed', by }] }
}

const regression = ({ topic, group, restored }: SinkRecoveryState, marker: number): WeirError =>
  new WeirError(
    { code: 'EPOCH_REGRESSION', kind: 'invalid', topic, marker, restored: restored.sequence, group },
    `the output in ${topic} is newer (transaction ${marker}) than the metadata (transaction ${restored.sequence}): an older epoch was restored over committed output. Going on would write it twice. Restore the newest epoch, or give the job a new id.`,
  )

/** What a sink does at its server for the machine. A rejection ends the recovery; it may be begun again. */
export interface SinkRecoveryPort {
  /** False: refused. Everything that decides nothing (time-out, "later") is repeated inside or rejected. */
  end(handle: PreparedHandle): Promise<boolean>
  control(handle: PreparedHandle): Promise<OutcomeFacts['control']>
  fence(handleIds: readonly string[]): Promise<void>
  marker(): Promise<number | null>
  /** Resolves when the healing transaction is committed. Its outcome unknown: rejects, and the marker tells the next recovery. */
  heal(handle: PreparedHandle): Promise<void>
  initialiseMarker(sequence: number): Promise<void>
}

/** Drives the machine. Throws what it refuses with: `TRANSACTION_LOST`, `TRANSACTION_UNKNOWN`, `EPOCH_REGRESSION`. */
export async function recoverSink(
  of: SinkRecoveryOptions,
  restored: SinkState | null,
  port: SinkRecoveryPort,
): Promise<readonly HandleProof[]> {
  for (let step = beginSinkRecovery(of, restored); ;) {
    const event = await perform(step.effect, port)
    if (!('type' in event)) return event
    step = stepSinkRecovery(step.state, event)
  }
}

async function perform(
  effect: SinkRecoveryEffect,
  port: SinkRecoveryPort,
): Promise<SinkRecoveryEvent | readonly HandleProof[]> {
  switch (effect.type) {
    case 'end':
      return { type: 'ended', ok: await port.end(effect.handle) }
    case 'read-control':
      return { type: 'control', control: await port.control(effect.handle) }
    case 'fence':
      await port.fence(effect.handleIds)
      return { type: 'fenced' }
    case 'read-marker':
      return { type: 'marker', marker: await port.marker() }
    case 'heal':
      await port.heal(effect.handle)
      return { type: 'healed' }
    case 'initialise-marker':
      await port.initialiseMarker(effect.sequence)
      return { type: 'marker-initialised' }
    case 'done':
      return effect.proofs
    case 'refused':
      throw effect.error
  }
}
