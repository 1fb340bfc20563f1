/**
 * Recovery of a sink whose prepared output is staged: it lies in the object store until its epoch is published, and is
 * applied to the destination together with its sequence (the marker) in one transaction of the destination. Nothing is
 * open at the destination in between, so nothing there can expire and nothing is lost by a time-out.
 *
 * ```
 *   marker                              what it says
 *   none                                nothing was ever written here: with a handle to judge, somebody removed it (A14)
 *   ≥ a handle's sequence               that handle is applied
 *   the sequence before the first       all handles wait
 *   below that                          the destination has lost output it had (restored from a backup?)
 *   above the restored sequence         the metadata is older than the output
 * ```
 *
 * Order matters (PROTOCOL A10, A11): the destination is taken over first, then its marker is read, then handles are
 * applied one after the other.
 */
import { WeirError } from '@weir/model'
import { EMPTY_SINK_STATE, type HandleProof, type PreparedHandle, type SinkState } from './ports.ts'

export interface StagedVerdict {
  readonly proofs: readonly HandleProof[]
  /** To be applied, in this order. */
  readonly due: readonly PreparedHandle[]
  /** What the marker is to be set to before anything else; null: it stands. */
  readonly initialise: number | null
}

/**
 * @param marker sequence applied last, read after every instance before this one was fenced; null: there is none
 * Throws `EPOCH_REGRESSION`, `TRANSACTION_LOST`, `TRANSACTION_UNKNOWN` (invalid).
 */
export function judgeStaged(
  of: { readonly destination: string; readonly group: string },
  restored: SinkState | null,
  marker: number | null,
): StagedVerdict {
  const { sequence, handles } = restored ?? EMPTY_SINK_STATE
  const first = handles[0]
  if (marker === null) {
    if (first === undefined) return { proofs: [], due: [], initialise: sequence }
    throw refused('TRANSACTION_UNKNOWN', of, first, marker, [
      `${of.destination} has no marker of ${of.group}, though one was there before transaction ${first.sequence} was prepared:`,
      `nothing proves whether that is written. Were the markers dropped, or is this another place? Bring them back, or look`,
      `which transaction was written last and set the marker to its sequence.`,
    ])
  }
  if (marker > sequence) {
    throw refused('EPOCH_REGRESSION', of, null, marker, [
      `the output in ${of.destination} is newer (transaction ${marker}) than the metadata (transaction ${sequence}): an older`,
      `epoch was restored over committed output. Going on would write it twice. Restore the newest epoch, or give the job a`,
      `new id.`,
    ])
  }
  const before = (first?.sequence ?? sequence + 1) - 1
  if (marker < before) {
    throw refused('TRANSACTION_LOST', of, first ?? null, marker, [
      `${of.destination} says that transaction ${marker} was the last one written, and transaction ${before} was committed`,
      `there: the destination has lost output (was it restored from a backup, or failed over without all of its log?).`,
      `The job stops instead of going on behind a gap. Bring the lost output back and set the marker to ${before}.`,
    ])
  }
  const applied = handles.filter((handle) => handle.sequence <= marker)
  return {
    proofs: applied.map((handle) => ({ sequence: handle.sequence, outcome: 'committed', by: 'marker' })),
    due: handles.slice(applied.length),
    initialise: null,
  }
}

function refused(
  code: string,
  { destination, group }: { readonly destination: string; readonly group: string },
  handle: PreparedHandle | null,
  marker: number | null,
  text: readonly string[],
): WeirError {
  const { sequence, transactionalId, records } = handle ?? {}
  const facts = { code, kind: 'invalid', destination, group, marker, sequence, transactionalId, records } as const
  return new WeirError(facts, text.join(' '))
}
