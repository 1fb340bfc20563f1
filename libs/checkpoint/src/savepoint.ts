/**
 * A savepoint: a final epoch under a name, outside of what retention touches, in one folder that names nothing outside of
 * itself. Copied with its folder to another bucket or cluster it is still whole, and a job can be started from it there.
 *
 *   <folder>/savepoint.json     what this file describes; written last, so that its presence means "complete"
 *   <folder>/state-000001.seg   the segments, numbered
 *
 * It is complete when its epoch is final and holds no handles (PROTOCOL A23): every transaction it could name has ended, so
 * two jobs started from it, or one started much later, have nothing to end twice.
 */
import { WeirError, type Attempt, type Digest, type Epoch, type Generation, type JobId } from '@weir/model'
import type { Manifest, SinkSnapshot, SubtaskSnapshot } from './manifest.ts'
import { segmentsOf, type StoredSegment } from './retention.ts'

export interface Savepoint {
  readonly formatVersion: 1
  readonly name: string
  /** Whose state it is. */
  readonly jobId: JobId
  readonly epoch: Epoch
  readonly generation: Generation
  readonly attempt: Attempt
  /** ms since 1970. */
  readonly takenAt: number
  /** The sources stopped at its barrier: nothing that was read is outside of it. */
  readonly stopped: boolean
  readonly bundleDigest: Digest
  readonly graphHash: string
  /** The plan of the job that made it. Opaque here. */
  readonly plan: unknown
  readonly parallelism: number
  readonly maxParallelism: number
  /** As in the manifest; keys of segments are relative to the folder, sinks have no handles. */
  readonly subtasks: readonly SubtaskSnapshot[]
  /** Absent: written by a build that did not say. */
  readonly output?: SavepointOutput
}

/** Where its output lies in a log, for whoever compares with what comes behind it: nothing is decided by it. */
export interface SavepointOutput {
  /** Up to this one every transaction had ended before the savepoint was asked for, or before its epoch was published. */
  readonly after: Epoch
  /** Those of the epochs behind it up to the savepoint's: `producer:epoch`, of sinks whose transactions have producers. */
  readonly transactions: readonly string[]
}

/** What of a job goes into its savepoints. */
export type SavepointOrigin = Pick<Savepoint, 'bundleDigest' | 'plan'>

/** An object to copy: from where it lies to a name in the folder. */
export interface SegmentCopy {
  readonly from: StoredSegment
  readonly to: string
}

export interface SavepointDraft {
  readonly savepoint: Savepoint
  readonly copies: readonly SegmentCopy[]
}

/** Letters first: a number names an epoch. */
export const SAVEPOINT_NAME = /^[a-z][a-z0-9._-]{0,62}$/
/** Throws `SAVEPOINT_NAME_INVALID` (invalid). */
export function savepointName(name: string): string {
  if (SAVEPOINT_NAME.test(name)) return name
  throw new WeirError(
    { code: 'SAVEPOINT_NAME_INVALID', kind: 'invalid', name },
    `"${name}" cannot name a savepoint: give 1 to 63 of a-z, 0-9, ".", "_" and "-", beginning with a letter`,
  )
}

/** Throws `SAVEPOINT_NOT_FINAL` (retry): output of the epoch may still have to be committed. */
export function savepointOf(
  manifest: Manifest,
  final: Epoch,
  of: SavepointOrigin & Pick<Savepoint, 'name' | 'takenAt' | 'stopped' | 'output'>,
): SavepointDraft {
  if (manifest.epoch > final) {
    throw new WeirError(
      { code: 'SAVEPOINT_NOT_FINAL', kind: 'retry', epoch: manifest.epoch, final },
      `epoch ${manifest.epoch} is published and not final (the highest final one is ${final}): its transactions are not ended yet`,
    )
  }
  const { jobId, epoch, generation, attempt, graphHash, parallelism, maxParallelism } = manifest
  const copies = new Map<string, SegmentCopy>()
  for (const segment of manifest.subtasks.flatMap(segmentsOf)) {
    const to = `state-${String(copies.size + 1).padStart(6, '0')}.seg`
    if (!copies.has(segment.key)) copies.set(segment.key, { from: segment, to })
  }
  const subtasks = manifest.subtasks.map((subtask) => ({
    ...withKeys(subtask, (key) => copies.get(key)!.to),
    sinks: ended(subtask.sinks),
    ...(subtask.retired && { retired: mapValues(subtask.retired, ended) }),
  }))
  return {
    savepoint: {
      ...{ formatVersion: 1, jobId, epoch, generation, attempt, graphHash, parallelism, maxParallelism, subtasks },
      ...of,
    },
    copies: [...copies.values()],
  }
}

/** With one epoch more; null, or an epoch that does not come right behind it: of this one alone. */
export function outputBehind(
  before: (SavepointOutput & { readonly upTo: Epoch }) | null,
  { epoch, parentEpoch, subtasks }: Pick<Manifest, 'epoch' | 'parentEpoch' | 'subtasks'>,
): SavepointOutput & { readonly upTo: Epoch } {
  const { after, transactions } = before?.upTo === parentEpoch ? before : { after: parentEpoch, transactions: [] }
  return { after, transactions: [...transactions, ...transactionsOf(subtasks)], upTo: epoch }
}

function transactionsOf(subtasks: readonly SubtaskSnapshot[]): readonly string[] {
  const sinks = subtasks
    .flatMap((one) => [one.sinks, ...Object.values(one.retired ?? {})])
    .flatMap(Object.values<SinkSnapshot>)
  return sinks.flatMap(({ handles }) =>
    (handles as readonly Partial<{ producerId: string; producerEpoch: number }>[]).flatMap(
      ({ producerId, producerEpoch }) => (producerId === undefined ? [] : [`${producerId}:${producerEpoch}`]),
    ),
  )
}

/** Sinks whose transactions have all ended. */
export const ended = (sinks: Readonly<Record<string, SinkSnapshot>>): Record<string, SinkSnapshot> =>
  mapValues(sinks, (sink) => ({ ...sink, handles: [] }))
const mapValues = <A, B>(of: Readonly<Record<string, A>>, to: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(of).map(([key, value]) => [key, to(value)]))

/** The subtask with every segment under another key. */
export function withKeys(subtask: SubtaskSnapshot, keyOf: (key: string) => string): SubtaskSnapshot {
  const stages = subtask.segments as readonly { readonly chain: readonly StoredSegment[] }[]
  const segments = stages.map((stage) => ({
    ...stage,
    chain: stage.chain.map((segment) => ({ ...segment, key: keyOf(segment.key) })),
  }))
  const inFlight = subtask.inFlight?.map((ref) => ({ ...ref, key: keyOf(ref.key) }))
  return { ...subtask, segments, ...(inFlight && { inFlight }) }
}

/** A savepoint where it lies. */
export interface StoredSavepoint {
  readonly savepoint: Savepoint
  /** Key prefix, ends in `/`. */
  readonly folder: string
}

/** Savepoints of one job. Every call throws kind `retry` when the store does not answer for too long. */
export interface SavepointStore {
  /**
   * Copies the segments, each checked by its SHA-256 on the way, then writes savepoint.json. Harmless to repeat.
   * Throws `SEGMENT_MISSING`, `SEGMENT_CORRUPT` (invalid).
   */
  write(draft: SavepointDraft): Promise<StoredSavepoint>
  /** Complete ones, oldest first. What cannot be read is left out. */
  list(): Promise<readonly StoredSavepoint[]>
  /** Also what an unfinished one of the name has left. False: there was none. */
  delete(name: string): Promise<boolean>
}
