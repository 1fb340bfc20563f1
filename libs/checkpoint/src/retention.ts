/**
 * What is kept of a job's epochs, and what is deleted (PROTOCOL A22).
 *
 * A leader that was frozen wakes up and goes on deleting. So nothing is deleted because a leader thinks it unused: a key is
 * *listed* in a manifest ("unreferenced since epoch n") that has been published, and every later manifest descends from
 * that one. Who deletes from the list, and how late, is all the same then: nobody will ever name the key again.
 *
 *   named by a kept epoch ─▶ named by none: listed in the next manifest ─published─▶ one epoch and 2 × TTL later ─▶ deleted
 *   uploaded, never named (its attempt is over: an orphan) ────────▲
 *
 * Segments are shared by the chains of many epochs; references are counted by looking at all kept manifests, there is no
 * counter that could be wrong. Pure: what is seen comes in, keys go out.
 */
import type { Epoch, Generation, JobId } from '@weir/model'
import { sameManifest, type Manifest, type ManifestRef, type SubtaskSnapshot } from './manifest.ts'
import type { Head } from './ports.ts'

/** Published epochs kept unless the job says otherwise, the newest among them: what a restore can be offered. */
export const RETAINED_EPOCHS = 3
/** Keys deleted after one epoch, more than one can drop. What is left over is deleted after the next. */
export const DELETIONS_MAX = 100_000
/** Orphans taken into the list of one manifest. */
const ORPHANS_MAX = 1_000

export interface Retention {
  /** Kept beside this epoch, newest first: their manifests, and everything these name. */
  readonly epochs: readonly ManifestRef[]
  /** No kept epoch names them; the first published manifest that says so is that of epoch `since`. */
  readonly unreferenced: readonly { readonly key: string; readonly since: Epoch }[]
}

/** What is kept once `published` is: those its retention names. */
export const keptBehind = (published: KeptEpoch, before: readonly KeptEpoch[]): readonly KeptEpoch[] => [
  published,
  ...before.filter(({ ref }) => published.retention?.epochs.some((of) => sameManifest(of, ref))),
]

/** A published epoch. Its manifest is null when it could not be read. */
export interface PublishedEpoch {
  readonly ref: ManifestRef
  readonly manifest: Manifest | null
}

/** What counts of it while it is kept: a manifest of 10,000 subtasks is large, and several are. */
export interface KeptEpoch {
  readonly ref: ManifestRef
  /** Keys that its manifest names. Null: it could not be read, so nobody knows. */
  readonly names: ReadonlySet<string> | null
  readonly retention: Retention | null
}
export const keptOf = ({ ref, manifest }: PublishedEpoch): KeptEpoch => ({
  ref,
  names: manifest && namesOf(manifest),
  retention: manifest?.retention ?? null,
})

/** How the segments of a subtask stand in the manifest, as far as everybody must know it. */
export interface StoredSegment {
  readonly key: string
  readonly bytes: number
  /** Hex, of the whole object. */
  readonly sha256: string
}
/** Every object under the subtask's part of an epoch: of its state, and what was in flight. */
export const segmentsOf = (snapshot: SubtaskSnapshot): readonly StoredSegment[] => [
  ...(snapshot.segments as readonly { readonly chain: readonly StoredSegment[] }[]).flatMap(({ chain }) => chain),
  ...(snapshot.inFlight ?? []),
]

export function namesOf({ subtasks }: Manifest): ReadonlySet<string> {
  const names = new Set<string>()
  for (const subtask of subtasks) for (const { key } of segmentsOf(subtask)) names.add(key)
  return names
}

export interface NextManifest {
  readonly manifest: Manifest
  /** Newest first, the parent at the front. */
  readonly kept: readonly KeptEpoch[]
  /** How many are kept, this one among them. */
  readonly retained: number
  /** Kept besides, while their objects are copied into a savepoint. */
  readonly pinned: ReadonlySet<Epoch>
  /** Deleted by this leader: need not be listed again. */
  readonly deleted: ReadonlySet<string>
  /** As `orphans` found them. */
  readonly orphans: readonly string[]
}

/** The retention of a manifest that is about to be written. Makes no difference before the manifest is published. */
export function retentionOf({ manifest, kept, retained, pinned, deleted, orphans }: NextManifest): Retention {
  const epochs = kept.filter(({ ref }, i) => i < retained - 1 || pinned.has(ref.epoch))
  const since = manifest.epoch
  const listed = new Map((kept[0]?.retention?.unreferenced ?? []).map((entry) => [entry.key, entry]))
  const known = epochs.every((epoch) => epoch.names !== null)
  const names = named([...epochs, { names: namesOf(manifest) }])
  for (const dropped of known ? kept.filter((epoch) => !epochs.includes(epoch)) : []) {
    for (const key of [dropped.ref.key, ...(dropped.names ?? [])]) if (!listed.has(key)) listed.set(key, { key, since })
  }
  if (known) for (const key of orphans) if (!listed.has(key)) listed.set(key, { key, since })
  const unreferenced = [...listed.values()].filter(({ key }) => !names.has(key) && !deleted.has(key))
  return { epochs: epochs.map(({ ref }) => ref), unreferenced }
}

export interface RetentionObserved {
  readonly jobId: JobId
  readonly generation: Generation
  /** The job's head as it is decided by, read just now; null: there is none, or it is not ours. */
  readonly head: Head | null
  /** What this leader has published, newest first, or has claimed. */
  readonly kept: readonly KeptEpoch[]
  /** When this leader first knew an epoch to be published: ascending, monotonic ms. */
  readonly publishedMs: readonly { readonly epoch: Epoch; readonly ms: number }[]
  readonly now: number
  readonly leaseTtlMs: number
}

/** Keys to delete now, at most DELETIONS_MAX. None while anything speaks against it. */
export function planDeletions(observed: RetentionObserved): string[] {
  const { kept, publishedMs, now, leaseTtlMs } = observed
  const newest = kept[0]
  if (newest === undefined || newest.retention === null || !owns(observed)) return []
  const names = named(kept)
  return newest.retention.unreferenced
    .filter(({ since }) => {
      const listed = publishedMs.find(({ epoch }) => epoch >= since)
      return newest.ref.epoch > since && listed !== undefined && now - listed.ms >= 2 * leaseTtlMs
    })
    .map(({ key }) => key)
    .filter((key) => !names.has(key) && !mayBeInFlight(key, observed))
    .slice(0, DELETIONS_MAX)
}

/**
 * Keys among `listed` that were uploaded for epochs nobody published: of attempts before the one that has published the
 * newest epoch, since those can publish nothing any more. For the next manifest's list, not for deletion.
 */
export function orphans(observed: RetentionObserved, listed: readonly string[]): string[] {
  const { jobId, kept } = observed
  const newest = kept[0]
  // Of an epoch whose manifest cannot be read nobody knows what it names.
  if (newest === undefined || !kept.every(({ names }) => names !== null) || !owns(observed)) return []
  const names = named(kept)
  const already = new Set(newest.retention?.unreferenced.map(({ key }) => key))
  const { generation, attempt } = newest.ref
  return listed
    .filter((key) => {
      const of = checkpointOf(jobId, key)
      if (of === null || mayBeInFlight(key, observed)) return false
      return of.generation < generation || (of.generation === generation && of.attempt < attempt)
    })
    .filter((key) => !names.has(key) && !already.has(key))
    .slice(0, ORPHANS_MAX)
}

/**
 * Of a job that has ended with `kept` in its record: what can be deleted, since no start goes beyond the record. None while
 * a kept manifest cannot be read (nobody knows what it names), or the head is not where the record says.
 */
export function sweepable(
  of: Pick<RetentionObserved, 'jobId' | 'generation' | 'kept' | 'head'>,
  listed: readonly string[],
): string[] {
  const { jobId, generation, kept, head } = of
  if (!kept.every(({ names }) => names !== null)) return []
  if ((head?.generation ?? 0) > generation) return []
  if (head !== null && !sameManifest(head.manifest, kept[0]?.ref ?? null)) return []
  const names = named(kept)
  return listed.filter((key) => {
    const checkpoint = checkpointOf(jobId, key)
    return checkpoint !== null && checkpoint.generation <= generation && !names.has(key)
  })
}

/** head.json says that the job is still ours, and stands where we think. */
function owns({ head, generation, kept }: RetentionObserved): boolean {
  return head !== null && head.generation === generation && sameManifest(head.manifest, kept[0]?.ref ?? null)
}

/** Of the current generation, and not older than the head. Also keys that are none of an epoch's. */
function mayBeInFlight(key: string, { jobId, generation, head }: RetentionObserved): boolean {
  const of = checkpointOf(jobId, key)
  return of === null || (of.generation >= generation && of.epoch >= (head?.manifest?.epoch ?? 0))
}

/** Whether it is a segment or manifest of the epochs. */
function named(epochs: readonly (Pick<KeptEpoch, 'names'> & { readonly ref?: ManifestRef })[]): {
  has(key: string): boolean
} {
  const refs = new Set(epochs.map(({ ref }) => ref?.key))
  return { has: (key) => refs.has(key) || epochs.some(({ names }) => names?.has(key) ?? false) }
}

function checkpointOf(jobId: JobId, key: string): { epoch: number; generation: number; attempt: number } | null {
  const prefix = `jobs/${jobId}/epochs/`
  if (!key.startsWith(prefix)) return null
  const [, epoch, generation, attempt] = /^(\d+)-g(\d+)-a(\d+)\//.exec(key.slice(prefix.length)) ?? []
  return attempt === undefined
    ? null
    : { epoch: Number(epoch), generation: Number(generation), attempt: Number(attempt) }
}
