/**
 * The client side of one transactional id, a *lane*, as a pure machine: no I/O, no clock. The driver (`lane.ts`) sends
 * what it is told and reports what was answered.
 *
 * ```
 * uninitialised ─fence─▶ initialising ─▶ ready ─append─▶ open ─flush, mark─▶ prepared ─commit─▶ ending ─▶ ready (v2)
 *                                          ▲               ▲                                      ├─▶ renewing (v1)
 *                        renewing ─────────┘               │                                      └─▶ doubtful ─▶ broken
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
import { answered, isAwaited, unanswered } from './transaction-answers.ts'
import { append, flush, mark } from './transaction-batches.ts'
import { abort, broken, suspended } from './transaction-ends.ts'
import { idOf, misplaced, sending, stay } from './transaction-moves.ts'
import type { LaneEvent, LaneState, LaneStep } from './transaction-state.ts'
import type { ProducerIdentity, Protocol } from './wire/apis.ts'

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
      if (state.phase === 'ready' || state.phase === 'renewing') return { state, effects: [{ type: 'empty' }] }
      if ((state.phase !== 'open' && state.phase !== 'opening') || state.flush === 'none' || state.marking !== null)
        return misplaced(state, event)
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
    case 'overslept':
      // Nothing at the broker refuses an InitProducerId of yesterday: it would abort what the successor has published.
      if (!isAwaited(state, event.request) || event.request.api !== 'InitProducerId') return stay(state)
      return broken(state, suspended(state.transactionalId, event.byMs))
  }
}
