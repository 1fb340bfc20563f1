/**
 * Where a split goes on after a restart in the `continuous` scope: the checkpoint has state at offset c, the group has
 * the committed offset k. The records from c to k are read again with their outputs suppressed, which rebuilds the state
 * that stood behind the output of k; from k on outputs are written. Whatever does not prove that is refused: a silent
 * start at c would write output twice, one at k without the state would write wrong output (PROTOCOL A17).
 */
import { WeirError, type Generation, type JobId } from '@weir/model'
import type { CommittedOffset, LogPosition } from './ports.ts'

/** Written beside every committed offset: proves who committed it. JSON, well below the broker's 4,096 bytes. */
export interface CommitMark {
  readonly job: JobId
  readonly generation: Generation
  /** Number of the transaction in this subtask. */
  readonly seq: number
  /** Where this job began to read the split: what a restart without a checkpoint replays from. */
  readonly start: LogPosition
  /** The outputs of the end of a bounded split (windows that fired then) are committed too. */
  readonly ended: boolean
}

export const encodeMark = ({ job, generation, seq, start, ended }: CommitMark): string =>
  JSON.stringify({ job, generation, seq, start, ended })

export type SplitResume =
  /**
   * Nothing of this job's is committed: the place is committed first. It is where the source is told to begin, or
   * (`from`) where the state is that was taken over from another job.
   */
  | { readonly kind: 'begin'; readonly from?: LogPosition }
  | {
      readonly kind: 'replay'
      /** c, or the split's beginning where no checkpoint has it. */
      readonly from: LogPosition
      /** k. */
      readonly until: number
      readonly mark: CommitMark
    }

/** What recovery found of one split. */
export interface SplitFound {
  readonly job: JobId
  readonly generation: Generation
  readonly group: string
  readonly topic: string
  readonly split: number
  /** c; null: not in the checkpoint, or there is none. */
  readonly restored: LogPosition | null
  /** The checkpoint is another job's state, the first epoch of this one. */
  readonly takenOver?: boolean
  /** k, read stably behind the fence of both ids; null: none. */
  readonly committed: CommittedOffset | null
}

/**
 * Throws WeirError: `COMMITTED_OFFSET_MISSING`, `COMMITTED_OFFSET_FOREIGN`, `COMMITTED_OFFSET_BEHIND` (invalid),
 * `GENERATION_SUPERSEDED` (fenced).
 */
export function resumeSplit(found: SplitFound): SplitResume {
  const { job, generation, restored, committed } = found
  if (committed === null) {
    if (restored === null) return { kind: 'begin' }
    if (found.takenOver) return { kind: 'begin', from: restored }
    throw refused('COMMITTED_OFFSET_MISSING', found, [
      `the checkpoint is at offset ${restored.offset}, but the group has no committed offset. Deleted, or expired`,
      '(offsets.retention.minutes, while the job was stopped)?',
    ])
  }
  const mark = decodeMark(committed.metadata)
  if (mark === null || mark.job !== job) {
    const whose = mark === null ? 'without the mark of a Weir job' : `with the mark of job "${mark.job}"`
    throw refused('COMMITTED_OFFSET_FOREIGN', found, [
      `the group stands at ${committed.offset} ${whose}: somebody else has set it.`,
    ])
  }
  if (mark.generation > generation) {
    throw new WeirError(
      { code: 'GENERATION_SUPERSEDED', kind: 'fenced', generation, found: mark.generation, group: found.group },
      `generation ${mark.generation} of job "${job}" has committed, this is generation ${generation}: another leader has taken over`,
    )
  }
  if (restored !== null && committed.offset < Number(restored.offset)) {
    throw refused('COMMITTED_OFFSET_BEHIND', found, [
      `the checkpoint has the state of offset ${restored.offset}, but only ${committed.offset} is committed: output`,
      'between the two is lost. Was the group restored from a backup?',
    ])
  }
  return { kind: 'replay', from: restored ?? mark.start, until: committed.offset, mark }
}

function decodeMark(metadata: string | null): CommitMark | null {
  try {
    const mark = JSON.parse(metadata ?? '') as Partial<CommitMark> | null
    if (typeof mark?.job !== 'string' || !Number.isSafeInteger(mark.generation) || !Number.isSafeInteger(mark.seq))
      return null
    if (typeof mark.start?.offset !== 'string' || typeof mark.ended !== 'boolean') return null
    return mark as CommitMark
  } catch {
    return null
  }
}

const refused = (code: string, found: SplitFound, text: readonly string[]): WeirError => {
  const { group, topic, split, restored, committed } = found
  return new WeirError(
    { code, kind: 'invalid', group, topic, partition: split, checkpoint: restored?.offset ?? null, committed },
    `${topic}-${split}, group "${group}": ${text.join(' ')} Going on would lose or repeat output. Put the committed ` +
      'offset and its metadata back, restore an epoch that goes with it, or start the job under a new id.',
  )
}
