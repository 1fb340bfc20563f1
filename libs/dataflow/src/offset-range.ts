/**
 * A job's offset and the log it reads: retention, DeleteRecords or a topic that was made anew may have taken the offset out
 * of the log. Where to go on then is the user's decision, and what it costs is said.
 *
 *      gap   ┌ logStart ───── logEnd ┐   gap
 *     ───────┤        the log        ├───────
 *       ▲ deleted, not read             ▲ read, no longer there
 */
import { WeirError } from '@weir/model'

/** Where a source goes on whose offset is outside of its log. `fail`: nowhere, the job stops and says what is missing. */
export type OffsetPolicy = 'fail' | 'earliest' | 'latest'
export const OFFSET_POLICIES: readonly OffsetPolicy[] = ['fail', 'earliest', 'latest']

/** Where a job stands in one partition. */
export interface ReadPosition {
  /** Of the next record. */
  readonly offset: bigint
  /** Of the first record that is not the job's; null: its input is unbounded. */
  readonly end: bigint | null
}

/** Offset of the first record, and of the next one to be written. */
export interface LogRange {
  readonly start: bigint
  readonly end: bigint
}

/** A move that a policy made. JSON; offsets are decimal. Offsets are counted: transaction markers have some of them. */
export interface OffsetGap {
  readonly topic: string
  readonly partition: number
  /** Where the job was to go on. */
  readonly offset: string
  readonly logStart: string
  readonly logEnd: string
  readonly policy: 'earliest' | 'latest'
  /** Where it goes on. */
  readonly resumedAt: string
  /** Between the job's offset and the nearer end of the log. */
  readonly gapRecords: number
  /** Never read by the job: deleted, and with `latest` also what is still there. */
  readonly skippedRecords: number
  /** The epoch that was restored; null: found while running, or the offset is of no checkpoint. */
  readonly epoch: number | null
}

export interface OffsetFound extends ReadPosition {
  readonly topic: string
  readonly partition: number
  readonly range: LogRange
  readonly policy: OffsetPolicy
  readonly epoch: number | null
}

/** Null: the offset is in the log, or nothing behind it is the job's. Throws `OFFSET_OUT_OF_RANGE` (invalid) under `fail`. */
export function placeOffset(found: OffsetFound): OffsetGap | null {
  const { topic, partition, offset, policy, epoch } = found
  const { start, end } = found.range
  if ((offset >= start && offset <= end) || (found.end !== null && offset >= found.end)) return null
  /** Records of the job from its offset on, up to another one. */
  const ownUpTo = (to: bigint): number => {
    const last = found.end !== null && found.end < to ? found.end : to
    return last > offset ? Number(last - offset) : 0
  }
  const gapRecords = offset < start ? ownUpTo(start) : Number(offset - end)
  const at = { topic, partition, offset: String(offset), logStart: String(start), logEnd: String(end) }
  if (policy === 'fail') {
    const lost =
      offset < start
        ? `${gapRecords} records that were not read are deleted`
        : `${gapRecords} records that were read are not in it: was the topic made anew, or its cluster restored from a backup?`
    throw new WeirError(
      { code: 'OFFSET_OUT_OF_RANGE', kind: 'invalid', ...at, gapRecords, policy, epoch },
      `${topic}-${partition} holds ${start} to ${end} and the job is at ${offset}: ${lost}. Nothing is skipped silently: start ` +
        'a new job, or set outOfRange: "earliest" | "latest" on the source to go on with what is there.',
    )
  }
  const resumed = policy === 'earliest' ? start : end
  return { ...at, policy, resumedAt: String(resumed), gapRecords, skippedRecords: ownUpTo(resumed), epoch }
}

/** What was chosen and what it costs, for logs and alerts. */
export function gapText({
  topic,
  partition,
  offset,
  logStart,
  logEnd,
  policy,
  resumedAt,
  gapRecords,
  skippedRecords,
}: OffsetGap): string {
  const place = `${topic}-${partition} holds ${logStart} to ${logEnd}, the job was at ${offset}`
  return `${place}, ${gapRecords} records apart: policy "${policy}" goes on at ${resumedAt}, ${skippedRecords} records are skipped`
}
