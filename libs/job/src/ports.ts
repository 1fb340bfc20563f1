/** What a JobMaster asks of the world: the streams to task-managers, slots, stores. */
import type {
  CheckpointStore,
  Cut,
  EpochObjects,
  JobStore,
  PublishedEpoch,
  Manifest,
  SavepointStore,
  SubtaskSnapshot,
} from '@weir/checkpoint'
import type { AlignBound, Poison, RateLimits } from '@weir/dataflow'
import type { CheckpointId, Clock, Epoch, Generation, JobId, Random, Subtask, TaskManagerId } from '@weir/model'
import type { JobTracer } from './job-traces.ts'
import type { JobSpec, Peer, SliceId, UsedNumbers } from './state.ts'

/** Commands to one slice; the wire room turns them into the messages of control.proto. `traceparent`: of a trace it belongs to. */
export type SliceCommand = { readonly slice: SliceId; readonly traceparent?: string } & (
  | { readonly type: 'deploy'; readonly bundleDigest: string; readonly graphHash: string; readonly parallelism: number }
  | { readonly type: 'recover'; readonly snapshot: SubtaskSnapshot | null; readonly poison: Poison }
  | { readonly type: 'run'; readonly peers: readonly Peer[] }
  /** `degraded`: the job's degrade switch behind its barrier. Absent: off, or there is none. */
  | {
      readonly type: 'trigger'
      readonly checkpoint: CheckpointId
      readonly last: boolean
      readonly cut: Cut
      readonly degraded?: boolean
    }
  /** `timedOut`: answered by `gave-up` from whoever had not acked. */
  | { readonly type: 'give-up'; readonly checkpoint: CheckpointId; readonly timedOut: boolean }
  /** Only made from a CommitPermit (PROTOCOL C6). */
  | {
      readonly type: 'commit'
      readonly epoch: Epoch
      readonly manifestDigest: string
      readonly upTo: Readonly<Record<string, number>>
    }
  | { readonly type: 'stop'; readonly mode: 'leave' | 'abort' }
  /** Best effort: how far sources may be read (alignment.ts). */
  | { readonly type: 'align'; readonly bounds: readonly AlignBound[] }
  /** How fast sources are read from now on. */
  | { readonly type: 'rates'; readonly limits: RateLimits }
)

/** The stream to a task-manager. */
export interface ControlLink {
  /** False when the task-manager is not connected (any more). Never throws. */
  send(to: TaskManagerId, command: SliceCommand): boolean
}

/** Slots of the fleet, shared by all jobs of the leader. */
export interface SlotBroker {
  /** Answers, perhaps much later, through `granted`; a new request of the same job replaces the old one. */
  request(jobId: JobId, count: number, granted: (assignment: ReadonlyMap<Subtask, TaskManagerId>) => void): void
  /** New ones for these subtasks, whose old ones are given back; the others keep theirs. Answers as `request`. */
  replace(
    jobId: JobId,
    subtasks: readonly Subtask[],
    granted: (assignment: ReadonlyMap<Subtask, TaskManagerId>) => void,
  ): void
  /** Gives back what the job holds or waits for. */
  release(jobId: JobId): void
  /** For the message of a job that waits. */
  free(): number
}

export interface JobMasterOptions {
  readonly spec: JobSpec
  readonly generation: Generation
  readonly submittedAt: number
  /** Resolution of every timeout, ms; triggers and restarts come when they are due. */
  readonly tickMs: number
  /** As `jobFor`. */
  readonly used?: UsedNumbers
  /** The longest lease a leader of this cluster may have: nothing is deleted before twice that (PROTOCOL A22). */
  readonly leaseTtlMs: number
  /** Epochs that are kept of a job that asks for fewer. */
  readonly retainedMin?: number
  /** What was asked for while it ran; absent: nothing was. */
  readonly rates?: RateLimits
  /** Its degrade switch is on. */
  readonly degraded?: boolean
}

/** The first epoch of a job that is started from somewhere: once it is published, the job goes on as any other. */
export interface Beginning {
  /** What was published under the id when it was submitted: whatever is published behind it is the job's own. */
  readonly after: Epoch
  /**
   * Copies what the epoch needs under keys of `checkpoint`. Harmless to repeat. `published`: what stands under the id.
   * Throws what cannot be mended (invalid), or kind `retry`.
   */
  make(checkpoint: CheckpointId, published: PublishedEpoch | null): Promise<Manifest>
}

export interface JobMasterDeps {
  readonly checkpoints: CheckpointStore
  readonly epochs: EpochObjects
  readonly savepoints: SavepointStore
  /** Null: it begins with nothing. */
  readonly beginning?: Beginning | null
  readonly jobs: JobStore
  readonly control: ControlLink
  readonly slots: SlotBroker
  readonly clock: Clock
  /** For the jitter of restarts. */
  readonly random: Random
  /** Ends with the leadership: every wait in here ends with it. */
  readonly signal: AbortSignal
  /** Another leader owns the job: give the leadership up. */
  readonly stepDown: (reason: string) => void
  /** Telemetry: a diagnostics channel and its message. */
  readonly publish: (channel: string, message: Record<string, unknown>) => void
  /** Absent: nothing is traced. */
  readonly tracer?: JobTracer | null
}
