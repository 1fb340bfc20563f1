/**
 * A CommitPermit is the right to end the transactions of one epoch. Only an acknowledged publish mints one, and the
 * commit command takes one: "commit without owning the epoch" does not type-check (PROTOCOL §2.3, C6).
 */
import type { ManifestRef } from './manifest.ts'

declare const minted: unique symbol

export interface CommitPermit {
  readonly [minted]: true
  readonly manifest: ManifestRef
}

/** What a store returns when *both* arbiters have acknowledged a manifest, or head.json alone while etcd is silent. */
export interface Published {
  readonly manifest: ManifestRef
  /** Mod revision of the head in etcd after this publish: the next publish compares it (PROTOCOL A5). */
  readonly headRevision: string
  /** ETag of head.json after the mirror; null where the object store is no arbiter. */
  readonly mirrorTag: string | null
}

export const permitFor = (published: Published): CommitPermit =>
  ({ manifest: published.manifest }) as unknown as CommitPermit
