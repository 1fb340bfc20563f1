/** What one checkpoint of a slice has so far: it is told when every stage has given its part. Pure. */
import type { InFlightRef, SubtaskSnapshot } from '@weir/checkpoint'
import type { OperatorUid, CheckpointId } from '@weir/model'
import type { SinkState, SourceState } from '@weir/dataflow'
import type { StageSegments } from './recovery.ts'
import type { CutExceptions } from './source-cut.ts'

export interface OpenCheckpoint {
  readonly checkpoint: CheckpointId
  /** Stages that have not given their part. */
  missing: number
  /** Stages that have taken their snapshot, whether or not it is durable. */
  readonly cut: Set<number>
  /** Splits that were not cut at the event time; null: at none. */
  exceptions: { readonly idle: string[]; readonly passed: string[] } | null
  sources: Record<string, SourceState>
  sinks: Record<string, SinkState>
  segments: StageSegments[]
  inFlight: InFlightRef[]
  watermarks: Record<string, number>
  watermarkFolds: Record<string, unknown>
  recordsIn: number
  alignMs: number
  syncMs: number
  prepareMs: number
  uploadMs: number
  readonly startedMs: number
  /** When the last stage so far had taken its snapshot. */
  cutAtMs: number
  /** When the barrier reached the slice, ms since 1970. */
  timestamp: number
}

/** Of one stage, complete: everything in it is durable. */
export interface StagePart {
  readonly sinks: Readonly<Record<string, SinkState>>
  readonly segments: StageSegments | null
  readonly inFlight: readonly InFlightRef[]
  readonly watermarks: Readonly<Record<string, number>>
  readonly watermarkFolds: Readonly<Record<string, unknown>>
  /** Of the source at its head; `read`: records in front of the barrier, in this attempt. */
  readonly position: { readonly uid: OperatorUid; readonly state: SourceState; readonly read: number } | null
  readonly alignMs: number
  readonly syncMs: number
  /** From its snapshot until its sinks had prepared, and until its state was durable. */
  readonly prepareMs: number
  readonly uploadMs: number
}

/** @param recordsBefore what the slice's sources had read when the attempt began */
export const openCheckpoint = (
  checkpoint: CheckpointId,
  stages: number,
  startedMs: number,
  recordsBefore: number,
): OpenCheckpoint => ({
  checkpoint,
  missing: stages,
  cut: new Set(),
  exceptions: null,
  sources: {},
  sinks: {},
  segments: [],
  inFlight: [],
  watermarks: {},
  watermarkFolds: {},
  recordsIn: recordsBefore,
  alignMs: 0,
  syncMs: 0,
  prepareMs: 0,
  uploadMs: 0,
  startedMs,
  cutAtMs: startedMs,
  timestamp: 0,
})

export function addExceptions(open: OpenCheckpoint, source: OperatorUid, { idle, passed }: CutExceptions): void {
  open.exceptions ??= { idle: [], passed: [] }
  open.exceptions.idle.push(...idle.map((split) => `${source}/${split}`))
  open.exceptions.passed.push(...passed.map((split) => `${source}/${split}`))
}

/** @returns true when it was the last part. */
export function addPart(open: OpenCheckpoint, part: StagePart): boolean {
  Object.assign(open.sinks, part.sinks)
  Object.assign(open.watermarks, part.watermarks)
  Object.assign(open.watermarkFolds, part.watermarkFolds)
  if (part.segments) open.segments.push(part.segments)
  open.inFlight.push(...part.inFlight)
  if (part.position) {
    open.sources[part.position.uid] = part.position.state
    open.recordsIn += part.position.read
  }
  open.alignMs = Math.max(open.alignMs, part.alignMs)
  open.syncMs = Math.max(open.syncMs, part.syncMs)
  open.prepareMs = Math.max(open.prepareMs, part.prepareMs)
  open.uploadMs = Math.max(open.uploadMs, part.uploadMs)
  return --open.missing === 0
}

export function snapshotOf(
  open: OpenCheckpoint,
  { subtask, retired, degraded }: Pick<SubtaskSnapshot, 'subtask' | 'retired' | 'degraded'>,
): SubtaskSnapshot {
  const { checkpoint, sources, segments, sinks, watermarks, watermarkFolds, recordsIn, timestamp } = open
  const { inFlight, exceptions } = open
  return {
    subtask,
    sources,
    segments,
    sinks,
    watermarks,
    ...(Object.keys(watermarkFolds).length > 0 && { watermarkFolds }),
    recordsIn,
    checkpoint: { epoch: checkpoint.epoch, timestamp },
    ...(inFlight.length > 0 && { inFlight }),
    ...(exceptions && { cut: exceptions }),
    ...(degraded && { degraded }),
    ...(retired && { retired }),
  }
}
