/**
 * Identities. Branded so that an epoch cannot be passed where a generation is meant; the brands exist at compile
 * time only.
 */
declare const brand: unique symbol
type Brand<T, B extends string> = T & { readonly [brand]: B }

/** What becomes of it as JSON, on the other side: the brands are gone. */
export type Unbranded<T> =
  T extends Brand<string, string>
    ? string
    : T extends Brand<number, string>
      ? number
      : T extends object
        ? { [K in keyof T]: Unbranded<T[K]> }
        : T

/** A job's name in keys, transactional ids and markers: `[a-z0-9][a-z0-9-]{0,62}`. Never re-used for another job. */
export type JobId = Brand<string, 'JobId'>
/** One incarnation of a task-manager process: a process that re-joins gets a new one. */
export type TaskManagerId = Brand<string, 'TaskManagerId'>
/** Stable name of an operator inside a job; state and sinks are found again by it. */
export type OperatorUid = Brand<string, 'OperatorUid'>
/** Hex SHA-256 of a job bundle or a manifest. */
export type Digest = Brand<string, 'Digest'>

/** Number of a checkpoint, from 1; unique for the life of a job id (PROTOCOL A1). 0 = "nothing published yet". */
export type Epoch = Brand<number, 'Epoch'>
/** Leadership term, stamped into every command; it fences and never ranks (PROTOCOL A1). */
export type Generation = Brand<number, 'Generation'>
/** Deployment of a job within one generation, from 1. */
export type Attempt = Brand<number, 'Attempt'>
/** Index of a slice of the job, 0 … parallelism − 1. */
export type Subtask = Brand<number, 'Subtask'>
/** Index of a bucket of keys, 0 … maxParallelism − 1. */
export type KeyGroup = Brand<number, 'KeyGroup'>

export const epoch = (n: number): Epoch => n as Epoch
export const generation = (n: number): Generation => n as Generation
export const attempt = (n: number): Attempt => n as Attempt
export const subtask = (n: number): Subtask => n as Subtask
export const keyGroup = (n: number): KeyGroup => n as KeyGroup
export const jobId = (s: string): JobId => s as JobId
export const operatorUid = (s: string): OperatorUid => s as OperatorUid
export const taskManagerId = (s: string): TaskManagerId => s as TaskManagerId
export const digest = (s: string): Digest => s as Digest

/** Which deployment of a job is speaking (PROTOCOL A4, A20). */
export interface AttemptId {
  readonly generation: Generation
  readonly attempt: Attempt
}

/** A barrier's whole name: two barriers with one epoch number must never be taken for each other (PROTOCOL A20). */
export interface CheckpointId extends AttemptId {
  readonly epoch: Epoch
}

export const sameAttempt = (a: AttemptId, b: AttemptId): boolean =>
  a.generation === b.generation && a.attempt === b.attempt

export const sameCheckpoint = (a: CheckpointId, b: CheckpointId): boolean => a.epoch === b.epoch && sameAttempt(a, b)

/** `12-g3-a1`: as it stands in object keys and log lines. */
export const checkpointName = (c: CheckpointId): string => `${c.epoch}-g${c.generation}-a${c.attempt}`

export const JOB_ID = /^[a-z0-9][a-z0-9-]{0,62}$/
export const isJobId = (s: string): boolean => JOB_ID.test(s)
