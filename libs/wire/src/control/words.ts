/** What commands, reports and the janitor's questions of control.proto have in common. Pure, both ways. */
import type { RateLimit } from '@weir/dataflow'
import type { Failure, SliceId } from '@weir/job'
import { attempt, epoch, generation, jobId, subtask, type CheckpointId, type ErrorKind } from '@weir/model'
import { control } from '@weir/proto'

export const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

export const parsed = <T>({ buffer, byteOffset, byteLength }: Uint8Array): T =>
  JSON.parse(Buffer.from(buffer, byteOffset, byteLength).toString('utf8')) as T

export const optionalJson = (value: unknown): Buffer => (value === null ? Buffer.alloc(0) : json(value))
export const optionallyParsed = <T>(bytes: Uint8Array): T | null => (bytes.byteLength === 0 ? null : parsed<T>(bytes))

export const sliceOut = ({ jobId, attempt, subtask }: SliceId): control.SliceId => ({
  jobId,
  generation: attempt.generation,
  attempt: attempt.attempt,
  subtask,
})

export const sliceIn = (s: control.SliceId | undefined): SliceId => ({
  jobId: jobId(s!.jobId),
  attempt: { generation: generation(s!.generation), attempt: attempt(s!.attempt) },
  subtask: subtask(s!.subtask),
})

export const slicesOut = (slices: readonly SliceId[]): control.SliceId[] => slices.map(sliceOut)
export const slicesIn = (slices: readonly control.SliceId[]): SliceId[] => slices.map(sliceIn)

export const checkpointIn = (c: control.Checkpoint | undefined): CheckpointId => ({
  generation: generation(c!.generation),
  epoch: epoch(c!.epoch),
  attempt: attempt(c!.attempt),
})

export const failureOut = (f: Failure): control.Failure => ({ ...f, facts: JSON.stringify(f.facts) })

export const failureIn = (f: control.Failure | undefined): Failure => ({
  code: f!.code,
  kind: f!.kind as ErrorKind,
  message: f!.message,
  facts: JSON.parse(f!.facts || '{}') as Record<string, unknown>,
})

export const limitOut = ({ recordsPerSecond, minRecordsPerSecond }: RateLimit) => ({
  recordsPerSecond: recordsPerSecond ?? undefined,
  minRecordsPerSecond: minRecordsPerSecond ?? undefined,
})

export const limitIn = (of: { recordsPerSecond?: number; minRecordsPerSecond?: number }): RateLimit => ({
  recordsPerSecond: of.recordsPerSecond ?? null,
  minRecordsPerSecond: of.minRecordsPerSecond ?? null,
})
