/** Manifests as stored: JSON, found by key and believed by digest. */
import type { Manifest, ManifestRef } from '@weir/checkpoint'
import { WeirError, digest, type Digest } from '@weir/model'
import { createHash } from 'node:crypto'
import { manifestKey } from './keys.ts'

export const sha256 = (bytes: Uint8Array): Digest => digest(createHash('sha256').update(bytes).digest('hex'))

export function encodeManifest(manifest: Manifest): { readonly ref: ManifestRef; readonly bytes: Uint8Array } {
  const bytes = jsonOf(manifest)
  const { jobId, epoch, generation, attempt, parentEpoch, parentDigest, parentKey } = manifest
  const key = manifestKey(jobId, { epoch, generation, attempt })
  const parent = parentKey && parentDigest ? { key: parentKey, digest: parentDigest } : null
  return {
    ref: { epoch, generation, attempt, key, digest: sha256(bytes), parentEpoch, ...(parent && { parent }) },
    bytes,
  }
}

/**
 * What `JSON.stringify` makes of it, subtask by subtask: the text of 10,000 is 20 MB, which is here once, as bytes, and not as
 * a string twice besides.
 */
function jsonOf({ subtasks, ...rest }: Manifest): Buffer {
  const parts = subtasks.map((subtask, i) => `${i === 0 ? '' : ','}${JSON.stringify(subtask)}`)
  const [before, behind] = [`${JSON.stringify(rest).slice(0, -1)},"subtasks":[`, ']}']
  const all = [before, ...parts, behind]
  const bytes = Buffer.allocUnsafe(all.reduce((sum, part) => sum + Buffer.byteLength(part), 0))
  let at = 0
  for (const part of all) at += bytes.write(part, at)
  return bytes
}

/** Throws `MANIFEST_CORRUPT` (invalid) when the bytes are not those that were published. */
export function decodeManifest(ref: ManifestRef, bytes: Uint8Array): Manifest {
  const found = sha256(bytes)
  if (found !== ref.digest) {
    throw new WeirError(
      { code: 'MANIFEST_CORRUPT', kind: 'invalid', key: ref.key, epoch: ref.epoch, expected: ref.digest, found },
      `manifest ${ref.key} of epoch ${ref.epoch} has digest ${found}, published was ${ref.digest}: the object was ` +
        'changed or damaged. Restore that object version; the job does not start from anything else.',
    )
  }
  const manifest = JSON.parse(Buffer.from(bytes).toString('utf8')) as Manifest
  if (manifest.formatVersion !== 1) {
    throw new WeirError(
      { code: 'MANIFEST_VERSION', kind: 'invalid', key: ref.key, formatVersion: manifest.formatVersion as number },
      `manifest ${ref.key} has format ${String(manifest.formatVersion)}; this build reads format 1: use the newer build`,
    )
  }
  return manifest
}
