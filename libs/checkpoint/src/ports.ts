/**
 * Ports of the checkpoint room. A CheckpointStore belongs to one leader in one generation; it is made when leadership
 * is won and thrown away when it ends.
 */
import type { CheckpointId, Digest, Generation, JobId } from '@weir/model'
import type { InFlightRef, Manifest, ManifestRef } from './manifest.ts'
import type { Published } from './permit.ts'
import type { StoredSegment } from './retention.ts'
import type { SavepointStore } from './savepoint.ts'

// ---- objects --------------------------------------------------------------------------------------------------------

export interface StoredObject {
  readonly bytes: Uint8Array
  readonly etag: string
}
/** `lost`: the condition did not hold (somebody else wrote). */
export type PutOutcome = { readonly kind: 'stored'; readonly etag: string } | { readonly kind: 'lost' }
export type PutCondition = { readonly ifMatch: string } | { readonly ifNoneMatch: '*' }

/**
 * An object in parts, unseen until `complete`. Parts may be sent side by side and again (same number, same bytes); each is
 * checked by a checksum on arrival. All but the last have at least `PART_BYTES_MIN` bytes.
 */
export interface MultipartUpload {
  /** Numbers from 1, without a gap. */
  part(number: number, bytes: Uint8Array): Promise<void>
  complete(): Promise<void>
  /** Gives back what the parts take. */
  abort(): Promise<void>
}
/** S3's own bound. */
export const PART_BYTES_MIN = 5 * 1024 * 1024

/**
 * Objects by key (S3, or a folder). Keys: `/`-separated, no key is another key's folder. Unconditional puts of one key
 * always carry the same bytes (keys name generation and attempt), so repeating one is harmless.
 * An unreachable store throws WeirError kind `retry`, code `OBJECT_STORE_UNAVAILABLE`: for a conditional put that means
 * "outcome unknown".
 */
export interface ObjectStore {
  put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<PutOutcome>
  /** Null when there is none. */
  get(key: string): Promise<StoredObject | null>
  /** Bytes `from` to `to` − 1, fewer where the object ends before; null when there is none. Absent: `get` the whole. */
  readRange?(key: string, from: number, to: number): Promise<Uint8Array | null>
  /** For objects too large for memory. Absent: `put` the whole. */
  multipart?(key: string): Promise<MultipartUpload>
  list(prefix: string): Promise<readonly string[]>
  delete(key: string): Promise<void>
  /** At most `DELETE_KEYS_MAX` in one request. Absent: one after the other. */
  deleteMany?(keys: readonly string[]): Promise<void>
  /**
   * Removes what writes that never ended have left of keys that begin with `prefix`, which names no folder. Only where
   * nobody writes them any more. Absent: such writes leave nothing.
   */
  sweepUnfinished?(prefix: string): Promise<void>
  close(): Promise<void>
}
/** S3's own limit. */
export const DELETE_KEYS_MAX = 1_000

/** Records in flight of one stage at a barrier that has overtaken them. */
export interface InFlightPart {
  readonly stage: number
  readonly side: 'received' | 'unsent'
}

/** Of one slice: objects beside the segments of its state, named and counted like them. */
export interface InFlightStore {
  /** Durable when it resolves. Throws as `ObjectStore.put` when the store stays away. */
  write(
    checkpoint: CheckpointId,
    part: InFlightPart,
    bytes: Uint8Array,
  ): Promise<Pick<InFlightRef, 'key' | 'bytes' | 'sha256'>>
  /** Throws `SEGMENT_MISSING`, `SEGMENT_CORRUPT` (invalid). */
  read(ref: InFlightRef): Promise<Uint8Array>
}

// ---- leadership -----------------------------------------------------------------------------------------------------

/** A won election. Safety never rests on its clock (PROTOCOL A8), only on the compares in the store. */
export interface Leadership {
  /** max(election revision, what heads demand): fences (PROTOCOL C1). */
  readonly generation: Generation
  /**
   * False from the lease's end by the own monotonic clock (counted from the *sending* of the last answered keep-alive):
   * the leader is a *caretaker* then. It triggers, collects, publishes by compare-and-swap and commits what it has
   * published; whatever else it does to a job begins with a fresh compare-and-swap of that job's head.
   * True again when the arbiter answers and has kept the lease.
   */
  readonly live: boolean
  /** Aborted when the arbiter *says* that the lease is gone, or on `resign`. Silence of the arbiter aborts nothing. */
  readonly signal: AbortSignal
  /** Gives the lease back at once, so that another need not wait for its end. */
  resign(): Promise<void>
}

/** What everybody can see about the leader. */
export interface LeaderRecord {
  readonly generation: Generation
  /** host:port of the leader's gRPC (jobs and fleet). */
  readonly grpcAddress: string
  readonly restAddress: string
}

export interface Election {
  /** Resolves when won; rejects with `signal.reason`. Campaigns again by itself after errors. */
  campaign(self: Omit<LeaderRecord, 'generation'>, signal: AbortSignal): Promise<Leadership>
  /** The current leader, null when there is none; rejects with kind `retry` when the arbiter is unreachable. */
  leader(): Promise<LeaderRecord | null>
  close(): Promise<void>
}

// ---- jobs and heads -------------------------------------------------------------------------------------------------

/** What a submit leaves behind: enough to run the job again after every process is gone. JSON. */
export interface JobRecord {
  readonly jobId: JobId
  readonly name: string
  readonly bundleDigest: Digest
  readonly graphHash: string
  /** The client's plan: stages, settings. Opaque here. */
  readonly plan: unknown
  readonly submittedAt: number
  /** What the user wants. */
  readonly desired: 'running' | 'cancelled' | 'stopped'
  /** With `desired: 'stopped'`: what the last epoch becomes. */
  readonly stop?: { readonly savepoint: string }
  /** What it runs at since it was rescaled. Absent: the plan's. */
  readonly parallelism?: number
  /** The highest parallelism the job ever had: its transactional ids stay its own (PROTOCOL B4). Absent: the plan's. */
  readonly highestParallelism?: number
  /** How fast its sources are read since somebody asked for it, by source. Opaque here. Absent: as the plan says. */
  readonly rates?: unknown
  /** Its degrade switch is on. Absent: off, or it has none. */
  readonly degraded?: boolean
  /** What this run was started from. Opaque here. Absent: from nothing. */
  readonly from?: unknown
  /** Set once, when the job has ended for good. */
  readonly ended: {
    readonly state: 'FINISHED' | 'FAILED' | 'CANCELLED' | 'STOPPED'
    readonly at: number
    readonly error: unknown
    /** Newest first: what it can be started from again, beside its savepoints. No other epoch is kept. */
    readonly kept?: readonly ManifestRef[]
    /** Deleted: what no kept epoch names (`epochs`), and staged output as well (`all`). Absent: nothing yet. */
    readonly swept?: 'epochs' | 'all'
    /**
     * What is left to do about its transactions: `unsettled`: published ones may wait to be committed; `settled`: none
     * does, a late recovery may still open one; `closed`: nothing is. Absent: written before there was a ledger.
     */
    readonly ledger?: 'unsettled' | 'settled' | 'closed'
    /** How each sink subtask came out. Opaque here. */
    readonly outcomes?: readonly unknown[]
  } | null
}

export interface JobStore {
  /** False when the id is taken. */
  create(record: JobRecord): Promise<boolean>
  get(jobId: JobId): Promise<JobRecord | null>
  list(): Promise<readonly JobRecord[]>
  /** Compare-and-swap on the stored record, guarded by the leader key; throws `LEADERSHIP_LOST` (fenced). */
  update(jobId: JobId, change: (record: JobRecord) => JobRecord): Promise<JobRecord>
}

/** `head.json`: the compare-and-swap register of a job (PROTOCOL A6, A7). */
export interface Head {
  readonly generation: Generation
  /** The highest published manifest known here; null = none yet. */
  readonly manifest: ManifestRef | null
  /** Equal bodies would make equal ETags: an ABA (PROTOCOL A7). */
  readonly nonce: string
}

export type ClaimOutcome =
  /** head.json carries our generation; `published` is the highest epoch over both arbiters (PROTOCOL A1). */
  | {
      readonly kind: 'claimed'
      readonly published: ManifestRef | null
      readonly headRevision: string
      readonly mirrorTag: string | null
    }
  /** Somebody with a higher generation was here: stop. */
  | { readonly kind: 'superseded'; readonly by: Generation }

export type PublishOutcome =
  /** By both arbiters, or by a compare-and-swap of head.json alone while etcd is silent. */
  | { readonly kind: 'published'; readonly published: Published }
  /** Sent, and no answer, or only one of two arbiters has it: only the same manifest may be sent again (PROTOCOL A3). */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** An arbiter proves that we are not the owner any more: step down, abort nothing. */
  | { readonly kind: 'superseded'; readonly reason: string }

export type ReconcileOutcome =
  /** Both arbiters hold what is published. */
  | { readonly kind: 'reconciled' }
  /** etcd is still silent; head.json is still ours, as far as it answers. */
  | { readonly kind: 'degraded'; readonly reason: string }
  | { readonly kind: 'superseded'; readonly reason: string }

/**
 * The arbiters of one job, in the hands of one leader. Not concurrent: one call at a time.
 * `claim` must have succeeded before any other call (PROTOCOL A6); others throw `CLAIM_REQUIRED` else.
 */
export interface CheckpointStore {
  /**
   * CAS own generation into head.json → read etcd linearizably → highest epoch of both. Throws kind `retry` when head.json
   * cannot be swapped, or etcd is silent and this store has never claimed before; later claims do without etcd, since
   * the swap proves that nobody else has come between.
   */
  claim(): Promise<ClaimOutcome>
  /** Stores the manifest under its own key. Repeating it is harmless. */
  writeManifest(manifest: Manifest): Promise<ManifestRef>
  /** Throws `MANIFEST_CORRUPT` / `MANIFEST_MISSING` (invalid): the digest is verified. */
  readManifest(ref: ManifestRef): Promise<Manifest>
  /**
   * One etcd transaction comparing the leader key and the head's mod revision (PROTOCOL A5), then the mirror into
   * head.json; acknowledged only when both are. While etcd is silent: the compare-and-swap of head.json alone
   * (`degraded`). Called again with the *same* manifest after `unknown`.
   */
  publish(ref: ManifestRef): Promise<PublishOutcome>
  /** etcd did not answer and may be behind head.json, which decides alone. */
  readonly degraded: boolean
  /** While `degraded`, now and then: raises etcd to what is published, verifies both. */
  reconcile(): Promise<ReconcileOutcome>
}

/** What lies under the epochs of one job. Every call throws kind `retry` when the store does not answer. */
export interface EpochObjects {
  /** The job's head as it stands now, where it is decided; null: there is none, or it is not this leader's. */
  head(): Promise<Head | null>
  list(): Promise<readonly string[]>
  /** At most `DELETE_KEYS_MAX`. */
  delete(keys: readonly string[]): Promise<void>
  /** Reads the whole object. */
  verify(segment: StoredSegment): Promise<'whole' | 'missing' | 'corrupt'>
}

/** Everything a leader gets from the metadata room for its term. */
export interface LeaderStores {
  readonly jobs: JobStore
  /** Throws `ARBITER_UNAVAILABLE` (invalid) for `s3` where the object store is no arbiter. */
  checkpoints(jobId: JobId, arbiter: 'etcd' | 's3'): CheckpointStore
  epochs(jobId: JobId): EpochObjects
  savepoints(jobId: JobId): SavepointStore
  /** A folder outside of the cluster's own store, to read from. Throws `URL_INVALID` (invalid). Absent: there is none. */
  readonly elsewhere?: (url: string) => ObjectStore
  readonly objects: ObjectStore
}
