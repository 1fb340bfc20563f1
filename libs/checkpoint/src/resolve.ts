/**
 * What a checkpoint *is* follows from what exists; it is stored nowhere (STYLE rule 4). The same function serves
 * recovery, the running coordinator and the REST view.
 */
import type { Epoch } from '@weir/model'
import type { ManifestRef } from './manifest.ts'

export interface Observed {
  /** Heads as read from both arbiters; null where the arbiter has none. */
  readonly etcdHead: ManifestRef | null
  readonly mirrorHead: ManifestRef | null
  /** Epoch whose every commit has been confirmed to this process. */
  readonly confirmed: Epoch
}

export type CheckpointStatus = 'unpublished' | 'restorable' | 'final'

/** The manifest recovery starts from: the highest *epoch* over both arbiters; generations never rank (PROTOCOL A1). */
export function highestPublished(a: ManifestRef | null, b: ManifestRef | null): ManifestRef | null {
  if (a === null || b === null) return a ?? b
  return b.epoch > a.epoch ? b : a
}

export function resolveCheckpoint(epoch: Epoch, observed: Observed): CheckpointStatus {
  const published = highestPublished(observed.etcdHead, observed.mirrorHead)
  if (published === null || epoch > published.epoch) return 'unpublished'
  // A later published epoch carries every handle of the earlier ones and is published only after they were final.
  if (epoch < published.epoch || epoch <= observed.confirmed) return 'final'
  return 'restorable'
}
