/**
 * What became of a prepared transaction, decided without I/O from what was observed (PROTOCOL A10, A14, C8). The log's
 * own control record is the proof; the marker decides where retention has eaten the log, and whether an aborted one has
 * been healed since; anything else is UNKNOWN.
 */
import { WeirError } from '@weir/model'
import type { PreparedHandle } from './ports.ts'

export interface OutcomeFacts {
  /** First control record of the handle's producer at or after its first offset; `gone`: the log begins later. */
  readonly control: 'commit' | 'abort' | 'none' | 'gone'
  /** Sequence in the marker, read stably after fencing; null = no marker. */
  readonly marker: number | null
  readonly sequence: number
}

export type Outcome =
  | { readonly kind: 'committed'; readonly by: 'control-record' | 'marker' | 'healed-before' }
  | { readonly kind: 'lost' }
  | { readonly kind: 'unknown'; readonly why: string }

export function decideOutcome({ control, marker, sequence }: OutcomeFacts): Outcome {
  switch (control) {
    case 'commit':
      return { kind: 'committed', by: 'control-record' }
    case 'abort':
      return aborted(marker, sequence, 'the broker aborted it')
    case 'none':
      return { kind: 'unknown', why: 'the log holds its records and no control record behind them' }
    case 'gone':
      return marker !== null && marker >= sequence
        ? { kind: 'committed', by: 'marker' }
        : aborted(marker, sequence, 'its records are deleted from the log')
  }
}

/** Lost only by positive proof: the marker stands exactly before it (PROTOCOL A14). */
function aborted(marker: number | null, sequence: number, what: string): Outcome {
  if (marker === null) return { kind: 'unknown', why: `${what} and the marker is absent` }
  if (marker >= sequence) return { kind: 'committed', by: 'healed-before' }
  if (marker === sequence - 1) return { kind: 'lost' }
  return { kind: 'unknown', why: `${what} and the marker stands at ${marker}` }
}

export function outcomeError(
  outcome: Exclude<Outcome, { kind: 'committed' }>,
  handle: PreparedHandle,
  topic: string,
): WeirError {
  const { sequence, transactionalId, firstOffsets, records } = handle
  const facts = { topic, sequence, transactionalId, firstOffsets, records }
  return outcome.kind === 'lost'
    ? new WeirError(
        { code: 'TRANSACTION_LOST', kind: 'invalid', ...facts },
        `transaction ${sequence} of ${transactionalId} (${records} records for ${topic}) was aborted by the broker after its epoch was published: its output is missing. It probably stayed prepared longer than transactionTimeoutMs. The job stops instead of going on without it. Give the sink onLost: 'heal' (the default) to have it written again.`,
      )
    : new WeirError(
        { code: 'TRANSACTION_UNKNOWN', kind: 'invalid', ...facts, why: outcome.why },
        `nobody can prove whether transaction ${sequence} of ${transactionalId} was committed: ${outcome.why}. The job stops; compare the topic with the epoch's records.`,
      )
}
