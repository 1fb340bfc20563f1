/**
 * What this leader knows of the epochs of its job that are kept, and the deleting of what none of them names (PROTOCOL A22).
 * What may be deleted, and when, is decided in the checkpoint room (retention.ts).
 */
import {
  DELETE_KEYS_MAX,
  keptBehind,
  keptOf,
  orphans,
  planDeletions,
  retentionOf,
  segmentsOf,
  type CheckpointStore,
  type EpochObjects,
  type KeptEpoch,
  type Manifest,
  type ManifestRef,
  type PublishedEpoch,
  type Retention,
  type RetentionObserved,
} from '@weir/checkpoint'
import type { Clock, Epoch, Generation, JobId } from '@weir/model'

export interface KeptEpochsOptions {
  readonly jobId: JobId
  readonly generation: Generation
  /** As in JobMasterOptions. */
  readonly leaseTtlMs: number
  /** As in JobSettings. */
  readonly retained: number
}

export interface KeptEpochsDeps {
  readonly checkpoints: CheckpointStore
  readonly epochs: EpochObjects
  readonly clock: Clock
  /** The store takes one call at a time: when it is this one's turn. */
  readonly inTurn: (call: () => Promise<void>) => void
  /** The leadership has ended, or the job. */
  readonly isClosed: () => boolean
}

export class KeptEpochs {
  readonly #options: KeptEpochsOptions
  readonly #deps: KeptEpochsDeps
  #newest: PublishedEpoch | null = null
  /** Newest first; with the one that the next manifest drops. */
  #kept: readonly KeptEpoch[] = []
  /** Since when this leader knows epochs to be published, monotonic ms. */
  #publishedMs: RetentionObserved['publishedMs'] = []
  /** Not on a manifest's list yet. */
  #orphans: readonly string[] = []
  /** The listing was done for this attempt's first published epoch. */
  #orphansOf = 0
  /** Deleted, and on the list of the published manifest still. */
  #deleted = new Set<string>()
  #collecting = false

  constructor(options: KeptEpochsOptions, deps: KeptEpochsDeps) {
    this.#options = options
    this.#deps = deps
  }

  /** The published one, as far as it is known here. */
  get newest(): PublishedEpoch | null {
    return this.#newest
  }

  /** Newest first. */
  get refs(): readonly ManifestRef[] {
    return this.#kept.map(({ ref }) => ref)
  }

  /** Found by a claim, and not read yet. */
  found(ref: ManifestRef): void {
    if (this.#newest?.ref.digest !== ref.digest) this.#set({ ref, manifest: null }, [])
  }

  /** What a first epoch is published behind. */
  async beginBehind(before: PublishedEpoch | null): Promise<void> {
    const older = before === null ? [] : await this.#olderThan(before)
    this.#set(before, older)
  }

  /** Of a manifest that is about to be written. */
  retentionOf(manifest: Manifest, pinned: ReadonlySet<Epoch>): Retention {
    const { retained } = this.#options
    const [kept, deleted] = [this.#kept, this.#deleted]
    return retentionOf({ manifest, kept, retained, pinned, deleted, orphans: this.#orphans })
  }

  /** Claimed and read. */
  continueFrom(ref: ManifestRef | null, manifest: Manifest | null): void {
    if (ref === null || manifest === null) return
    const { clock, inTurn } = this.#deps
    // Again by this leader: it knows more than the manifest says.
    if (this.#newest?.ref.digest === ref.digest && this.#newest.manifest !== null) return
    this.#set({ ref, manifest }, [])
    this.#deleted.clear()
    this.#publishedMs = [{ epoch: ref.epoch, ms: clock.monotonic() }]
    this.#orphans = []
    // Before the next manifest is written, and not in the way of the recovery.
    inTurn(async () => {
      const older = await this.#olderThan({ ref, manifest })
      if (this.#newest?.ref.digest === ref.digest) this.#set({ ref, manifest }, older)
    })
  }

  published(epoch: PublishedEpoch): void {
    const { clock } = this.#deps
    this.#newest = epoch
    this.#kept = keptBehind(keptOf(epoch), this.#kept)
    const listed = epoch.manifest?.retention?.unreferenced ?? []
    const keys = new Set(listed.map(({ key }) => key))
    this.#deleted = new Set([...this.#deleted].filter((key) => keys.has(key)))
    this.#orphans = this.#orphans.filter((key) => !keys.has(key))
    const oldest = Math.min(epoch.ref.epoch, ...listed.map(({ since }) => since))
    this.#publishedMs = [...this.#publishedMs, { epoch: epoch.ref.epoch, ms: clock.monotonic() }]
    // The first entry at or after a `since` is the one that counts.
    this.#publishedMs = this.#publishedMs.filter(({ epoch }) => epoch >= oldest)
    void this.#collect().catch(() => (this.#collecting = false)) // the store is away: after the next epoch
  }

  /** Before the end is recorded: of a newest one that cannot be read, what is behind it. */
  async complete(): Promise<void> {
    const newest = this.#newest
    if (newest?.manifest === null) this.#set(newest, await this.#olderThan(newest))
  }

  /** The newest kept epoch that is whole, the one being restored apart: for people to choose, never taken. */
  async offered(): Promise<ManifestRef | null> {
    const { checkpoints, epochs } = this.#deps
    for (const { ref } of this.#kept.slice(1)) {
      const manifest = await checkpoints.readManifest(ref).catch(() => null)
      if (manifest === null) continue
      const segments = manifest.subtasks.flatMap(segmentsOf)
      const states = await Promise.all(
        [...new Map(segments.map((segment) => [segment.key, segment])).values()].map((s) => epochs.verify(s)),
      )
      if (states.every((state) => state === 'whole')) return ref
    }
    return null
  }

  #set(newest: PublishedEpoch | null, older: readonly KeptEpoch[]): void {
    this.#newest = newest
    this.#kept = newest === null ? [] : [keptOf(newest), ...older]
  }

  /** What is kept behind an epoch, as its manifest says; of one that cannot be read, as its parent's does. */
  async #olderThan({ ref, manifest }: PublishedEpoch): Promise<readonly KeptEpoch[]> {
    const { checkpoints } = this.#deps
    if (manifest !== null) {
      const older = (manifest.retention?.epochs ?? []).map(async (of): Promise<KeptEpoch> => {
        return keptOf({ ref: of, manifest: await checkpoints.readManifest(of).catch(() => null) })
      })
      return Promise.all(older)
    }
    if (ref.parent === undefined) return []
    const found = await checkpoints.readManifest({ ...ref, epoch: ref.parentEpoch, ...ref.parent }).catch(() => null)
    if (found === null) return []
    const { epoch, generation, attempt, parentEpoch } = found
    const parent = { ref: { epoch, generation, attempt, parentEpoch, ...ref.parent }, manifest: found }
    return [keptOf(parent), ...(await this.#olderThan(parent))]
  }

  async #collect(): Promise<void> {
    const { epochs, clock, isClosed } = this.#deps
    if (this.#collecting || isClosed()) return
    this.#collecting = true
    const attempt = this.#newest!.ref.attempt
    const listing = this.#orphansOf === attempt ? null : await epochs.list()
    // Last of all what may have changed meanwhile.
    const head = await epochs.head()
    const { jobId, generation, leaseTtlMs } = this.#options
    const [kept, publishedMs, now] = [this.#kept, this.#publishedMs, clock.monotonic()]
    const observed = { jobId, generation, head, kept, publishedMs, now, leaseTtlMs }
    const deletions = planDeletions(observed).filter((key) => !this.#deleted.has(key))
    while (deletions.length > 0 && !isClosed()) {
      const some = deletions.splice(0, DELETE_KEYS_MAX)
      await epochs.delete(some)
      for (const key of some) this.#deleted.add(key)
    }
    if (listing !== null) {
      this.#orphans = orphans(observed, listing)
      this.#orphansOf = attempt
    }
    this.#collecting = false
  }
}
