/**
 * Where everything of a job lies in the object store. No key is another key's folder, so every S3 (and a plain file
 * system) can hold them. Keys of an epoch name generation and attempt: two leaders never write one key.
 */
import { checkpointName, type CheckpointId, type Digest, type JobId } from '@weir/model'

export const headKey = (job: JobId): string => `jobs/${job}/head.json`
export const epochPrefix = (job: JobId, checkpoint: CheckpointId): string =>
  `jobs/${job}/epochs/${checkpointName(checkpoint)}`
export const manifestKey = (job: JobId, checkpoint: CheckpointId): string =>
  `${epochPrefix(job, checkpoint)}/manifest.json`
export const segmentKey = (job: JobId, checkpoint: CheckpointId, subtask: number, stage: number): string =>
  `${epochPrefix(job, checkpoint)}/state-${subtask}-${stage}.seg`
export const bundleKey = (digest: Digest): string => `bundles/${digest}.mjs`
export const GENERATION_KEY = 'cluster/generation.json'
