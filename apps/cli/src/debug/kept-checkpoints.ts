/** Checkpoints of a job as its object store has them, without asking anybody: the published ones that are kept. */
import type { Head, Manifest, ManifestRef, ObjectStore } from '@weir/checkpoint'
import { decodeManifest, headKey } from '@weir/metadata'
import { WeirError, type JobId } from '@weir/model'

export interface KeptCheckpoint {
  readonly epoch: number
  /** Throws `DEBUG_CHECKPOINT_GONE` (invalid) where it was deleted meanwhile, `MANIFEST_CORRUPT`, `MANIFEST_VERSION` (invalid). */
  read(): Promise<Manifest>
}

/** Newest first. Throws `DEBUG_JOB_UNKNOWN`, `DEBUG_NO_CHECKPOINT` (invalid). */
export async function keptCheckpoints(objects: ObjectStore, jobId: JobId): Promise<readonly KeptCheckpoint[]> {
  const stored = await objects.get(headKey(jobId))
  if (stored === null) {
    throw new WeirError(
      { code: 'DEBUG_JOB_UNKNOWN', kind: 'invalid', jobId },
      `the object store has no job "${jobId}". Is it that of the fleet (WEIR_S3_BUCKET, WEIR_S3_PREFIX, or WEIR_OBJECTS_DIR of \`weir dev\`)? ` +
        '`weir jobs` lists the jobs there are.',
    )
  }
  const { manifest: newest } = JSON.parse(Buffer.from(stored.bytes).toString('utf8')) as Head
  if (newest === null) {
    throw new WeirError(
      { code: 'DEBUG_NO_CHECKPOINT', kind: 'invalid', jobId },
      `job "${jobId}" has no checkpoint yet: its first one makes a state that a record can be replayed with`,
    )
  }
  const { retention } = await read(objects, newest, [])
  const refs = [newest, ...(retention?.epochs ?? [])]
  const epochs = refs.map(({ epoch }) => epoch)
  return refs.map((ref) => ({ epoch: ref.epoch, read: () => read(objects, ref, epochs) }))
}

/** Throws `DEBUG_CHECKPOINT_GONE` (invalid), naming those that are kept. */
export function checkpointAt(kept: readonly KeptCheckpoint[], epoch: string, jobId: JobId): KeptCheckpoint {
  const found = kept.find((one) => String(one.epoch) === epoch)
  if (found !== undefined) return found
  throw gone(
    jobId,
    epoch,
    kept.map((one) => one.epoch),
  )
}

async function read(objects: ObjectStore, ref: ManifestRef, kept: readonly number[]): Promise<Manifest> {
  const stored = await objects.get(ref.key)
  if (stored !== null) return decodeManifest(ref, stored.bytes)
  const [, jobId = ''] = ref.key.split('/')
  throw gone(
    jobId,
    String(ref.epoch),
    kept.filter((epoch) => epoch !== ref.epoch),
  )
}

const gone = (jobId: string, epoch: string, kept: readonly number[]): WeirError =>
  new WeirError(
    { code: 'DEBUG_CHECKPOINT_GONE', kind: 'invalid', jobId, epoch, kept },
    `checkpoint ${epoch} of job "${jobId}" is not kept; kept are ${kept.join(', ') || 'others by now'}. More stay with the setting ` +
      '`checkpoint: { retained }`.',
  )
