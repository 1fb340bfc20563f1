/**
 * A manifest is the whole truth about one epoch: where every source stood, which segments hold the state, which
 * prepared transactions belong to it. It is written once, never changed, and becomes true by being *published*.
 */
import type { Attempt, Digest, Epoch, Generation, JobId, Subtask } from '@weir/model'
import type { Retention } from './retention.ts'

/** One slice's part. The three maps are keyed by operator uid; contents are JSON and opaque to this room. */
export interface SubtaskSnapshot {
  readonly subtask: Subtask
  /** Position of each source (Kafka: offsets). */
  readonly sources: Readonly<Record<string, unknown>>
  /** Segment chain of the slice's keyed state, oldest first. */
  readonly segments: readonly unknown[]
  /** `sequence` is the highest ever prepared; `handles` the prepared, not yet committed transactions (PROTOCOL A2). */
  readonly sinks: Readonly<Record<string, SinkSnapshot>>
  /** Watermark each source subtask and input channel had at the barrier: it restarts from there. */
  readonly watermarks: Readonly<Record<string, number>>
  /** State of watermarks that a job computes itself, `source/split`. Absent: there is none. */
  readonly watermarkFolds?: Readonly<Record<string, unknown>>
  /** Records read by this slice's sources since the job began. */
  readonly recordsIn: number
  /** Which snapshot it is; `timestamp`: when its barrier reached the slice, ms since 1970. Absent: of an older version. */
  readonly checkpoint?: { readonly epoch: Epoch; readonly timestamp: number }
  /** Only of an epoch that is cut at an event time: splits, `source/split`, that were not cut there (`Manifest.cut`). */
  readonly cut?: CutSplits
  /** How the job's degrade switch stands behind the barrier; the same in every subtask. Absent: off. */
  readonly degraded?: boolean
  /** Only of an epoch whose barriers have overtaken records here; to restore one, see `inFlightFor`. */
  readonly inFlight?: readonly InFlightRef[]
  /**
   * Sinks of subtasks the job had when it was wider, in this slice's care: subtask → uid → state. Every recovery resolves
   * and fences their ids too, and a subtask that comes back goes on from its sequence (PROTOCOL B4).
   */
  readonly retired?: RetiredSinks
}

/** What these bring later from before the cut is behind it. */
export interface CutSplits {
  /** Had nothing, and were not waited for. */
  readonly idle: readonly string[]
  /** Were past the time when the trigger came. */
  readonly passed: readonly string[]
}

/** Records that a barrier has overtaken in one slice: an object, named and counted like a segment of state. */
export interface InFlightRef {
  readonly key: string
  readonly bytes: number
  /** Hex, of the stored bytes: verified at restore. */
  readonly sha256: string
  /** The slice that stored it, in a job of this many. */
  readonly subtask: Subtask
  readonly parallelism: number
  readonly records: number
  /** Sent by this slice's stages and not put on the wire yet: of keys of any slice. Otherwise all are this slice's own. */
  readonly hasUnsent: boolean
}
export type RetiredSinks = Readonly<Record<string, Readonly<Record<string, SinkSnapshot>>>>
export interface SinkSnapshot {
  readonly sequence: number
  readonly handles: readonly { readonly sequence: number }[]
}

export interface Manifest {
  readonly formatVersion: 1
  readonly jobId: JobId
  readonly epoch: Epoch
  readonly generation: Generation
  readonly attempt: Attempt
  /** The published epoch this one continues (PROTOCOL A5); 0 and null for the first. */
  readonly parentEpoch: Epoch
  readonly parentDigest: Digest | null
  /** Object key of its manifest. Absent: written by a build that did not say. */
  readonly parentKey?: string | null
  readonly graphHash: string
  readonly parallelism: number
  readonly maxParallelism: number
  /** Wall clock of the trigger, ms since 1970: for people. */
  readonly triggeredAt: number
  /** Wall clock at which the parent became final: the seed's "last committed timestamp"; null for the first. */
  readonly lastCommittedAt: number | null
  /** Every source was cut in front of its first record with which its watermark comes to `time`. Absent: in `barrier` mode. */
  readonly cut?: { readonly time: number }
  readonly subtasks: readonly SubtaskSnapshot[]
  /** Absent: nothing but this epoch is known to be kept, nothing to be deleted. */
  readonly retention?: Retention
}

/** Names a stored manifest; small enough for both arbiters. */
export interface ManifestRef {
  readonly epoch: Epoch
  readonly generation: Generation
  readonly attempt: Attempt
  /** Object key of the manifest. */
  readonly key: string
  /** Hex SHA-256 of the stored bytes. */
  readonly digest: Digest
  readonly parentEpoch: Epoch
  /** Where to go back to when the manifest cannot be read. */
  readonly parent?: { readonly key: string; readonly digest: Digest }
}

export const sameManifest = (a: ManifestRef | null, b: ManifestRef | null): boolean =>
  a === b || (a !== null && b !== null && a.digest === b.digest && a.epoch === b.epoch)
