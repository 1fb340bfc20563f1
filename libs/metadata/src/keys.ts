/**
 * Where everything of a job lies in the object store. No key is another key's folder, so every S3 (and a plain file
 * system) can hold them. Keys of an epoch name generation and attempt: two leaders never write one key.
 */
import type { InFlightPart } from '@weir/checkpoint'
import {
  checkpointName,
  type AttemptId,
  type CheckpointId,
  type Digest,
  type JobId,
  type OperatorUid,
} from '@weir/model'

export const headKey = (job: JobId): string => `jobs/${job}/head.json`
export const epochsPrefix = (job: JobId): string => `jobs/${job}/epochs/`
const epochPrefix = (job: JobId, checkpoint: CheckpointId): string =>
  `${epochsPrefix(job)}${checkpointName(checkpoint)}`
export const manifestKey = (job: JobId, checkpoint: CheckpointId): string =>
  `${epochPrefix(job, checkpoint)}/manifest.json`
/** `folded`: a chain made into one, in the background; it lies beside the segment of the epoch it was begun at. */
export const segmentKey = (
  job: JobId,
  checkpoint: CheckpointId,
  subtask: number,
  stage: number,
  kind: 'written' | 'folded' = 'written',
): string => `${epochPrefix(job, checkpoint)}/state-${subtask}-${stage}${kind === 'folded' ? '-folded' : ''}.seg`
export const inFlightKey = (job: JobId, checkpoint: CheckpointId, subtask: number, part: InFlightPart): string =>
  `${epochPrefix(job, checkpoint)}/in-flight-${subtask}-${part.stage}-${part.side}.bin`
export const savepointsPrefix = (job: JobId): string => `jobs/${job}/savepoints/`
/** Ends in `/`. One folder per savepoint ever made: a late deletion cannot hit another one of the same name. */
export const savepointFolder = (job: JobId, name: string, checkpoint: CheckpointId): string =>
  `${savepointsPrefix(job)}${name}/${checkpointName(checkpoint)}/`
export const SAVEPOINT_FILE = 'savepoint.json'
/** Of a segment that a job was started with, from elsewhere. */
export const importedKey = (job: JobId, checkpoint: CheckpointId, file: string): string =>
  `${epochPrefix(job, checkpoint)}/from-${file}`
export const stagedOfJob = (job: JobId): string => `jobs/${job}/staged/`
/** Ends in `/`. Attempts of a subtask side by side: the next one finds what those before it have left. */
export const stagedPrefix = (job: JobId, sink: OperatorUid, subtask: number): string =>
  `jobs/${job}/staged/${encodeURIComponent(sink)}/${subtask}/`
export const stagedKey = (prefix: string, attempt: AttemptId, transaction: number, part: number): string =>
  `${prefix}${attempt.generation}-${attempt.attempt}/${transaction}-${part}.zst`
/** The attempt a key under the prefix belongs to; null when it is none. */
export function stagedAttempt(prefix: string, key: string): { generation: number; attempt: number } | null {
  const [, generation, attempt] = /^(\d+)-(\d+)\//.exec(key.slice(prefix.length)) ?? []
  return attempt === undefined ? null : { generation: Number(generation), attempt: Number(attempt) }
}
export const bundleKey = (digest: Digest): string => `bundles/${digest}.mjs`
export const signatureKey = (digest: Digest): string => `bundles/${digest}.sig`
export const GENERATION_KEY = 'cluster/generation.json'
